from __future__ import annotations

from pathlib import Path

import pytest

from raycompare.report.drawing.style import THEMES
from raycompare.report.figures.scores import ScoresFigure
from raycompare.report.sections.overview import overview_section
from raycompare.report.summary import MOST_ROWS, summary
from raycompare.report.write import render, write_report
from tests import runs

IMAGES = {"scores": {theme.suffix: f"figures/scores{theme.suffix}.png" for theme in THEMES}}
MOST_BYTES = 5000


@pytest.mark.parametrize("models", [2, 8, 40])
def test_it_fits_into_a_comment(models: int) -> None:
    run = runs.many(models)
    run.baseline(0.8)
    text = summary(run.compare(), IMAGES)
    assert len(text.encode()) < MOST_BYTES
    assert text.count("\n| ") == 2 + min(models + 2, MOST_ROWS)
    assert ("The first 10 of 42 rows." in text) == (models == 40)
    assert 'src="figures/scores.png"' in text


def test_it_is_written_beside_the_report_and_points_to_it(tmp_path: Path) -> None:
    comparison = write_report(runs.typical().write(tmp_path))
    text = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert text.startswith(f"# ag-news\n\n{comparison.verdict}\n")
    assert "[4 warnings](report.md#warnings)" in text
    assert "[report.md](report.md)" in text


def test_the_first_screen_has_verdict_price_warnings_and_data_before_the_figure() -> None:
    run = runs.typical()
    report = render(run.compare(), IMAGES)
    first, rest = report.split("<picture>", 1)
    assert [line for line in first.splitlines() if line.startswith("- ")] == [
        "- Training minilm-3 once takes 1 m 23 s.",
        "- It answers a text in 12.3 ms (95 % within 18.5 ms) and takes 99 MB on disk.",
        "- There are [4 warnings](#warnings).",
        "- Data: fancyzhx/ag_news, 2,000 training rows, 1,000 test rows. Run "
        "20260102-030405-abc123 of 2026-01-02.",
    ]
    headings = [line for line in rest.splitlines() if line.startswith("## ")]
    assert headings[:3] == ["## Leaderboard", "## Warnings", "## Pairs of models"]


def test_a_run_in_which_nothing_finished_has_an_overview_too() -> None:
    assert overview_section(runs.empty("a").compare()).startswith("- Data: fancyzhx/ag_news")


def test_the_figure_has_models_and_fitted_baselines_best_first() -> None:
    run = runs.typical()
    run.baseline(0.76)
    points = ScoresFigure(run.compare()).data
    assert [(point.model, point.group) for point in points] == [
        ("minilm-3", "may be the best"),
        ("minilm-2", "may be the best"),
        ("TF-IDF + logistic regression", "baseline"),
        ("bert|tiny", "ruled out"),
    ]
    assert all(point.low < point.value < point.high for point in points)


def test_models_that_were_not_tested_have_a_point_of_their_own_kind() -> None:
    run = runs.empty("a", "b")
    run.confirm("a", [0.8])
    run.confirm("b", [0.7])
    assert {point.group for point in ScoresFigure(run.compare()).data} == {"not tested"}

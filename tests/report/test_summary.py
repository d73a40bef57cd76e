from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from raycompare.analysis.health.flag import Flag
from raycompare.formatting import unbroken_values
from raycompare.report.drawing.style import THEMES
from raycompare.report.figures.scores import ScoresFigure
from raycompare.report.sections.health import MOST_SUBJECTS, health_section
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
    assert ("This table has the first 10 of 42 rows." in text) == (models == 40)
    assert 'src="figures/scores.png"' in text


def test_it_is_written_beside_the_report_and_points_to_it(tmp_path: Path) -> None:
    comparison = write_report(runs.typical().write(tmp_path))
    text = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert text.startswith(f"# ag-news\n\n{unbroken_values(comparison.verdict)}\n")
    assert "[2 warnings](report.md#warnings)" in text
    assert "[report.md](report.md)" in text


def test_the_first_screen_has_verdict_price_warnings_and_data_before_the_figure() -> None:
    run = runs.typical()
    report = render(run.compare(), IMAGES)
    first, rest = report.replace("\xa0", " ").split("<picture>", 1)
    assert [line for line in first.splitlines() if line.startswith("- ")] == [
        "- Training minilm-3 once takes 1 m 23 s.",
        "- Running it takes 12.3 ms for one text (95 % within 18.5 ms); a million texts in "
        "batches take 1 h 22 m. It takes 99 MB on disk.",
        "- There are [2 warnings](#warnings).",
        "- Data: fancyzhx/ag_news, 2,000 training rows, 1,000 test rows. Run "
        "20260102-030405-abc123.",
    ]
    headings = [line for line in rest.splitlines() if line.startswith("## ")]
    assert headings[:3] == ["## Leaderboard", "## Warnings", "## Pairs of models"]


def priced(**cost: object) -> runs.Run:
    run = runs.empty("a", "b", cost=cost)
    run.confirm("a", [0.8, 0.81, 0.82], held_seconds=100.0)
    run.confirm("b", [0.6, 0.61, 0.62], held_seconds=100.0)
    run.measure("a", 10.0)  # 250 texts per second with 4 of 16 CPUs
    return run


def test_with_a_price_the_first_screen_has_the_dollars_of_training_and_of_running() -> None:
    training, running, *_ = overview_section(priced(usd_per_hour=3.6).compare()).splitlines()
    # 100 s of a quarter of a machine that costs a dollar per 1,000 s
    assert training == (
        "- Training a once takes 1 m 00 s and costs $0.03, including evaluations and the test."
    )
    assert running == (
        "- Running it takes 10.0 ms for one text (95 % within 15.0 ms); a million texts in batches "
        "take 1 h 07 m and cost $1.00. It takes 80 MB on disk."
    )


def test_a_model_on_a_gpu_is_charged_the_gpus_share_of_the_machine() -> None:
    run = priced(usd_per_hour=3.6)
    run.manifest.hardware[0]["gpus"] = 2.0
    run.measure("a", 10.0, device="cuda:0", num_threads=1)
    assert "and cost $2.00." in overview_section(run.compare())


def test_a_machine_without_a_price_has_no_dollars() -> None:
    run = priced(usd_per_hour=3.6)
    run.measure("a", 10.0, hostname="the-head")
    assert "take 1 h 07 m. It takes" in overview_section(run.compare())
    assert "$" not in overview_section(priced().compare())


@pytest.mark.parametrize(("mcc", "named"), [(0.83, True), (0.9, True), (0.5, False)])
def test_a_baseline_that_may_be_as_good_has_its_price_too(mcc: float, named: bool) -> None:
    run = runs.typical()
    run.baseline(mcc)
    line = "- Fitting TF-IDF + logistic regression takes 12 s on one CPU."
    assert (line in overview_section(run.compare())) == named


def test_a_warning_about_several_models_is_one_warning() -> None:
    comparison = runs.typical().compare()
    assert len(comparison.flags) == 4
    rows = health_section(comparison).splitlines()[4:]
    assert [row.split(" | ")[0] for row in rows] == [
        "| minilm-2, minilm-3, bert\\|tiny",
        "| bert\\|tiny",
    ]
    names = [f"m{number}" for number in range(MOST_SUBJECTS + 2)]
    flags = tuple(Flag(about=name, found="x", advice="y") for name in names)
    section = health_section(replace(comparison, flags=flags))
    assert "| m0, m1, m2, m3, m4 and 2 more | x | y |" in section
    assert "is [1 warning]" in overview_section(replace(comparison, flags=flags))


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


def test_the_caption_names_only_what_the_figure_has() -> None:
    run = runs.empty("a", "b")
    run.confirm("a", [0.8, 0.81, 0.82])
    run.confirm("b", [0.7, 0.71, 0.72])
    caption = ScoresFigure(run.compare()).caption()
    assert caption == "Mean test MCC of each model with its 95 % interval."
    run.baseline(0.6)
    assert "each model and baseline with" in ScoresFigure(run.compare()).caption()
    run.has_predictions = False
    assert "interval" not in ScoresFigure(run.compare()).caption()


def test_without_a_tested_model_there_is_no_figure_of_scores() -> None:
    run = runs.empty("a")
    run.fail("a", "tune", "boom")
    run.baseline(0.5)
    comparison = run.compare()
    assert not ScoresFigure(comparison).has_data
    report = render(comparison, IMAGES)
    assert "For each seed" not in report
    assert "no finalist was tested" in report


def test_models_that_were_not_tested_have_a_point_of_their_own_kind() -> None:
    run = runs.empty("a", "b")
    run.confirm("a", [0.8])
    run.confirm("b", [0.7])
    assert {point.group for point in ScoresFigure(run.compare()).data} == {"not tested"}

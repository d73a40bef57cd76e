from __future__ import annotations

import csv
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest

from raycompare.analysis.comparison import Comparison
from raycompare.errors import UserError
from raycompare.experiment.spec import TF_IDF
from raycompare.formatting import (
    count,
    duration,
    escape,
    fence,
    score,
    setting,
    table,
    unbroken_values,
)
from raycompare.report.sections.pairs import pairs_section
from raycompare.report.tables import csv_text, tables
from raycompare.report.write import render, write_report
from tests import runs

BLOCKED = ("ray", "torch", "transformers", "datasets")


def test_the_typical_report_is_the_golden_one():
    """Regenerate with `python -m tests.runs`."""
    assert runs.typical_report() == runs.GOLDEN.read_text(encoding="utf-8")


def _files(place: Path) -> dict[str, bytes]:
    made = [place / "report.md", *place.glob("figures/*"), *place.glob("tables/*")]
    return {str(path.relative_to(place)): path.read_bytes() for path in made}


def test_a_rebuild_gives_the_same_bytes(tmp_path: Path):
    folder = runs.typical().write(tmp_path)
    write_report(folder)
    first = _files(tmp_path)
    assert {"report.md", "figures/wall_clock.png", "tables/pairs.parquet"} < first.keys()
    write_report(folder)
    assert _files(tmp_path) == first


def test_the_report_links_each_figure_that_was_written(tmp_path: Path):
    write_report(runs.typical().write(tmp_path))
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    for name in ("learning_curves", "best_so_far", "expected_best", "wall_clock", "confusion"):
        for theme, attribute in (("", "src"), ("-dark", "srcset")):
            path = f"figures/{name}{theme}.png"
            assert (tmp_path / path).read_bytes().startswith(b"\x89PNG")
            assert f'{attribute}="{path}"' in report


PROGRAM = f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ImportError(name + " is blocked")

sys.meta_path.insert(0, Blocker())
from raycompare.report.write import write_report
from raycompare.records.run_folder import RunFolder

print(write_report(RunFolder.at(sys.argv[1])).verdict)
"""


def test_the_report_needs_neither_ray_nor_torch(tmp_path: Path):
    runs.typical().write(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        encoding="utf-8",
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONHASHSEED": "7", "LC_ALL": "C"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("**minilm-3** ranks first of 3 models")
    by_another_process = _files(tmp_path)
    write_report(runs.RunFolder.at(tmp_path))
    assert _files(tmp_path) == by_another_process


def test_an_unfinished_run_is_the_users_error(tmp_path: Path):
    runs.typical().write(tmp_path)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(UserError, match="--resume"):
        write_report(runs.RunFolder.at(tmp_path))
    assert not (tmp_path / "report.md").exists()


def test_another_folder_is_the_users_error(tmp_path: Path):
    with pytest.raises(UserError, match="Expected a run folder"):
        write_report(runs.RunFolder.at(tmp_path))


def test_a_run_in_which_all_failed_still_has_a_report(tmp_path: Path):
    run = runs.empty("a", "b")
    run.fail("a", "tune", "ValueError: no")
    run.fail("b", "tune", "ValueError: nor this")
    write_report(run.write(tmp_path))
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "first cause: a, tune stage: ValueError: no." in report
    assert "## Failures" in report
    assert "## Figures" not in report
    assert not list(tmp_path.glob("figures/*"))


def test_a_plain_comparison_without_tuning_has_a_report(tmp_path: Path):
    run = runs.empty("a", "b", search_space={})
    run.confirm("a", [0.5, 0.6, 0.55], is_default=True)
    run.confirm("b", [0.8, 0.81, 0.82], is_default=True)
    write_report(run.write(tmp_path))
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "## Failures" not in report
    assert "gain from tuning" not in report
    assert "best_so_far" not in report
    assert "| b | untuned default |" in report


def test_every_row_of_a_table_has_the_columns_of_its_header():
    widths: set[int] = set()
    for line in runs.typical_report().splitlines():
        if not line.startswith("|"):
            widths.clear()
            continue
        widths.add(len(line.replace(r"\|", "").split("|")))
        assert len(widths) == 1, line


def leaderboard(comparison: Comparison) -> str:
    return csv_text(tables(comparison)["leaderboard"])


def test_the_csv_has_every_digit_and_an_empty_cell_for_nothing():
    run = runs.empty("good", "lost")
    run.confirm("good", [0.5, 0.6, 0.8])
    run.fail("lost", "confirm", "boom, with a comma")
    rows = list(csv.DictReader(StringIO(leaderboard(run.compare()))))
    assert [row["rank"] for row in rows] == ["1", "", ""]
    rows = [row for row in rows if row["kind"] == "model"]
    good = run.compare().leaderboard[0].test["matthews_correlation"]
    assert float(rows[0]["test_matthews_correlation_mean"]) == good.mean
    assert float(rows[0]["test_matthews_correlation_sd"]) == good.sd
    assert rows[1]["test_accuracy_mean"] == ""
    assert rows[1]["reason"] == "confirm: boom, with a comma"


def test_the_csv_has_the_bounds_the_tier_and_the_ranks():
    found = runs.typical().compare()
    rows = list(csv.DictReader(StringIO(leaderboard(found))))
    interval = found.judgement.intervals["minilm-3"]["matthews_correlation"]
    assert float(rows[0]["test_matthews_correlation_low"]) == interval.low
    assert float(rows[0]["test_matthews_correlation_high"]) == interval.high
    rows = [row for row in rows if row["kind"] == "model"]
    assert [row["tier"] for row in rows] == ["a", "a", "b"]
    assert [(row["best_rank"], row["worst_rank"]) for row in rows] == [
        ("1", "2"),
        ("1", "2"),
        ("3", "3"),
    ]


def test_a_baseline_is_a_row_without_a_rank_at_the_place_of_its_score():
    run = runs.typical()
    run.baseline(0.76)
    found = run.compare()
    lines = [line for line in render(found, {}).splitlines() if line.startswith("| ")]
    ranks = [line.split(" | ")[0].removeprefix("| ") for line in lines[1:7]]
    assert ranks == [":---", "1", "2", "baseline", "3", "baseline"]
    interval = found.judgement.intervals[TF_IDF]["matthews_correlation"]
    missed = found.judgement.standings[TF_IDF].missed
    shown = f"[{interval.low:.3f},\xa0{interval.high:.3f}] | no | {missed:.3f} | 0.820 | 0.818 |"
    assert f"| baseline | {TF_IDF} | 0.760 | {shown} 0.770 | 400,004 | 12\xa0s |" in lines[4]
    assert "majority class (Sports) | 0.000 | - | - | - | 0.256 | 0.102 |" in lines[6]


def test_the_csv_has_baselines_with_their_kind_and_no_rank():
    run = runs.typical()
    run.baseline(0.9)
    rows = list(csv.DictReader(StringIO(leaderboard(run.compare()))))
    assert [row["kind"] for row in rows] == ["baseline", "model", "model", "model", "baseline"]
    assert [row["rank"] for row in rows] == ["", "1", "2", "3", ""]
    assert list(rows[0])[:3] == ["rank", "model", "kind"]
    assert float(rows[0]["test_matthews_correlation_mean"]) == 0.9
    assert rows[0]["tier"] == "a"
    assert rows[0]["train_seconds"] == "12.3"


def test_a_run_of_before_baselines_still_has_its_majority_class(tmp_path: Path):
    write_report(runs.typical().write(tmp_path))
    assert not (tmp_path / "baselines.parquet").exists()
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| baseline | majority class (Sports) |" in report
    assert "TF-IDF" not in report


def test_a_baseline_that_was_written_is_the_one_that_is_judged(tmp_path: Path):
    run = runs.typical()
    run.baseline(0.76)
    assert write_report(run.write(tmp_path)).judgement == run.compare().judgement
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert f" {TF_IDF} is 0.070 MCC worse." in report


def test_a_baseline_beside_a_single_seed_has_none_itself():
    run = runs.empty("a", confirm={"seeds": [1]})
    run.confirm("a", [0.9])
    run.baseline(0.5)
    assert f"| a | {TF_IDF} | 1\xa0and\xa0none |" in render(run.compare(), {})


def test_with_one_seed_for_all_models_the_notes_speak_of_test_rows_only():
    run = runs.empty(*"abcdefg", confirm={"seeds": [1]})
    for number, model in enumerate("abcdefg"):
        run.confirm(model, [0.9 - 0.02 * number])
    report = render(run.compare(), {})
    assert "is the interval of the expected score, over 1,000 test rows only, of each" in report
    assert "- Every model finished only one seed." in report
    assert "sample standard deviation" not in report
    assert "wider on one side" not in report
    assert "Means over" not in report


def test_the_notes_speak_of_luck_and_of_baselines_only_if_there_are_any():
    run = runs.empty("a", "b")
    run.confirm("a", [0.9, 0.9, 0.9])
    run.confirm("b", [0.5, 0.5, 0.5])
    clear = render(run.compare(), {})
    assert "wider on one side" not in clear
    assert "Baselines are compared" not in clear
    typical = runs.typical()
    typical.baseline(0.76)
    report = render(typical.compare(), {})
    assert "wider on one side" in report
    assert "Baselines are compared" in report


def test_of_many_models_with_one_seed_a_note_names_some():
    run = runs.empty(*"abcdefgh")
    for number, model in enumerate("abcdefgh"):
        quality = 0.9 - 0.02 * number
        run.confirm(model, [quality, quality] if model == "a" else [quality])
    assert "- b, c, d, e, f and 2 other models finished only one seed." in render(run.compare(), {})


def test_predictions_that_were_written_are_those_that_are_judged(tmp_path: Path):
    run = runs.typical()
    assert write_report(run.write(tmp_path)).judgement == run.compare().judgement


def test_a_folder_without_predictions_has_a_report_that_claims_nothing(tmp_path: Path):
    run = runs.typical()
    run.has_predictions = False
    write_report(run.write(tmp_path))
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "There are no intervals and no tests, and nothing is claimed" in report
    assert "| 1 | minilm-3 | 0.831\xa0±\xa00.005 | - | - | - | 0.873\xa0±\xa00.004 |" in report
    assert "## Pairs of models" not in report


@pytest.mark.parametrize(("models", "folded"), [(5, False), (6, True)])
def test_many_pairs_are_folded_away(models: int, folded: bool):
    section = pairs_section(runs.many(models).compare())
    assert ("<summary>15 pairs</summary>" in section) == folded
    assert section.count("\n| organisation/") == models * (models - 1) // 2


def test_one_seed_shows_networks_and_calls_them_so():
    run = runs.empty("a", "b", "c")
    run.confirm("a", [0.9, 0.9, 0.9])
    run.confirm("b", [0.8, 0.8, 0.8])
    run.confirm("c", [0.1])
    report = render(run.compare(), {})
    networks = run.compare().judgement.pairs[1].networks
    assert (
        f"| a | c | 1\xa0and\xa01 | {networks.only_first} | {networks.only_second} | <\xa00.001 |"
        in report
    )
    assert "so nothing is claimed about the models" in report
    assert "c finished only one seed. The interval then reflects test rows only" in report
    assert "*p (corrected)*: for the only pair;" in report
    assert "| 3 | c | 0.100 | [" in report
    assert "] | not\xa0tested | - |" in report


def test_a_searched_value_falls_back_to_the_fixed_one_for_the_default():
    run = runs.empty("a", "b")
    run.tune("a", 0.5, 0.8)
    run.confirm("a", [0.8])
    run.confirm("b", [0.5], is_default=True)
    lines = render(run.compare(), {}).splitlines()
    assert "| a | tuned | 1.23e-05 | 0 |" in lines
    assert "| b | untuned default | 5e-05 | default |" in lines


def test_different_lengths_are_said_per_model():
    run = runs.empty("a", "b")
    run.manifest.data["max_length"] = {"a": 1024, "b": 97}
    assert "truncated to 1,024 tokens (a), 97 tokens (b)" in render(run.compare(), {})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (4.25, "4.2 s"),
        (9.96, "10 s"),
        (59.6, "1 m 00 s"),
        (83, "1 m 23 s"),
        (3599.7, "1 h 00 m"),
        (7384, "2 h 03 m"),
        (None, "-"),
    ],
)
def test_durations_are_human(seconds: float | None, text: str):
    assert duration(seconds) == text


def test_numbers_are_readable():
    assert [score(0.8716), score(-0.0001), score(None)] == ["0.872", "0.000", "-"]
    assert [count(1234567), count(150.5), count(None)] == ["1,234,567", "150.5", "-"]
    assert [setting(1.23456e-5), setting(500), setting(True), setting(None), setting("a|b")] == [
        "1.23e-05",
        "500",
        "true",
        "null",
        r"a\|b",
    ]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("bert_base_uncased", "bert_base_uncased"),
        ("_private_", r"\_private\_"),
        ("a|b", r"a\|b"),
        ("two\nlines", "two lines"),
        ("R&D, &amp; and &#39;", r"R&D, \&amp; and \&#39;"),
        ("<b>*x*</b>", r"\<b\>\*x\*\</b\>"),
    ],
)
def test_text_is_shown_as_it_is(text: str, escaped: str):
    assert escape(text) == escaped


def test_a_fence_is_longer_than_any_in_the_code():
    assert fence("echo ```x```") == "````sh\necho ```x```\n````"


def test_a_table_aligns_numbers_to_the_right():
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n| :--- | ---: |\n| x | 1 |"


def test_a_value_of_a_table_stays_on_one_line_and_a_name_may_break():
    (row,) = table(["a", "b"], [["the name", "1 m 23 s"]]).splitlines()[2:]
    assert row == "| the name | 1\xa0m\xa023\xa0s |"


@pytest.mark.parametrize(
    ("prose", "expected"),
    [
        ("95 % interval 0.80 to 0.85 (3 seeds)", "95_% interval 0.80_to_0.85 (3 seeds)"),
        ("from -0.1 to -0.05", "from -0.1_to_-0.05"),
        ("takes 1 m 23 s, 12.3 ms or 2 h 03 m", "takes 1_m_23_s, 12.3_ms or 2_h_03_m"),
        ("99 MB on disk, 2 models, 3 to go", "99_MB on disk, 2 models, 3 to go"),
    ],
)
def test_values_within_prose_stay_on_one_line(prose: str, expected: str):
    assert unbroken_values(prose).replace("\xa0", "_") == expected


def large() -> runs.Run:
    run = runs.empty("a", "b")
    for number in range(150):
        run.tune("a", 0.4 + 0.003 * number)
    run.confirm("a", [0.3])
    run.tune("b", 0.5, 0.6)
    for _ in range(110):
        run.fail("b", "tune", "ValueError: no")
    return run


def test_of_very_many_trials_the_report_shows_some_and_says_where_the_others_are():
    run = large()
    report = render(run.compare(), {"learning_curves": {"": "light.png", "-dark": "dark.png"}})
    assert "<summary>201 of 263 trials</summary>" in report
    assert "| a | confirm | a-confirm-0 |" in report.replace("-00", "-0")
    assert "trials.parquet has all 263 trials." in report
    assert "These are the first 100 of 110 failures." in report
    assert "some trials of the tune stage" in report
    assert "evaluations.parquet has the other 120 trials." in report

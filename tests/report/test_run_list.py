from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from raycompare.errors import UserError
from raycompare.records.run_folder import RunFolder
from raycompare.records.snapshot import SHARED_FOLDERS
from raycompare.report.terminal.run_list import RunList, list_runs, remarks, run_table
from tests import runs


def listed(place: Path) -> RunList:
    return list_runs(RunFolder.at(place), datetime.now(UTC))


def written(place: Path, day: int, **sections: object) -> Path:
    run = runs.empty("a", "b", **sections)
    run.tune("a", 0.5, 0.8)
    run.confirm("a", [0.80, 0.81, 0.82])
    run.confirm("b", [0.70, 0.71, 0.72])
    created = f"2026-01-{day:02}T03:04:05+00:00"
    run.manifest = replace(run.manifest, run_id=f"run-{day}", created_at=created)
    return Path(run.write(place / run.experiment.name / f"run-{day}").uri)


def test_the_newest_run_comes_first_whatever_its_experiment(tmp_path: Path) -> None:
    written(tmp_path, 2)
    written(tmp_path, 9, name="other")
    written(tmp_path, 4)
    assert [line.run_id for line in listed(tmp_path).runs] == ["run-9", "run-4", "run-2"]


def test_a_line_has_winner_score_cost_and_time(tmp_path: Path) -> None:
    written(tmp_path, 2, cost={"usd_per_hour": 3.0})
    (line,) = listed(tmp_path).runs
    assert (line.winner, line.models, line.state) == ("a", ("a", "b"), "finished")
    assert line.test is not None
    assert line.test.mean == pytest.approx(0.81)
    assert line.usd == pytest.approx(1200.2 / 3600 * 3)
    console = Console(file=StringIO(), width=160)
    console.print(run_table(listed(tmp_path)))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for word in ("run-2", "finished", "MCC 0.810 ± 0.010", "$1.00", "20 m 00 s"):
        assert word in text


def test_a_run_that_was_killed_is_listed_as_such(tmp_path: Path) -> None:
    place = written(tmp_path, 2)
    (place / "manifest.json").unlink()
    (line,) = listed(tmp_path).runs
    assert line.state == "killed"
    assert line.seconds > 0


def test_broken_folders_are_listed_with_the_reason(tmp_path: Path) -> None:
    written(tmp_path, 2)
    (written(tmp_path, 3) / "trials.parquet").write_bytes(b"PAR1 cut off")
    (written(tmp_path, 4) / "manifest.json").write_text("{")
    (written(tmp_path, 5) / "manifest.json").write_text('{"format": 1, "unknown": 2}')
    (written(tmp_path, 6) / "manifest.json").write_bytes(b"\xff")
    (written(tmp_path, 7) / "experiment.yaml").unlink()
    (tmp_path / "ag-news" / "figures").mkdir()
    (tmp_path / "empty").mkdir()
    found = listed(tmp_path)
    assert [line.run_id for line in found.runs] == ["run-2"]
    broken = {Path(line.folder).name: line.reason for line in found.broken}
    assert sorted(broken) == ["empty", "figures", "run-3", "run-4", "run-5", "run-6", "run-7"]
    assert all(broken.values())
    assert "Expected a run folder" in broken["run-7"]
    assert "it contains no files of a run" in broken["empty"]
    assert len(remarks(found)) == 7


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_broken(tmp_path: Path) -> None:
    (written(tmp_path, 3) / "trials.parquet").chmod(0)
    (broken,) = listed(tmp_path).broken
    assert "ermission denied" in broken.reason


def test_the_folder_of_one_experiment_or_of_one_run_will_do(tmp_path: Path) -> None:
    place = written(tmp_path, 2)
    for folder in (place, place.parent, tmp_path):
        assert [line.run_id for line in listed(folder).runs] == ["run-2"]


def test_files_beside_the_runs_are_no_runs(tmp_path: Path) -> None:
    written(tmp_path, 2)
    (tmp_path / "README.md").write_text("")
    assert listed(tmp_path).broken == ()


def test_what_runs_share_is_no_run(tmp_path: Path) -> None:
    place = written(tmp_path, 2).parent
    for name in SHARED_FOLDERS:
        (place / name).mkdir()
    (tmp_path / ".ipynb_checkpoints").mkdir()
    assert listed(tmp_path).broken == ()


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    (line,) = remarks(listed(tmp_path))
    assert "is empty; expected run folders named NAME/RUN_ID" in line


def test_a_folder_that_is_not_there_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        listed(tmp_path / "nowhere")


def test_a_table_fits_80_columns(tmp_path: Path) -> None:
    written(tmp_path, 2, cost={"usd_per_hour": 3.0})
    console = Console(file=StringIO(), width=80)
    console.print(run_table(listed(tmp_path)))
    row = console.file.getvalue().splitlines()[1]  # type: ignore[attr-defined]
    assert row.split() == [
        "ag-news",
        "finished",
        "a",
        "MCC",
        "0.810",
        "±",
        "0.010",
        "2",
        "$1.00",
        "20",
        "m",
        "00",
        "s",
    ]


def test_a_limit_keeps_the_newest_and_counts_the_others(tmp_path: Path) -> None:
    for day in (2, 4, 6):
        written(tmp_path, day)
    found = list_runs(RunFolder.at(tmp_path), datetime.now(UTC), limit=1)
    assert [line.run_id for line in found.runs] == ["run-6"]
    assert remarks(found) == ["2 older runs not shown."]

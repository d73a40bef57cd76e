from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from raycompare.errors import UserError
from raycompare.records.layout import EXPERIMENT, STARTED
from raycompare.records.rows import Ending, EvalRecord, Status, TrialRecord
from raycompare.records.run_folder import RunFolder, draft_for
from raycompare.report.write import write_report
from tests.runs import typical


@pytest.fixture(params=["plain", "with space and ü", "uri"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "uri":
        return (tmp_path / "bucket").as_uri()
    return str(tmp_path / request.param)


def test_what_is_written_is_read_back(place: str) -> None:
    run = typical()
    folder = RunFolder.at(place)
    folder.write_rows(run.trials, TrialRecord)
    folder.write_rows(run.evaluations, EvalRecord)
    folder.write_manifest(run.manifest)
    assert folder.read_trials() == run.trials
    assert folder.read_evaluations() == run.evaluations
    assert folder.read_manifest() == run.manifest


OLD, KEPT = "the budget is spent (max_usd: 5)", "15 s of it kept for the confirm stage"


@pytest.mark.parametrize(
    ("status", "ending", "reason", "read"),
    [
        ("stopped_early", "budget", OLD, "max_usd"),
        ("not_run", "not_run", OLD, "max_usd"),
        ("stopped_early", "budget", f"{OLD[:-1]}, {KEPT})", "budget"),
        ("stopped_early", "budget", "the budget is spent (time_budget_s: 5)", "budget"),
        ("not_run", "not_run", "not run", "not_run"),
        ("errored", "error", OLD, "error"),
    ],
)
def test_an_older_record_says_only_in_words_that_the_dollars_are_spent(
    status: Status, ending: Ending, reason: str, read: Ending, tmp_path: Path
) -> None:
    folder, trial = RunFolder.at(tmp_path), typical().trials[0]
    folder.write_rows([replace(trial, status=status, ending=ending, reason=reason)], TrialRecord)
    assert [(t.status, t.ending) for t in folder.read_trials()] == [(status, read)]


def test_no_half_files_are_left(tmp_path: Path) -> None:
    folder = RunFolder.at(tmp_path)
    folder.write_text("a/b.txt", "one")
    folder.write_text("a/b.txt", "two")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]
    assert folder.read_text("a/b.txt") == "two"


def test_a_run_that_has_not_ended_says_how_to_finish_it(tmp_path: Path) -> None:
    folder = RunFolder.at(tmp_path)
    folder.write_rows(typical().trials, TrialRecord)
    with pytest.raises(UserError, match="raycompare run --resume"):
        folder.read_manifest()


def test_a_folder_of_something_else_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Expected a run folder"):
        write_report(RunFolder.at(tmp_path))


def test_a_manifest_of_a_newer_raycompare_is_refused(tmp_path: Path) -> None:
    folder = typical().write(tmp_path)
    manifest = json.loads(folder.read_text("manifest.json"))
    folder.write_text("manifest.json", json.dumps({**manifest, "format": 99, "more": 1}))
    with pytest.raises(UserError, match="format 99"):
        folder.read_manifest()


def test_a_finished_run_without_its_records_is_refused(tmp_path: Path) -> None:
    folder = typical().write(tmp_path)
    (tmp_path / "trials.parquet").unlink()
    with pytest.raises(UserError, match=r"trials\.parquet"):
        write_report(folder)


@pytest.mark.parametrize(
    ("directory", "is_told"), [("/elsewhere", True), (None, False), (str(Path.cwd()), False)]
)
def test_a_resumed_run_names_the_directory_that_its_paths_are_relative_to(
    tmp_path: Path, directory: str | None, is_told: bool
) -> None:
    folder = typical().write(tmp_path)
    begun = dict.fromkeys(("run_id", "created_at", "experiment_hash", "data_hash"), "")
    folder.write_text(STARTED, json.dumps({**begun, "directory": directory}))
    source = draft_for(None, (), folder.uri).source
    told = f", of a run that was started in /elsewhere (relative paths in it are now {PATHS}"
    assert source == folder.child(EXPERIMENT) + (told if is_told else "")


PATHS = f"taken from {Path.cwd()})"


def test_a_resumed_run_takes_no_overrides(tmp_path: Path) -> None:
    folder = typical().write(tmp_path)
    with pytest.raises(UserError, match=r"--set seed=1: without effect, because a resumed run"):
        draft_for(None, ["seed=1"], folder.uri)

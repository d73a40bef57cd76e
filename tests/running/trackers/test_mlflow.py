from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from raycompare.metrics import MODES
from raycompare.records.messages import TrialPlan
from raycompare.records.run_folder import RunFolder
from raycompare.report.write import write_report
from raycompare.running.trackers.mlflow import MLflow
from raycompare.running.trackers.tracker import Outcome
from tests import runs
from tests.running.trackers.played import PLAN, at, journal_with, play, start, tracked
from tests.running.trackers.read_back import Client, history, mlflow_runs

MLFLOW_WARNS = pytest.mark.filterwarnings("ignore::DeprecationWarning")
"""Of its own use of SQLAlchemy."""


@MLFLOW_WARNS
def test_mlflow_has_a_child_for_each_trial_and_the_report(
    mlflow_at: Callable[[Path], Client], tmp_path: Path
) -> None:
    folder = runs.typical().write(tmp_path)
    comparison = write_report(folder)
    journal, trackers = journal_with(MLflow(tracked(tmp_path)))
    play(journal)
    trackers.finish(Outcome.of(comparison))
    assert trackers.failures == {"noted": ""}

    client = mlflow_at(tmp_path)
    parent, child = (mlflow_runs(client)[name] for name in ("run-1", "a-1"))
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.tags["status"] == "completed"
    assert child.data.params["learning_rate"] == "0.0001"
    assert child.info.status == parent.info.status == "FINISHED"
    rows = journal.evaluations()
    for name in MODES:
        own = {row.step: getattr(row, name) for row in rows if row.split == "validation"}
        assert history(client, child, f"validation/{name}") == own
        assert history(client, child, f"test/{name}") == {20: getattr(rows[-1], name)}
    leader = comparison.leaderboard[0]
    assert parent.data.tags["leader"] == leader.model
    assert parent.data.metrics["test/accuracy"] == leader.test["accuracy"].mean
    artifacts = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert artifacts == {"report.md", "tables", "figures", "analytics"}


@MLFLOW_WARNS
def test_a_resumed_run_goes_on_with_its_own_mlflow_runs(
    mlflow_at: Callable[[Path], Client], tmp_path: Path
) -> None:
    journal, trackers = journal_with(MLflow(tracked(tmp_path)))
    play(journal, TrialPlan(**{**vars(PLAN), "trial_id": "a-0"}))
    cut = TrialPlan(**{**vars(PLAN), "order": 1})
    journal.add(cut)
    journal.start("a-1")
    for message in (start(), at(10)):
        journal.record("a-1", message)
    trackers.close()
    statuses = {name: run.info.status for name, run in mlflow_runs(mlflow_at(tmp_path)).items()}
    assert statuses == {"run-1": "KILLED", "a-0": "FINISHED", "a-1": "KILLED"}

    resumed, again = journal_with(MLflow(tracked(tmp_path)), earlier=journal)
    RunFolder.at(tmp_path).write_text("report.md", "# nothing")
    play(resumed, cut)
    again.finish(Outcome(verdict="none"))
    assert again.failures == {"noted": ""}
    client = mlflow_at(tmp_path)
    found = mlflow_runs(client)
    assert {name: run.info.status for name, run in found.items()} == dict.fromkeys(
        ("run-1", "a-0", "a-1"), "FINISHED"
    )
    assert set(history(client, found["a-1"], "validation/loss")) == {10, 20}


@MLFLOW_WARNS
def test_a_server_that_is_away_turns_mlflow_off(
    mlflow_at: Callable[[Path], Client], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    said: list[str] = []
    journal, trackers = journal_with(MLflow(tracked(tmp_path)), said, name="mlflow")
    play(journal)
    trackers.close()
    (line,) = said
    assert line.startswith("mlflow is off for the rest of this run: ")
    assert "secret" not in line

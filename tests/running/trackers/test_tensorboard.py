from __future__ import annotations

from pathlib import Path

import pytest

from raycompare.records.messages import TrialFailure, TrialPlan
from raycompare.records.run_folder import RunFolder
from raycompare.running.trackers.tensorboard import TensorBoard
from tests.running.trackers.played import (
    PLAN,
    at,
    end,
    expected,
    journal_with,
    play,
    start,
    tracked,
)
from tests.running.trackers.read_back import hyperparameters, scalars


def test_the_event_files_hold_what_evaluations_parquet_holds(tmp_path: Path) -> None:
    journal, trackers = journal_with(TensorBoard(tracked(tmp_path)))
    play(journal)
    trackers.close()
    assert trackers.failures == {"noted": ""}
    rows = journal.evaluations()
    best = {("best/matthews_correlation", 20): pytest.approx(rows[1].loss)}
    assert scalars(tmp_path / "tensorboard" / "a-1") == {**expected(rows), **best}
    own, status = hyperparameters(tmp_path / "tensorboard" / "a-1")
    assert own == {
        "model": "a",
        "checkpoint": "a",
        "stage": "confirm",
        "seed": 3.0,
        "learning_rate": 1e-4,
        "num_train_epochs": 4.0,
        "optim": "sgd",
    }
    assert status == 1, "STATUS_SUCCESS"


def test_a_failed_trial_is_a_failure_in_tensorboard(tmp_path: Path) -> None:
    journal, trackers = journal_with(TensorBoard(tracked(tmp_path)))
    journal.add(PLAN)
    journal.start("a-1")
    journal.record("a-1", start())
    journal.fail("a-1", TrialFailure(cause="ValueError: no", error="Traceback"))
    trackers.close()
    assert hyperparameters(tmp_path / "tensorboard" / "a-1")[1] == 2, "STATUS_FAILURE"


def test_a_resumed_run_begins_the_log_of_an_unfinished_trial_anew(tmp_path: Path) -> None:
    journal, trackers = journal_with(TensorBoard(tracked(tmp_path)))
    journal.add(PLAN)
    journal.start("a-1")
    for message in (start(), at(10)):
        journal.record("a-1", message)
    trackers.close()
    assert ("validation/loss", 10) in scalars(tmp_path / "tensorboard" / "a-1")

    later = TensorBoard(tracked(tmp_path))
    later.open()
    assert not later.has("a-1")

    resumed, again = journal_with(TensorBoard(tracked(tmp_path)), earlier=journal)
    play(resumed)
    again.close()
    assert later.has("a-1")
    steps = [s for name, s in scalars(tmp_path / "tensorboard" / "a-1") if name == "epoch"]
    assert steps == [10, 20]


def test_more_trials_at_a_time_than_files_may_be_open_are_logged_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raycompare.running.trackers.tensorboard.MOST_OPEN", 2)
    journal, trackers = journal_with(TensorBoard(tracked(tmp_path)))
    plans = [TrialPlan(**{**vars(PLAN), "trial_id": f"a-{n}", "order": n}) for n in range(4)]
    for plan in plans:
        journal.add(plan)
        journal.start(plan.trial_id)
    for message in (start(), at(10), at(20), end(20, 0.5)):
        for plan in plans:
            journal.record(plan.trial_id, message)
    for plan in plans:
        journal.end(plan.trial_id)
    trackers.close()
    assert trackers.failures == {"noted": ""}
    for plan in plans:
        rows = [row for row in journal.evaluations() if row.trial_id == plan.trial_id]
        logged = scalars(tmp_path / "tensorboard" / plan.trial_id)
        assert {key: logged[key] for key in expected(rows)} == expected(rows)


def test_a_remote_run_folder_gets_the_event_files_when_the_trial_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunFolder, "local_path", lambda self, name: None)
    journal, trackers = journal_with(TensorBoard(tracked(tmp_path)))
    play(journal)
    trackers.close()
    assert trackers.failures == {"noted": ""}
    own = scalars(tmp_path / "tensorboard" / "a-1")
    assert {key: own[key] for key in expected(journal.evaluations())} == expected(
        journal.evaluations()
    )


def test_files_for_a_bucket_are_removed_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setattr(RunFolder, "local_path", lambda folder, name: None)
    journal, trackers = journal_with(TensorBoard(tracked(tmp_path)))
    play(journal)
    trackers.close()
    assert trackers.failures == {"noted": ""}
    assert list((tmp_path / "tensorboard" / "a-1").iterdir())
    assert list(temporary.iterdir()) == []

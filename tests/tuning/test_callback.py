from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from raycompare.errors import UserError
from raycompare.models.loading import WeightsError
from raycompare.records.messages import TrialFailure
from raycompare.records.run_folder import RunFolder
from raycompare.records.trial_files import delete_what_only_runs_need
from raycompare.training.failures import failure_of
from raycompare.tuning import callback
from raycompare.tuning.callback import FLUSH_SECONDS, JournalCallback
from raycompare.tuning.plan_order import PlanOrder
from raycompare.tuning.searcher import PLAN, config_of
from tests.records.test_journal import END, START, Clock, evaluation, journal, plan


def test_records_are_written_by_the_clock_also_when_nothing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(callback, "perf_counter", clock)
    writer = JournalCallback(journal(), RunFolder.at(tmp_path), PlanOrder())
    for seconds, written in ((FLUSH_SECONDS, False), (1, True), (FLUSH_SECONDS - 1, False)):
        clock.now += seconds
        writer.on_step_end(0, [])
        assert (tmp_path / "trials.parquet").exists() is written
        (tmp_path / "trials.parquet").unlink(missing_ok=True)
    clock.now += 2
    writer.on_step_end(0, [])
    assert (tmp_path / "trials.parquet").exists()


def ended(name: str, trial_failure: TrialFailure | None, writer: JournalCallback) -> None:
    trial = SimpleNamespace(config={PLAN: config_of(plan(int(name[1:])))})
    journal = writer._journal
    journal.start(name)
    for message in (START, evaluation(10, 0.5), trial_failure or END):
        journal.record(name, message)
    writer.on_trial_complete(0, [], trial)  # type: ignore[arg-type]


def test_a_checkpoint_goes_only_when_the_end_of_its_trial_is_stored(tmp_path: Path) -> None:
    """A driver that is killed in between loses no trial: a resumed run continues it."""
    folder = RunFolder.at(tmp_path)
    writer = JournalCallback(journal(2), folder, PlanOrder())
    for name in ("t0", "t1"):
        folder.write_text(f"checkpoints/{name}/latest", "checkpoint-10")
    ended("t0", None, writer)
    assert folder.folders("checkpoints") == ["t0", "t1"]
    assert folder.read_trials() == []
    writer.flush()
    assert folder.folders("checkpoints") == ["t1"]
    assert [trial.status for trial in folder.read_trials()] == ["completed", "not_run"]


def test_a_trial_that_failed_keeps_its_checkpoint_for_a_resumed_run(tmp_path: Path) -> None:
    folder = RunFolder.at(tmp_path)
    writer = JournalCallback(journal(2), folder, PlanOrder())
    for name in ("t0", "t1"):
        folder.write_text(f"checkpoints/{name}/latest", "checkpoint-10")
    ended("t0", TrialFailure(cause="ConnectionError", error="Traceback"), writer)
    ended("t1", None, writer)
    writer.flush()
    assert folder.folders("checkpoints") == ["t0"]
    delete_what_only_runs_need(folder, folder.read_trials())
    assert folder.folders("checkpoints") == ["t0"]
    delete_what_only_runs_need(folder, [])
    assert not folder.exists("checkpoints")


def test_weights_of_another_model_end_the_run_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = failure_of(WeightsError("me/enc: 53 of 53 pretrained weights would be random"))
    monkeypatch.setattr(callback, "plan_of", lambda trial: plan(0))
    monkeypatch.setattr(callback, "unpack", lambda result: failure)
    writer = JournalCallback(journal(), RunFolder.at(tmp_path), PlanOrder())
    with pytest.raises(UserError, match=r"a: .*53 of 53 pretrained weights"):
        writer.on_trial_result(0, [], None, {})  # type: ignore[arg-type]
    assert (tmp_path / "trials.parquet").exists()

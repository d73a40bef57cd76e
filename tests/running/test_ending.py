"""A signal after the final manifest leaves a finished run, whoever writes files at that moment."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raycompare.cli import supervisor
from raycompare.cluster.stopping import LastActs
from raycompare.errors import RunInterruptedError
from raycompare.records.clock import Clock
from raycompare.records.journal import Journal
from raycompare.running import run as module
from tests import runs


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A run whose trials have all ended, from which only the end is left."""
    folder = runs.typical().write(tmp_path)
    finished = folder.read_manifest()
    made = module._Pipeline.__new__(module._Pipeline)
    made.folder, made.clock = folder, Clock()
    made.journal = Journal("mcc", "max")
    made.journal.keep(folder.read_trials(), folder.read_evaluations())
    made._saving, made.has_finished = threading.Lock(), False
    made.display = SimpleNamespace(say=lambda _: None)
    made.options = SimpleNamespace(on_last_word=None)
    as_of = {True: finished, False: module.replace(finished, complete=False)}
    made.draft = as_of[False]
    monkeypatch.setattr(made, "_make_manifest", lambda complete: as_of[complete])
    monkeypatch.setattr(made, "_train", lambda _: None)
    made._write_manifest(complete=False)
    return made


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


TRACKERS: Any = SimpleNamespace(follow=lambda _: None)


@pytest.mark.parametrize("where", ["write_report", "keep_best"])
def test_a_signal_after_the_manifest_leaves_a_finished_run(
    where: str, pipeline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, where, interrupt)
    if where != "write_report":
        monkeypatch.setattr(module, "write_report", lambda _: None)
    with pytest.raises(RunInterruptedError, match=r"the run has finished.*raycompare report"):
        pipeline.go((), TRACKERS)
    pipeline._save_without_ray()  # the thread that watches signals
    monkeypatch.setattr(module, "write_report", lambda _: None)
    pipeline._leave_partial_report()
    assert pipeline.folder.read_manifest().complete


def test_a_signal_before_the_manifest_leaves_an_interrupted_run(
    pipeline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "delete_what_only_runs_need", interrupt)
    pipeline.last_acts = LastActs(*[lambda: None] * 3)
    with pytest.raises(RunInterruptedError, match="--resume"):
        pipeline.go((), TRACKERS)
    pipeline._save_without_ray()
    assert not pipeline.folder.read_manifest().complete


@pytest.mark.parametrize("complete", [True, False])
def test_the_supervisor_says_whether_the_run_has_finished(
    complete: bool, pipeline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(supervisor, "warn", lines.append)
    monkeypatch.setattr("raycompare.report.write.write_report", lambda _: None)
    pipeline._write_manifest(complete=complete)
    supervisor._tell(pipeline.folder.uri)
    assert ("the run has finished" in lines[0]) == complete
    assert ("--resume" in lines[0]) != complete

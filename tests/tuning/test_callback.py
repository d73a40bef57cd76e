from __future__ import annotations

from pathlib import Path

import pytest

from raycompare.records.run_folder import RunFolder
from raycompare.tuning import callback
from raycompare.tuning.callback import FLUSH_SECONDS, JournalCallback
from raycompare.tuning.plan_order import PlanOrder
from tests.records.test_journal import Clock, journal


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

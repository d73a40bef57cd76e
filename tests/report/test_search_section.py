from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from raycompare.experiment.settings import SchedulerName
from raycompare.report.sections.search import partial_section, search_section
from raycompare.report.write import write_report
from tests import runs


@pytest.mark.parametrize("scheduler", get_args(SchedulerName))
def test_the_scheduler_is_named(scheduler: str) -> None:
    run = runs.empty("a", "b", tune={"scheduler": scheduler})
    run.tune("a", 0.5, 0.6)
    run.tune("a", 0.1, status="stopped_early", ending="rung", reason=runs.STOP, steps=100)
    section = search_section(run.compare())
    if scheduler == "fifo":
        assert "- The FIFO scheduler stops no trials early." in section
    else:
        assert "stopped 1 trial in the tune stage early, which saved 300 of 1,200" in section


def test_what_the_budget_ended_is_counted() -> None:
    run = runs.empty("a", tune={"time_budget_s": 60})
    run.tune("a", 0.5)
    run.tune("a", 0.4, status="stopped_early", ending="budget", reason="spent", steps=200)
    run.tune("a", 0.3, status="stopped_early", ending="max_usd", reason="spent", steps=200)
    assert "- The budget ended 2 trials in the tune stage early" in search_section(run.compare())


def test_trials_that_had_too_little_memory_are_told() -> None:
    run = runs.empty("a")
    run.tune("a", 0.5, halvings=0)
    run.tune("a", 0.6, halvings=2)
    section = search_section(run.compare())
    assert "- 1 trial ran out of memory and continued with batches split into up to 4" in section


def test_a_report_on_an_interrupted_run_says_so_first(tmp_path: Path) -> None:
    run = runs.empty("a", "b")
    run.tune("a", 0.5)
    run.tune("b", 0.4, status="interrupted", ending="cut_short", reason="cut short", steps=100)
    assert partial_section(run.compare()) == ""
    run.manifest = replace(run.manifest, complete=False)
    write_report(run.write(tmp_path))
    title, _, first, *_ = (tmp_path / "report.md").read_text().split("\n")
    assert title.startswith("# ")
    assert first.startswith("> **Partial.** The run was interrupted after 1 of the 2 trials")

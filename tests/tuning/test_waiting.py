from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from raycompare.experiment.spec import ResourceSpec
from raycompare.records.messages import TrialPlan
from raycompare.tuning import waiting
from raycompare.tuning.searcher import PLAN, config_of
from raycompare.tuning.waiting import AGAIN_S, FIRST_S, WaitingNotice

PENDING, RUNNING = "PENDING", "RUNNING"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the lines that are printed when trials have these states at these seconds."""
    said: list[str] = []

    def printed(*states: tuple[float, str]) -> list[str]:
        plan = TrialPlan(trial_id="t", stage="tune", model="a", order=0, seed=1, is_default=True)
        notice = WaitingNotice(said.append, {"a": ResourceSpec(cpu=2, gpu=1.0)})
        free = {"CPU": 1.0}
        monkeypatch.setattr(waiting.ray, "available_resources", lambda: free)
        for second, status in states:
            monkeypatch.setattr(waiting, "monotonic", lambda second=second: second)
            trial: Any = SimpleNamespace(status=status, config={PLAN: config_of(plan)})
            notice.on_step_end(0, [trial])
        return said

    return printed


def test_it_says_what_a_waiting_trial_needs_and_what_is_free(lines: Any) -> None:
    (line,) = lines((0, PENDING), (FIRST_S - 1, PENDING), (FIRST_S, PENDING))
    assert "needs cpu 2, gpu 1; free in the whole cluster are cpu 1, gpu 0" in line


def test_it_says_so_again_only_after_a_while(lines: Any) -> None:
    times = [0, FIRST_S, FIRST_S + 1, FIRST_S + AGAIN_S]
    assert len(lines(*((second, PENDING) for second in times))) == 2


def test_it_says_nothing_while_a_trial_runs_or_none_is_left(lines: Any) -> None:
    assert not lines((0, PENDING), (FIRST_S - 1, RUNNING), (FIRST_S + 1, PENDING))
    assert not lines((0, "TERMINATED"), (10 * FIRST_S, "TERMINATED"))

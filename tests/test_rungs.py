from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raycompare.rungs import Rungs, milestones


def test_milestones_are_powers_below_the_end() -> None:
    assert milestones(25, 2, 150) == (25, 50, 100)
    assert milestones(25, 3, 75) == (25,)
    assert milestones(80, 2, 75) == ()


def make(trials: int, steps: tuple[int, ...] = (10, 20), mode: str = "max") -> Rungs:
    rungs = Rungs(steps, 2, mode)  # type: ignore[arg-type]
    for number in range(trials):
        rungs.add(str(number))
    return rungs


def test_the_first_planned_trial_is_never_stopped() -> None:
    rungs = make(2)
    assert rungs.record("1", 10, 0.9) is None, "waits for the earlier trial"
    assert rungs.record("0", 10, 0.1) is None


def test_a_trial_below_the_median_of_earlier_ones_stops() -> None:
    rungs = make(3)
    rungs.record("0", 10, 0.5)
    rungs.record("1", 10, 0.7)
    assert rungs.record("2", 10, 0.55) == 0


def test_lower_is_better_in_mode_min() -> None:
    rungs = make(2, mode="min")
    rungs.record("0", 10, 0.5)
    assert rungs.record("1", 10, 0.6) == 0


def test_a_negative_metric_is_compared_as_it_is() -> None:
    rungs = make(3)
    rungs.record("0", 10, -0.2)
    assert rungs.record("1", 10, -0.3) == 0
    assert rungs.record("2", 10, -0.1) is None


def test_a_late_decision_stops_at_the_next_report() -> None:
    rungs = make(2)
    assert rungs.record("1", 10, 0.1) is None
    rungs.record("0", 10, 0.9)
    assert rungs.record("1", 13, 0.95) == 0, "judged by its value at the rung, not a later one"


def test_a_trial_that_failed_does_not_keep_others_waiting() -> None:
    rungs = make(3)
    rungs.record("0", 10, 0.9)
    rungs.end("1")
    assert rungs.record("2", 10, 0.1) == 0


def test_a_trial_stopped_below_does_not_count_at_the_rung_above() -> None:
    rungs = make(3)
    rungs.record("0", 20, 0.5)
    rungs.record("1", 10, 0.1)
    assert rungs.record("2", 20, 0.5) is None


def test_the_value_at_a_rung_is_the_first_at_or_after_it() -> None:
    rungs = make(2)
    rungs.record("0", 12, 0.5)
    rungs.record("0", 15, 0.9)
    assert rungs.record("1", 11, 0.6) is None


def test_adding_a_trial_twice_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError):
        make(2).add("0")


def survivors(curves: list[list[float]], workers: int, seed: int) -> dict[str, int]:
    """Run the trials on `workers` with random speeds; return the rung that ruled out each."""
    rungs = make(len(curves), steps=(1, 2, 4))
    speed = random.Random(seed)
    waiting = [str(number) for number in range(len(curves))]
    running: dict[str, int] = {}
    while waiting or running:
        while waiting and len(running) < workers:
            running[waiting.pop(0)] = 0
        trial = speed.choice(sorted(running))
        running[trial] += 1
        stopped = rungs.record(trial, running[trial], curves[int(trial)][running[trial] - 1])
        if stopped is not None or running[trial] == len(curves[int(trial)]):
            rungs.end(trial)
            del running[trial]
    verdicts = {trial: rungs._stopped_at(trial) for trial in map(str, range(len(curves)))}
    return {trial: rung for trial, rung in verdicts.items() if rung is not None}


curve = st.lists(st.floats(-1, 1), min_size=8, max_size=8)


@given(curves=st.lists(curve, min_size=1, max_size=8), seed=st.integers(0, 10**6))
def test_the_number_and_speed_of_workers_do_not_change_the_decisions(
    curves: list[list[float]], seed: int
) -> None:
    alone = survivors(curves, workers=1, seed=0)
    assert survivors(curves, workers=4, seed=seed) == alone


def by_percentile(curves: list[list[float]]) -> dict[str, int]:
    """Decide one trial after another, by NumPy's percentile of all earlier ones at each rung."""
    ruled_out: dict[str, int] = {}
    seen: list[list[float]] = [[], [], []]
    for trial, values in enumerate(curves):
        for rung, step in enumerate((1, 2, 4)):
            value, peers = values[step - 1], seen[rung].copy()
            seen[rung].append(value)
            if peers and value < np.percentile(peers, 50):
                ruled_out[str(trial)] = rung
                break
    return ruled_out


@given(curves=st.lists(curve, min_size=1, max_size=12))
def test_a_rung_cuts_at_the_percentile_of_those_before(curves: list[list[float]]) -> None:
    assert survivors(curves, workers=1, seed=0) == by_percentile(curves)


def test_the_work_of_a_report_does_not_grow_with_the_trials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    standing = Rungs._standing
    monkeypatch.setattr(Rungs, "_standing", lambda *args: asked.append(args[2]) or standing(*args))
    chance = random.Random(1)
    trials, evaluations, rungs = 400, 8, 3
    curves = [[chance.random() for _ in range(evaluations)] for _ in range(trials)]
    survivors(curves, workers=16, seed=1)
    reports_and_ends = trials * (evaluations + 1)
    assert len(asked) <= rungs * (reports_and_ends + trials)

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raycompare.experiment.settings import TuneSpec
from raycompare.tuning.schedulers.asha import Rungs
from raycompare.tuning.schedulers.base import Decision, Rule, Ruling, milestones
from raycompare.tuning.schedulers.registry import rungs_reached

Curves = Sequence[Sequence[float]]


def test_milestones_are_powers_below_the_end() -> None:
    assert milestones(25, 2, 150) == (25, 50, 100)
    assert milestones(25, 3, 75) == (25,)
    assert milestones(80, 2, 75) == ()


def tune(mode: str = "max", **settings: Any) -> TuneSpec:
    return TuneSpec(metric="accuracy" if mode == "max" else "loss", **settings)


def make(trials: int, steps: tuple[int, ...] = (10, 20), mode: str = "max") -> Rungs:
    rungs = Rungs(steps, tune(mode))
    for number in range(trials):
        rungs.add(str(number))
    return rungs


def report(rule: Rule, trial_id: str, step: int, value: float) -> None:
    rule.record(trial_id, rungs_reached(rule.steps, step, is_last=False), value)


def said(rungs: Rungs, trial_id: str, step: int, value: float) -> Ruling:
    report(rungs, trial_id, step, value)
    return rungs.standing(trial_id)


GO = Ruling(Decision.GO)
STOP_AT_10 = Ruling(Decision.STOP, "not in the best part of the rung at step 10")


def test_the_first_planned_trial_is_never_stopped() -> None:
    rungs = make(2)
    assert said(rungs, "1", 10, 0.9) == GO, "waits for the earlier trial"
    assert said(rungs, "0", 10, 0.1) == GO


def test_a_trial_below_the_median_of_earlier_ones_stops() -> None:
    rungs = make(3)
    report(rungs, "0", 10, 0.5)
    report(rungs, "1", 10, 0.7)
    assert said(rungs, "2", 10, 0.55) == STOP_AT_10


def test_lower_is_better_in_mode_min() -> None:
    rungs = make(2, mode="min")
    report(rungs, "0", 10, 0.5)
    assert said(rungs, "1", 10, 0.6) == STOP_AT_10


def test_a_negative_metric_is_compared_as_it_is() -> None:
    rungs = make(3)
    report(rungs, "0", 10, -0.2)
    assert said(rungs, "1", 10, -0.3) == STOP_AT_10
    assert said(rungs, "2", 10, -0.1) == GO


def test_a_late_decision_stops_at_the_next_report() -> None:
    rungs = make(2)
    assert said(rungs, "1", 10, 0.1) == GO
    report(rungs, "0", 10, 0.9)
    judged = said(rungs, "1", 13, 0.95)
    assert judged == STOP_AT_10, "judged by its value at the rung, not a later one"


def test_a_trial_that_failed_does_not_keep_others_waiting() -> None:
    rungs = make(3)
    report(rungs, "0", 10, 0.9)
    rungs.end("1")
    assert said(rungs, "2", 10, 0.1) == STOP_AT_10


def test_a_trial_stopped_below_does_not_count_at_the_rung_above() -> None:
    rungs = make(3)
    report(rungs, "0", 20, 0.5)
    report(rungs, "1", 10, 0.1)
    assert said(rungs, "2", 20, 0.5) == GO


def test_the_value_at_a_rung_is_the_first_at_or_after_it() -> None:
    rungs = make(2)
    report(rungs, "0", 12, 0.5)
    report(rungs, "0", 15, 0.9)
    assert said(rungs, "1", 11, 0.6) == GO


def test_a_reason_counts_in_the_unit_of_the_rungs() -> None:
    rungs = Rungs((640,), tune(time_attr="examples"))
    rungs.add("0")
    rungs.add("1")
    report(rungs, "0", 640, 0.5)
    expected = "not in the best part of the rung at example 640"
    assert said(rungs, "1", 640, 0.4).reason == expected


def test_adding_a_trial_twice_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError):
        make(2).add("0")


def test_a_value_that_compares_with_nothing_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError):
        make(1).record("0", [0], float("nan"))


@dataclass(frozen=True)
class World:
    """What trials would report, a value each step, and the reports after which each ends."""

    curves: Curves
    lengths: Sequence[int]

    @property
    def trials(self) -> list[str]:
        return [str(place) for place in range(len(self.curves))]


class Cluster:
    """Workers of random speed, and a scheduler that drives a rule with what they report."""

    def __init__(self, rule: Rule, world: World, workers: int = 1, seed: int = 0) -> None:
        self.rule, self.world, self.workers = rule, world, workers
        self.random = random.Random(seed)
        self.planned: list[str] = []
        self.ready: list[str] = []
        self.running: list[str] = []
        self.paused: list[str] = []
        self.ended: list[str] = []
        self.reports = dict.fromkeys(world.trials, 0)

    def run(self, one_by_one: bool = False) -> dict[str, Ruling]:
        for _ in self.events(one_by_one):
            pass
        return {trial: self.rule.standing(trial) for trial in self.planned}

    def events(self, one_by_one: bool = False) -> Iterator[None]:
        """Advance by a report or an end at a time; plan all at once, or when a worker is free."""
        unplanned = list(self.world.trials)
        while unplanned or self.ready or self.running:
            while unplanned and not (one_by_one and (self.ready or self.running)):
                self.plan(unplanned.pop(0), closes=not unplanned)
            while self.ready and len(self.running) < self.workers:
                self.running.append(self.ready.pop(0))
            self.advance(self.random.choice(self.running))
            while any(self.moves_on(trial) for trial in tuple(self.paused)):
                pass
            yield

    def plan(self, trial: str, closes: bool) -> None:
        self.rule.add(trial)
        self.planned.append(trial)
        self.ready.append(trial)
        if closes:
            self.rule.close()

    def advance(self, trial: str) -> None:
        if self.reports[trial] == self.world.lengths[int(trial)]:
            self.end(trial, self.running)
            return
        self.reports[trial] += 1
        self.report(self.rule, trial, self.reports[trial])
        match self.rule.standing(trial).decision:
            case Decision.STOP:
                self.end(trial, self.running)
            case Decision.WAIT:
                self.running.remove(trial)
                self.paused.append(trial)

    def moves_on(self, trial: str) -> bool:
        decision = self.rule.standing(trial).decision
        if decision is Decision.STOP:
            self.end(trial, self.paused)
        elif decision is Decision.GO:
            self.paused.remove(trial)
            self.ready.append(trial)
        return decision is not Decision.WAIT

    def report(self, rule: Rule, trial: str, step: int) -> None:
        report(rule, trial, step, self.world.curves[int(trial)][step - 1])

    def end(self, trial: str, place: list[str]) -> None:
        self.rule.end(trial)
        place.remove(trial)
        self.ended.append(trial)

    def tell(self, rule: Rule, order: Sequence[str]) -> None:
        """Tell a rule what became of the trials, one of them after another."""
        for trial in order:
            for step in range(1, self.reports[trial] + 1):
                self.report(rule, trial, step)
            if trial in self.ended:
                rule.end(trial)


def complete(curves: Curves) -> World:
    return World(curves, [len(curve) for curve in curves])


def reasons(standings: dict[str, Ruling]) -> dict[str, str]:
    """Return why each trial was stopped that was."""
    stopped = {t: r for t, r in standings.items() if r.decision is Decision.STOP}
    return {trial: ruling.reason for trial, ruling in stopped.items()}


def stops(curves: Curves, workers: int = 1, seed: int = 0) -> dict[str, str]:
    return reasons(Cluster(Rungs((1, 2, 4), tune()), complete(curves), workers, seed).run())


curve = st.lists(st.floats(-1, 1), min_size=8, max_size=8)


@given(curves=st.lists(curve, min_size=1, max_size=8), seed=st.integers(0, 10**6))
def test_the_number_and_speed_of_workers_do_not_change_the_decisions(
    curves: Curves, seed: int
) -> None:
    alone = stops(curves)
    assert stops(curves, workers=4, seed=seed) == alone


def by_percentile(curves: Curves) -> dict[str, str]:
    """Decide one trial after another, by NumPy's percentile of all earlier ones at each rung."""
    ruled_out: dict[str, str] = {}
    seen: dict[int, list[float]] = {1: [], 2: [], 4: []}
    for trial, values in enumerate(curves):
        for step, before in seen.items():
            value, peers = values[step - 1], before.copy()
            before.append(value)
            if peers and value < np.percentile(peers, 50):
                ruled_out[str(trial)] = f"not in the best part of the rung at step {step}"
                break
    return ruled_out


@given(curves=st.lists(curve, min_size=1, max_size=12))
def test_a_rung_cuts_at_the_percentile_of_those_before(curves: Curves) -> None:
    assert stops(curves) == by_percentile(curves)

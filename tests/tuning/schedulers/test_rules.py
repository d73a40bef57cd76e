from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, islice, product
from math import exp, log2
from operator import itemgetter
from statistics import fmean, median
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from raycompare.metrics import Mode
from raycompare.tuning.schedulers.asha import Rungs
from raycompare.tuning.schedulers.base import Decision, Rule, TrialCurve, Verdict
from raycompare.tuning.schedulers.median import MedianStopping
from raycompare.tuning.schedulers.pasha import Pasha
from raycompare.tuning.schedulers.top_k import TopK
from tests.tuning.schedulers.test_asha import GO, Cluster, Curves, World, complete, reasons, tune

STEPS, LENGTH = (1, 2, 4, 5), 6
SETTLED = "the ranking had settled by step "


class MedianOfTwo(MedianStopping):
    min_samples = 2


Make = Callable[[Mode], Rule]
RULES: dict[str, Make] = {
    "halving": lambda mode: Rungs(STEPS, tune(mode, reduction_factor=3)),
    "median": lambda mode: MedianOfTwo(STEPS, tune(mode)),
    "top k": lambda mode: TopK((2, 4), tune(mode, top_k=2)),
    "pasha": lambda mode: Pasha(STEPS, tune(mode)),
    "pasha with one rung": lambda mode: Pasha((2,), tune(mode)),
}
every_rule = pytest.mark.parametrize("make", RULES.values(), ids=RULES)
some = settings(max_examples=40)

value = st.integers(-2, 2).map(lambda number: number / 2) | st.floats(-1, 1)
noisy_curve = st.builds(
    lambda level, size, noise: [level + size * one for one in noise],
    st.integers(0, 6).map(float),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.lists(st.floats(-1, 1), min_size=LENGTH, max_size=LENGTH),
)
curve = st.lists(value, min_size=LENGTH, max_size=LENGTH) | noisy_curve
all_curves = st.lists(curve, min_size=1, max_size=9)
ends = st.tuples(curve, st.just(LENGTH) | st.integers(0, LENGTH))
worlds = st.lists(ends, min_size=1, max_size=9).map(
    lambda trials: World(*zip(*trials, strict=True))
)
sizes = st.integers(1, 5)
seeds = st.integers(0, 10**6)


@every_rule
@some
@given(world=worlds, workers=sizes, seed=seeds, one_by_one=st.booleans())
def test_neither_workers_nor_their_speed_nor_a_late_plan_change_a_decision(
    make: Make, world: World, workers: int, seed: int, one_by_one: bool
) -> None:
    alone = Cluster(make("max"), world).run()
    assert Cluster(make("max"), world, workers, seed).run(one_by_one) == alone


@every_rule
@some
@given(world=worlds, workers=sizes, seed=seeds)
def test_trials_wait_where_it_is_announced_and_none_is_left_waiting(
    make: Make, world: World, workers: int, seed: int
) -> None:
    cluster = Cluster(make("max"), world, workers, seed)
    for _ in cluster.events():
        assert {cluster.reports[trial] for trial in cluster.paused} <= set(cluster.rule.waits_at)
    assert Decision.WAIT not in [cluster.rule.standing(trial).decision for trial in world.trials]
    assert sorted(cluster.ended) == world.trials


@every_rule
@some
@given(world=worlds, workers=sizes, seed=seeds)
def test_the_default_is_stopped_only_where_trials_wait_and_at_the_first_rung_only_with_all_there(
    make: Make, world: World, workers: int, seed: int
) -> None:
    cluster = Cluster(make("max"), world, workers, seed)
    first = cluster.rule.steps[0]
    for _ in cluster.events():
        if cluster.rule.standing("0").decision is Decision.STOP:
            assert cluster.reports["0"] >= cluster.rule.waits_at[0]
            missing = {t for t in world.trials if cluster.reports[t] < first} - {*cluster.ended}
            assert cluster.rule.waits_at[0] > first or not missing


@every_rule
@some
@given(curves=all_curves, place=st.integers(0, 9))
def test_the_best_at_every_rung_is_stopped_only_when_the_ranking_has_settled(
    make: Make, curves: Curves, place: int
) -> None:
    best = [max(values) + 1 for values in zip(*curves, strict=True)]
    with_best = [*curves[:place], best, *curves[place:]]
    standing = Cluster(make("max"), complete(with_best)).run()[str(with_best.index(best))]
    assert standing == GO or standing.reason.startswith(SETTLED)


@every_rule
@some
@given(world=worlds, seed=seeds, events=st.integers(0, 40), data=st.data())
def test_a_rule_that_is_told_what_is_known_is_in_the_state_of_one_that_saw_it(
    make: Make, world: World, seed: int, events: int, data: st.DataObject
) -> None:
    cluster, told = Cluster(make("max"), world, workers=3, seed=seed), make("max")
    for _ in islice(cluster.events(), events + 1):
        pass
    for trial in cluster.planned:
        told.add(trial)
    tell = [told.close, *(lambda t=t: cluster.tell(told, [t]) for t in cluster.planned)]
    for act in data.draw(st.permutations(tell)):
        act()
    assert vars(told) == vars(cluster.rule)
    cluster.tell(told, cluster.planned)
    assert vars(told) == vars(cluster.rule), "telling it again changes nothing"


@every_rule
@some
@given(world=worlds)
def test_lower_is_better_in_mode_min(make: Make, world: World) -> None:
    turned = World([[-value for value in curve] for curve in world.curves], world.lengths)
    assert Cluster(make("min"), turned).run() == Cluster(make("max"), world).run()


class Peers(list[float]):
    """Counts how often it is looked into."""

    looks = 0
    sort: Any = None  # they are to be kept in order

    def __getitem__(self, index: Any) -> Any:
        self.looks += 1
        return super().__getitem__(index)

    def __iter__(self) -> Iterator[float]:
        self.looks += len(self)
        return super().__iter__()


@pytest.mark.parametrize("name", ["halving", "median"])
def test_the_work_of_a_report_does_not_grow_with_the_trials(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, presence = list[int](), Rule._presence

    def counted(rule: Rule, entry: TrialCurve, rung: int) -> Verdict:
        asked.append(rung)
        return presence(rule, entry, rung)

    monkeypatch.setattr(Rule, "_presence", counted)
    chance, trials, rule = random.Random(1), 400, RULES[name]("max")
    peers = [Peers() for _ in STEPS]
    for rung, counting in zip(rule._rungs, peers, strict=True):
        rung.peers = counting
    curves = [[chance.random() for _ in range(LENGTH)] for _ in range(trials)]
    Cluster(rule, complete(curves), workers=16, seed=1).run()
    reports_and_ends = trials * (LENGTH + 1)
    assert len(asked) <= len(STEPS) * (reports_and_ends + 1 + trials)
    assert max(one.looks for one in peers) <= trials * (log2(trials) + 4)


def by_median(curves: Curves) -> dict[str, str]:
    """Decide one trial after another, by a median that is taken anew each time."""
    ruled_out: dict[str, str] = {}
    seen: dict[int, list[float]] = {step: [] for step in STEPS}
    for trial, values in enumerate(curves):
        for rung, (step, means) in enumerate(seen.items()):
            so_far = [values[lower - 1] for lower in STEPS[: rung + 1]]
            peers = means.copy()
            means.append(min(fmean(so_far), max(so_far)))
            if len(peers) >= 2 and max(so_far) < median(peers):
                ruled_out[str(trial)] = f"worse than the median of earlier trials at step {step}"
                break
    return ruled_out


def stopped(rule: Rule, curves: Curves) -> dict[str, str]:
    return reasons(Cluster(rule, complete(curves)).run())


@given(curves=all_curves)
def test_the_best_so_far_is_held_against_the_median_of_running_means(curves: Curves) -> None:
    assert stopped(MedianOfTwo(STEPS, tune()), curves) == by_median(curves)


def test_equal_curves_are_not_below_their_own_median() -> None:
    assert stopped(MedianStopping(STEPS, tune()), [[0.1] * LENGTH] * 5) == {}


def test_of_equal_trials_the_best_k_are_those_planned_first() -> None:
    curves = [[0.1, 0.5], [0.9, 0.2], [0.5, 0.5], [0.5, 0.9], [0.5, 0.5]]
    rule, reason = TopK((1,), tune(top_k=2, time_attr="examples")), "not among the best 2 of 5"
    assert stopped(rule, curves) == dict.fromkeys("034", f"{reason} at example 1")


def test_a_trial_that_ends_before_the_first_rung_is_not_among_those_compared() -> None:
    curves = [[0.1, 0.2], [0.9], [0.5, 0.3], [0.5, 0.4]]
    rule = TopK((2,), tune(top_k=2))
    assert stopped(rule, curves) == {"0": "not among the best 2 of 3 at step 2"}


def test_nothing_is_stopped_where_there_is_no_rung() -> None:
    for rule in (Rungs((), tune()), TopK((), tune()), Pasha((), tune())):
        assert stopped(rule, [[0.1], [0.9], [0.5]]) == {}


def rankings_agree(curves: Curves, rung: int) -> bool:
    """Compare the ranking at a rung with that below, with tests of all pairs for the noise."""
    here, below = ([curve[STEPS[number] - 1] for curve in curves] for number in (rung, rung - 1))
    apart = []
    for one, other in combinations(curves, 2):
        leads = np.sign([one[step - 1] - other[step - 1] for step in STEPS[: rung + 1]])
        if np.count_nonzero(np.diff(leads[leads != 0])) >= 2:
            apart.append(abs(one[STEPS[rung] - 1] - other[STEPS[rung] - 1]))
    noise = np.percentile(apart, 90) if apart else 0
    now, before = np.lexsort((below, here)), np.argsort(below)
    return all(abs(below[i] - below[j]) <= noise for i, j in zip(now, before, strict=True))


def by_rankings(curves: Curves) -> dict[str, str]:
    """Follow the trials from rung to rung, each rung with everything known of those below."""
    ruled_out: dict[str, str] = {}
    alive = list(range(len(curves)))
    for rung, step in enumerate(STEPS):
        passed: list[int] = []
        capped = rung > 0
        values = [curves[trial][step - 1] for trial in alive]
        for place, trial in enumerate(alive):
            there = alive[: place + 1]
            if not capped and (not place or values[place] >= np.percentile(values[:place], 50)):
                passed.append(trial)
            elif capped and not rankings_agree([curves[other] for other in there], rung):
                capped, cut = False, np.percentile(values[: place + 1], 50)
                passed = [other for other in there if curves[other][step - 1] >= cut]
        if capped:
            return ruled_out | {str(trial): f"{SETTLED}{step}" for trial in alive}
        out = (str(trial) for trial in alive if trial not in passed)
        ruled_out |= dict.fromkeys(out, f"not in the best part of the rung at step {step}")
        alive = passed
    return ruled_out


def made_up(chance: random.Random) -> Curves:
    """Make up curves that differ in level and noise; in some worlds many values are equal."""
    size, digits = chance.randint(2, 16), chance.choice([0, 12])
    shapes = [(chance.randint(0, 4), chance.choice([0.3, 1, 2])) for _ in range(size)]
    return [
        [round(level + noise * chance.uniform(-1, 1), digits) for _ in range(LENGTH)]
        for level, noise in shapes
    ]


@settings(max_examples=400)
@example(seed=152)  # noise at a cap that is not noise at the next
@given(seed=seeds)
def test_the_cap_rises_where_longer_training_changes_the_ranking(seed: int) -> None:
    world, told = complete(made_up(random.Random(seed))), Pasha(STEPS, tune())
    cluster = Cluster(Pasha(STEPS, tune()), world)
    assert reasons(cluster.run()) == by_rankings(world.curves)
    for trial in world.trials:
        told.add(trial)
    for trial, step in product(world.trials, range(1, LENGTH + 1)):
        cluster.report(told, trial, step)
    told.close()
    for trial in world.trials:
        assert told.standing(trial) == cluster.rule.standing(trial), "values beyond the cap count"


def learning(chance: random.Random, top: float, pace: float) -> list[float]:
    """Make up a curve of 16 steps that is two thirds of the way to its top after `pace` steps."""
    top += chance.gauss(0, 0.02)
    return [top * (1 - exp(-step / pace)) + chance.gauss(0, 0.01) for step in range(1, 17)]


def survivors(curves: Curves, rungs: tuple[int, ...]) -> list[Sequence[float]]:
    out = stopped(Rungs(rungs, tune()), curves)
    return [curve for trial, curve in enumerate(curves) if str(trial) not in out]


def test_rungs_per_model_name_a_slow_starter_that_is_best_and_pooled_ones_seldom() -> None:
    chance, rungs = random.Random(1), (4, 8)
    named = dict.fromkeys(("pooled", "per model", "nothing stopped"), 0)
    for _ in range(200):
        slow = [learning(chance, 0.83, 4) for _ in range(8)]
        fast = [learning(chance, 0.80, 1) for _ in range(8)]
        together = [curve for pair in zip(slow, fast, strict=True) for curve in pair]
        completed: dict[str, list[Sequence[float]]] = {
            "pooled": survivors(together, rungs),
            "per model": survivors(slow, rungs) + survivors(fast, rungs),
            "nothing stopped": [*slow, *fast],
        }
        for way, curves in completed.items():
            named[way] += max(curves, key=itemgetter(-1)) in slow
    assert named["pooled"] < 0.5 * named["per model"]
    assert named["per model"] > 0.9 * named["nothing stopped"]

"""Whether the claims hold with `seeds: auto`, and what it saves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from time import perf_counter

from benchmarks.honesty.aims import at_most, holds_truth
from benchmarks.honesty.public import Choices, choose, fixed, raced
from benchmarks.honesty.races import Rules, free
from benchmarks.honesty.replays import Result, replay
from benchmarks.honesty.worlds import SimulatedWorld
from benchmarks.page import Goal, Page, wrap
from raycompare.analysis.statistics.pairwise import LEVEL
from raycompare.experiment.settings import ConfirmSpec
from raycompare.formatting import number_of, table

AUTO = Rules()
EVERYBODY = Rules(name="auto, min_chance 0", confirm=ConfirmSpec(seeds="auto", min_chance=0))
NAIVE = replace(EVERYBODY, name="auto, min_chance 0, peeking for free", price=free)
RACES = (
    SimulatedWorld(models=2, rules=AUTO),
    SimulatedWorld(models=2, rules=AUTO, spread=(0.02, 0.3), rows=2000),
    SimulatedWorld(models=2, rules=EVERYBODY, spread=(0.02, 0.3), rows=2000),
    SimulatedWorld(models=8, rules=AUTO),
    SimulatedWorld(models=8, rules=AUTO, spread=(0.02, 0.1, 0.3)),
    SimulatedWorld(models=8, rules=AUTO, has_baseline=True),
    SimulatedWorld(models=8, rules=EVERYBODY, spread=(0.02, 0.1, 0.3)),
    SimulatedWorld(models=16, rules=AUTO, spread=(0.02, 0.1, 0.3)),
)
PEEKING = SimulatedWorld(models=2, rules=NAIVE, spread=(0.02, 0.3), rows=2000)
"""A world in which the tests must be seen to fail if peeking is not paid for."""
MOST_TRAININGS = 0.6
"""Share of the trainings of five seeds with which a race has to name the best as often."""


FIXED, FIVE = (1, 3, 5), "5 seeds"
PUBLIC_REPLAYS = 60
"""Orders of the public trainings, per 1,000 replays."""


def auto_page(replays: int) -> Page:
    """Replay races, in worlds whose truth is known and on public results."""
    began = perf_counter()
    results = [replay(world, replays // 2) for world in RACES]
    naive = replay(PEEKING, replays // 2)
    orders = max(2, replays * PUBLIC_REPLAYS // 1000)
    choices = [
        choose(number_of(number, "seed"), partial(fixed, number), orders) for number in FIXED
    ]
    auto = choose(AUTO.name, partial(raced, AUTO), orders)
    seconds = perf_counter() - began
    return Page(
        name="honesty-auto",
        title="Seeds where they decide something: what it saves, and how often the report is wrong",
        command=f"python -m benchmarks.honesty --only auto --replays {replays}",
        method=f"{_method(replays // 2, orders)}\n\nThe replays took {seconds:.0f} s.",
        results=f"{_worlds_table([*results, naive])}\n\n{_public_table([*choices, auto])}",
        goals=list(goals(results, naive, choices, auto)),
    )


def goals(
    results: Sequence[Result], naive: Result, choices: Sequence[Choices], auto: Choices
) -> Iterator[Goal]:
    """Return the claims of docs/statistics.md about `seeds: auto`."""
    for result in results:
        name = result.world.name
        yield at_most(f"equal models called different: {name}", result.false_differences)
        yield at_most(f"the best model ruled out: {name}", result.best_ruled_out)
        yield holds_truth(f"intervals hold the truth: {name}", result.covered)
        yield holds_truth(f"the leader's does: {name}", result.leader_covered)
    yield Goal(
        name=f"errors are seen where they are: {naive.world.name}",
        aim=f"> {LEVEL:.0%} ruled out",
        measured=f"{naive.best_ruled_out.share:.1%}",
        met=naive.best_ruled_out.share > LEVEL,
    )
    five = next(each for each in choices if each.name == FIVE)
    yield Goal(
        name="the best is named as often as with 5 seeds, on public results",
        aim=f">= {five.named_best:.1%}",
        measured=f"{auto.named_best:.1%}",
        met=auto.named_best >= five.named_best,
    )
    yield Goal(
        name="trainings, as a share of those with 5 seeds",
        aim=f"<= {MOST_TRAININGS:.0%}",
        measured=f"{auto.trainings / five.trainings:.0%}",
        met=auto.trainings <= MOST_TRAININGS * five.trainings,
    )


def _method(replays: int, orders: int) -> str:
    paragraphs = (
        f"""
        In the first table, all models are truly equal: {replays:,} replays of each world (see the
        page *honesty* for the worlds). Every model has 2 seeds, and gets up to 10 as in a run with
        `seeds: auto`. *Set aside* is how often one model, which is as good as all others, got no
        further seeds without being ruled out. *Peeking for free* repeats a test at 5 % after every
        round; it has to fail.
        """,
        f"""
        The second table is about public results (benchmarks/honesty/public.py): 20 trainings of six
        encoders on 36 data sets, in {orders} random orders. The best model is the one with the best
        mean of all 20 trainings. *Trainings* are per model. No predictions are public, so test rows
        are taken as they are.
        """,
    )
    return wrap(paragraphs)


def _worlds_table(results: Sequence[Result]) -> str:
    rows = [
        [
            result.world.name,
            f"{result.trainings:.1f}",
            f"{result.false_differences.share:.1%}",
            f"{result.best_ruled_out.share:.1%}",
            f"{result.best_set_aside:.0%}",
            f"{result.contenders:.1f}",
            f"{result.covered:.1%}",
            f"{result.leader_covered:.1%}",
        ]
        for result in results
    ]
    headers = ["world", "trainings", "called different", "ruled out", "set aside", "may be best"]
    return table([*headers, "intervals hold", "leader's holds"], rows)


def _public_table(choices: Sequence[Choices]) -> str:
    rows = [
        [
            each.name,
            f"{each.trainings:.2f}",
            f"{each.named_best:.1%}",
            f"{each.best_ruled_out:.1%}",
            f"{each.contenders:.1f}",
        ]
        for each in choices
    ]
    return table(["seeds", "trainings", "names the best", "best ruled out", "not ruled out"], rows)

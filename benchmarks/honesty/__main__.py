"""Whether the report's claims hold in worlds whose truth is known: `make bench-honesty`.

Ends with 1 if a goal is missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Annotated, Literal

import typer

from benchmarks.honesty import recording
from benchmarks.honesty.aims import at_most, holds_truth
from benchmarks.honesty.auto import auto_page
from benchmarks.honesty.replays import Result, replay, replay_gap
from benchmarks.honesty.worlds import RecordedWorld, SimulatedWorld, World
from benchmarks.page import Goal, Page, wrap
from raycompare.analysis.statistics.contenders import POWER
from raycompare.formatting import score, table

Part = Literal["fixed", "auto"]
REPLAYS = 1000
MOST_MODELS = 16
"""Worlds with more models are replayed less often."""
LEEWAY = 0.05

SIMULATED = (
    SimulatedWorld(models=2),
    SimulatedWorld(models=2, seeds=(2,)),
    SimulatedWorld(models=2, spread=(0.02, 0.3), rows=2000),
    SimulatedWorld(models=2, seeds=(2, 5), spread=(0.3, 0.02), rows=2000),
    SimulatedWorld(models=2, seeds=(5,), spread=(0.02, 0.3)),
    SimulatedWorld(models=8),
    SimulatedWorld(models=8, seeds=(5,)),
    SimulatedWorld(models=8, spread=(0.02, 0.1, 0.3)),
    SimulatedWorld(models=8, seeds=(2, 8), spread=(0.02, 0.1, 0.3)),
    SimulatedWorld(models=8, has_baseline=True),
    SimulatedWorld(models=8, failures=0.1),
    SimulatedWorld(models=8, labels=2, metric="matthews_correlation"),
    SimulatedWorld(models=8, labels=50, metric="matthews_correlation"),
    SimulatedWorld(models=16),
    SimulatedWorld(models=16, spread=(0.02, 0.1, 0.3), rows=2000),
    SimulatedWorld(models=40),
    SimulatedWorld(models=40, seeds=(5,), spread=(0.02, 0.1, 0.3)),
)
GAPS = (
    SimulatedWorld(models=2),
    SimulatedWorld(models=2, seeds=(5,)),
    SimulatedWorld(models=8, spread=(0.03,)),
    SimulatedWorld(models=8),
    SimulatedWorld(models=8, seeds=(5,)),
    SimulatedWorld(models=40),
)


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The results in all worlds."""

    equal: Sequence[Result]
    """Worlds in which all models are equal."""
    gaps: Sequence[Result]
    """Worlds in which the first model is better, by the difference that would be missed."""


def replay_all(worlds: Sequence[World], gaps: Sequence[SimulatedWorld], replays: int) -> Findings:
    """Replay every world."""
    return Findings(
        equal=[replay(world, _number(world, replays)) for world in worlds],
        gaps=[
            replay_gap(world, replay(world, replays // 10).missed, replays // 4) for world in gaps
        ],
    )


def _number(world: World, replays: int) -> int:
    many = isinstance(world, SimulatedWorld) and world.models > MOST_MODELS
    return replays // 2 if many else replays


def recorded_worlds() -> list[RecordedWorld]:
    """Return worlds of copies of each recorded model."""
    recorded = recording.load()
    return [
        RecordedWorld(recording=recorded, model=model, copies=copies, seeds=seeds)
        for model in recorded.predictions
        for copies, seeds in ((4, 3), (2, 5))
    ]


def goals(findings: Findings) -> Iterator[Goal]:
    """Return the claims of docs/statistics.md for each world."""
    for result in findings.equal:
        yield at_most(
            f"equal models called different: {result.world.name}", result.false_differences
        )
        yield at_most(f"the best model ruled out: {result.world.name}", result.best_ruled_out)
        # No interval can cover trainings that fail if none of those at hand did.
        if isinstance(result.world, SimulatedWorld) and not result.world.failures:
            yield holds_truth(f"intervals hold the truth: {result.world.name}", result.covered)
            yield holds_truth(f"the leader's does: {result.world.name}", result.leader_covered)
    for result in findings.gaps:
        yield Goal(
            name=f"a difference as stated is found: {result.world.name}",
            aim=f">= {POWER:.0%}, within {100 * LEEWAY:.0f} points",
            measured=f"{result.ruled_out:.1%}",
            met=result.ruled_out >= POWER - LEEWAY,
        )


def main(
    replays: Annotated[int, typer.Option(min=20, help="Reports of each world.")] = REPLAYS,
    only: Annotated[Part | None, typer.Option(help="One of the two pages; default: both.")] = None,
) -> None:
    """Replay, write the pages of the benchmark, and end with 1 if a goal is missed."""
    pages = [make(replays) for part, make in MAKERS.items() if only in (None, part)]
    for page in pages:
        page.write()
    raise typer.Exit(int(not all(goal.met for page in pages for goal in page.goals)))


def fixed_page(replays: int) -> Page:
    """Replay reports with a list of seeds."""
    began = perf_counter()
    findings = replay_all([*SIMULATED, *recorded_worlds()], GAPS, replays)
    seconds = perf_counter() - began
    return Page(
        name="honesty",
        title="How often the report is wrong, in worlds whose truth is known",
        command=f"python -m benchmarks.honesty --only fixed --replays {replays}",
        method=f"{_method(replays)}\n\nThe replays took {seconds:.0f} s.",
        results=f"{_equal_table(findings.equal)}\n\n{_gaps_table(findings.gaps)}",
        goals=list(goals(findings)),
    )


MAKERS: Mapping[Part, Callable[[int], Page]] = {"fixed": fixed_page, "auto": auto_page}


def _method(replays: int) -> str:
    paragraphs = (
        f"""
        A replay draws the predictions of all models for the test rows and judges them as the
        report does. In the first table, all models are truly equal: {replays:,} replays of each
        world, half as many with more than {MOST_MODELS} models. *Spread* is what a seed adds to
        all rows, on the scale of the noise of single rows; 0.1 moves the accuracy of a model by
        0.01 to 0.02. Several values are those of the models in turn. *Ruled out* is how often one
        model, which is as good as all others, is not in the set that may be the best.
        """,
        f"""
        In the second table, the first model is better than all others by as much as reports of
        this world say would probably be missed; {replays // 4:,} replays. *Found* is the share of
        the other models that are ruled out.
        """,
        """
        Copies are of models that were fine-tuned on AG News with 12 seeds each and answered the
        same 2,000 rows (benchmarks/honesty/experiment.yaml; `python -m
        benchmarks.honesty.recording` took the predictions from the run). A replay draws 1,000 of
        the rows and some of the networks, none twice.
        """,
    )
    return wrap(paragraphs)


def _equal_table(results: Sequence[Result]) -> str:
    rows = [
        [
            result.world.name,
            f"{result.false_differences.share:.1%}",
            f"{result.best_ruled_out.share:.1%}",
            f"{result.contenders:.1f}",
            score(result.missed),
            *(
                [f"{result.covered:.1%}", f"{result.leader_covered:.1%}"]
                if isinstance(result.world, SimulatedWorld)
                else ["", ""]
            ),
        ]
        for result in results
    ]
    headers = ["world", "called different", "ruled out", "may be best", "stated as missed"]
    return table([*headers, "intervals hold", "leader's holds"], rows)


def _gaps_table(results: Sequence[Result]) -> str:
    rows = [
        [
            result.world.name,
            score(result.world.gap),
            score(result.missed),
            f"{result.ruled_out:.1%}",
            f"{result.contenders:.1f}",
        ]
        for result in results
        if isinstance(result.world, SimulatedWorld)
    ]
    return table(["world", "difference", "stated as missed", "found", "may be best"], rows)


if __name__ == "__main__":
    typer.run(main)

"""Whether the report's claims hold on recorded networks: `make bench-honesty`.

Ends with 1 where a goal is missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from statistics import fmean
from textwrap import fill
from time import perf_counter
from typing import Annotated

import typer

from benchmarks.honesty import recording
from benchmarks.honesty.recording import Recording
from benchmarks.honesty.replays import ROWS, Copies, Gap, World, of_copies, of_gap
from benchmarks.page import Goal, Page
from raycompare.analysis.pairwise import LEVEL, POWER
from raycompare.formatting import listing, score, table
from raycompare.metrics import LABELS, MetricName

SEEDS = (5, 3, 1)
METRIC: MetricName = "matthews_correlation"
"""The program's default."""
REPLAYS = 500
WIDTH = 120


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the replays found."""

    copies: Sequence[Copies]
    gaps: Sequence[Gap]

    def apart(self, seeds: int) -> float:
        """Return how often two copies of one model were called different."""
        return fmean(found.apart for found in self.copies if found.seeds == seeds)

    def found(self, seeds: int) -> float:
        """Return how often a gap of the stated size was found."""
        return fmean(gap.found for gap in self.gaps if gap.seeds == seeds)


def replayed(recorded: Recording, replays: int) -> Findings:
    """Replay every model against its copy, and against one that is worse by what can be seen."""
    worlds = [
        World(recording=recorded, metric=METRIC, model=model, seeds=seeds)
        for seeds in SEEDS
        for model in recorded.predictions
    ]
    return Findings(
        copies=[of_copies(world, replays) for world in worlds],
        gaps=[of_gap(world, replays) for world in worlds if world.seeds > 1],
    )


def goals(findings: Findings) -> list[Goal]:
    """Hold the error rate and the power, by the number of seeds."""
    errors = {seeds: findings.apart(seeds) for seeds in SEEDS}
    powers = {seeds: findings.found(seeds) for seeds in SEEDS if seeds > 1}
    return [
        *(
            Goal(
                name=f"copies called different, {_seeds(seeds)}",
                aim=f"<= {LEVEL:.0%}",
                measured=f"{rate:.1%}",
                met=rate <= LEVEL,
            )
            for seeds, rate in errors.items()
        ),
        *(
            Goal(
                name=f"gap of the stated size found, {_seeds(seeds)}",
                aim=f">= {POWER:.0%}",
                measured=f"{rate:.1%}",
                met=rate >= POWER,
            )
            for seeds, rate in powers.items()
        ),
    ]


def main(
    replays: Annotated[int, typer.Option(min=1, help="Of each model or pair.")] = REPLAYS,
) -> None:
    """Replay, write a page of the benchmark, and end with 1 where a goal is missed."""
    recorded = recording.load()
    began = perf_counter()
    findings = replayed(recorded, replays)
    seconds = perf_counter() - began
    digest = sha256(recording.PATH.read_bytes()).hexdigest()[:16]
    held = goals(findings)
    Page(
        name="honesty",
        title="How often the report is wrong, on recorded networks",
        command="make bench-honesty",
        method=f"{_method(recorded, replays)}\n\nThe replays took {seconds:.0f} s. SHA-256 of the "
        f"recording begins with {digest}.",
        results=f"{_copies_table(findings.copies)}\n\n{_gaps_table(findings.gaps)}",
        goals=held,
    ).write()
    raise typer.Exit(int(not all(goal.met for goal in held)))


def _method(recorded: Recording, replays: int) -> str:
    paragraphs = (
        f"""
        {len(recorded.predictions)} models ({listing(list(recorded.predictions))}) were fine-tuned
        on AG News with {recorded.seeds} seeds each, and answered the same {len(recorded.labels):,}
        test rows (benchmarks/honesty/experiment.yaml; `python -m benchmarks.honesty.recording`
        took the answers from the run). A replay draws {ROWS:,} of the rows and some of the
        networks, none twice, and asks the tests of the report, by {LABELS[METRIC]}.
        """,
        f"""
        *Copies*: two names, each with its own networks of one model, so that any difference is
        luck. {replays} replays of each model and number of seeds. With one seed the report tests
        no models; the last column says how often McNemar's test, which it shows instead, tells the
        two networks apart, as it should.
        """,
        f"""
        *Gaps*: the second model is a copy that answers a random share of the rows with the first
        label. The share is chosen, in separate replays, so that the difference is as large as the
        report calls detectable. {replays} replays of each model and number of seeds.
        """,
    )
    return "\n\n".join(fill(" ".join(each.split()), WIDTH) for each in paragraphs)


def _copies_table(copies: Iterable[Copies]) -> str:
    rows = [
        [
            found.model,
            str(found.seeds),
            f"{found.apart:.1%}",
            "" if found.networks_differ is None else f"{found.networks_differ:.1%}",
        ]
        for found in copies
    ]
    return table(["copies of", "seeds", "called different", "networks differ"], rows)


def _gaps_table(gaps: Iterable[Gap]) -> str:
    rows = [
        [
            gap.model,
            str(gap.seeds),
            f"{gap.share:.0%}",
            score(gap.size),
            score(gap.stated),
            f"{gap.found:.1%}",
        ]
        for gap in gaps
    ]
    headers = ["model", "seeds", "rows spoiled", "gap", "stated", "found"]
    return table(headers, rows)


def _seeds(number: int) -> str:
    return f"{number} seed{'' if number == 1 else 's'}"


if __name__ == "__main__":
    typer.run(main)

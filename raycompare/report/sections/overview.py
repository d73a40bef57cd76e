"""Section of the report below the verdict: what the first model costs, warnings and the data."""

from __future__ import annotations

from collections.abc import Iterator

from raycompare.analysis.comparison import Comparison
from raycompare.analysis.leaderboard import ModelRow
from raycompare.formatting import (
    count,
    dollars,
    duration,
    escape,
    join_parts,
    number_of,
    unbroken_values,
)
from raycompare.records.rows import InferenceRecord
from raycompare.report.sections.health import group_flags
from raycompare.report.sections.inference import BYTES_PER_MB, milliseconds

TEXTS = 10**6


def first_section(comparison: Comparison) -> str:
    """Return the verdict and the overview, with lines broken between values only."""
    return unbroken_values(join_parts(comparison.verdict, overview_section(comparison)))


def overview_section(comparison: Comparison) -> str:
    """Say what the first model costs, how many warnings there are, and what was compared."""
    leader = comparison.leaderboard[0]
    lines = [*(_price(comparison, leader) if leader.test else ()), *_warnings(comparison)]
    return "\n".join(f"- {line}" for line in [*lines, _subject(comparison)])


def _price(comparison: Comparison, leader: ModelRow) -> Iterator[str]:
    name = escape(leader.model)
    if leader.train_seconds is not None:
        yield f"Training {name} once takes {duration(leader.train_seconds)}{_usd(comparison)}."
        name = "it"
    for record in comparison.inference:
        if record.model == leader.model:
            yield _running(comparison, record, name)
    yield from _baselines(comparison, leader)


def _usd(comparison: Comparison) -> str:
    leader = comparison.leaderboard[0].model
    seed = next((row.seed for row in comparison.cost.models if row.model == leader), None)
    if comparison.cost.price is None or seed is None:
        return ""
    return f" and costs {dollars(seed.usd)}, including evaluations and the test"


def _running(comparison: Comparison, record: InferenceRecord, name: str) -> str:
    usd = comparison.cost.usd_to_run(record, TEXTS)
    cost = "" if usd is None else f" and cost {dollars(usd)}"
    return (
        f"Running {name} takes {milliseconds(record.latency_p50_ms)} for one text "
        f"(95 % within {milliseconds(record.latency_p95_ms)}); a million texts in batches take "
        f"{duration(TEXTS / record.texts_per_second)}{cost}. It takes "
        f"{record.weight_bytes / BYTES_PER_MB:,.0f} MB on disk."
    )


def _baselines(comparison: Comparison, leader: ModelRow) -> Iterator[str]:
    """Say what a baseline costs that the first model is not better than."""
    for row in comparison.baselines:
        standing = comparison.judgement.standings.get(row.model)
        if standing and leader.model not in standing.better:
            yield f"Fitting {escape(row.model)} takes {duration(row.seconds)} on one CPU."


def _warnings(comparison: Comparison) -> Iterator[str]:
    if number := len(group_flags(comparison.flags)):
        are = "is" if number == 1 else "are"
        yield f"There {are} [{number_of(number, 'warning')}](#warnings)."


def _subject(comparison: Comparison) -> str:
    manifest = comparison.manifest
    rows = manifest.data.get("rows", {})
    sizes = f", {count(rows['train'])} training rows" if "train" in rows else ""
    tests = f", {count(rows['test'])} test rows" if "test" in rows else ""
    return (
        f"Data: {escape(comparison.experiment.data.dataset)}{sizes}{tests}. Run "
        f"{escape(manifest.run_id)}."
    )

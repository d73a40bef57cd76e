"""Section of the report below the verdict: the price of the first model, warnings and the data."""

from __future__ import annotations

from collections.abc import Iterator

from raycompare.analysis.comparison import Comparison
from raycompare.analysis.leaderboard import ModelRow
from raycompare.formatting import count, dollars, duration, escape, number_of
from raycompare.report.sections.inference import BYTES_PER_MB, milliseconds


def overview_section(comparison: Comparison) -> str:
    """Say what the first model costs, how many warnings there are, and what was compared."""
    leader = comparison.leaderboard[0]
    lines = [*(_price(comparison, leader) if leader.test else ()), *_warnings(comparison)]
    return "\n".join(f"- {line}" for line in [*lines, _subject(comparison)])


def _price(comparison: Comparison, leader: ModelRow) -> Iterator[str]:
    name = escape(leader.model)
    if leader.train_seconds is not None:
        seeds = {row.model: row.seed for row in comparison.cost.models}
        cost = seeds.get(leader.model)
        usd = f" ({dollars(cost.usd)})" if cost and comparison.cost.price else ""
        yield f"Training {name} once takes {duration(leader.train_seconds)}{usd}."
    for row in comparison.inference:
        if row.model == leader.model:
            yield (
                f"It answers a text in {milliseconds(row.latency_p50_ms)} (95 % within "
                f"{milliseconds(row.latency_p95_ms)}) and takes "
                f"{row.weight_bytes / BYTES_PER_MB:,.0f} MB on disk."
            )


def _warnings(comparison: Comparison) -> Iterator[str]:
    if number := len(comparison.flags):
        are = "is" if number == 1 else "are"
        yield f"There {are} [{number_of(number, 'warning')}](#warnings)."


def _subject(comparison: Comparison) -> str:
    manifest = comparison.manifest
    rows = manifest.data.get("rows", {})
    sizes = f", {count(rows['train'])} training rows" if "train" in rows else ""
    tests = f", {count(rows['test'])} test rows" if "test" in rows else ""
    day = manifest.created_at.partition("T")[0]  # empty before the run has a manifest
    return (
        f"Data: {escape(comparison.experiment.data.dataset)}{sizes}{tests}. Run "
        f"{escape(manifest.run_id)}{f' of {day}' if day else ''}."
    )

"""The section of the report that says what it takes to use each model, and which to choose."""

from __future__ import annotations

from collections.abc import Sequence

from raycompare.analysis.comparison import Comparison
from raycompare.analysis.recommendation import (
    Candidate,
    Choices,
    TopTier,
    Within,
    choices,
    on_one_processor,
)
from raycompare.formatting import count, escape, listing, number_of, score, share, table
from raycompare.metrics import LABELS, MetricName
from raycompare.records.rows import InferenceRecord

BYTES_PER_MB = 10**6
SIGNIFICANT_MS = 3
ALIKE = 0.05
"""Times that differ by less than this share are called about the same."""


def inference_section(comparison: Comparison) -> str:
    """Answer which model to use, and show what was measured; nothing if nothing was."""
    records = comparison.inference
    if not records and not comparison.inference_failures:
        return ""
    parts = [
        "## Inference",
        _answers(comparison),
        table(HEADERS, map(_cells, records)) if records else "",
        _gaps(comparison),
        _how_measured(records) if records else "",
    ]
    return "\n\n".join(part for part in parts if part)


HEADERS = (
    "model",
    "a text, median",
    "95 % within",
    "texts per second",
    "parameters",
    "MB on disk",
    "MB of memory",
)


def _cells(record: InferenceRecord) -> list[str]:
    return [
        escape(record.model),
        milliseconds(record.latency_p50_ms),
        milliseconds(record.latency_p95_ms),
        _significant(record.texts_per_second),
        count(record.num_parameters),
        _significant(record.weight_bytes / BYTES_PER_MB),
        count(round(record.peak_memory_bytes / BYTES_PER_MB)),
    ]


def milliseconds(value: float) -> str:
    """Return a time with three significant digits, such as 4.20 ms or 1,234 ms."""
    return f"{_significant(value)} ms"


def _significant(value: float) -> str:
    whole = len(str(int(value))) if value >= 1 else 0
    return f"{value:,.{max(SIGNIFICANT_MS - whole, 0)}f}"


def _answers(comparison: Comparison) -> str:
    found = choices(
        comparison.leaderboard,
        comparison.judgement,
        comparison.inference,
        comparison.experiment.inference.max_latency_ms,
    )
    metric = comparison.metric
    lines = [
        *_leader(found, metric),
        *(_top_tier(found.top_tier, metric) if found.top_tier else ()),
        *([_within(found.within, metric)] if found.within else ()),
    ]
    return "\n".join(f"- {line}" for line in lines)


def _leader(found: Choices, metric: MetricName) -> list[str]:
    if found.leader is None:
        return []
    place = "Best" if found.leader_is_best else f"First by {LABELS[metric]}"
    return [f"{place}: {_describe(found.leader, metric)}."]


def _top_tier(tier: TopTier, metric: MetricName) -> list[str]:
    """Name the quickest and the smallest of those that may be as good as the first."""
    smallest = tier.smallest
    also = ", and the smallest on disk" if smallest is tier.quickest else ""
    lines = [f"{_quickest(tier, metric)}{also}{_compare_quickest(tier)}."]
    if smallest is not tier.quickest:
        size = _significant(smallest.inference.weight_bytes / BYTES_PER_MB)
        lines.append(f"Smallest of them: {_describe(smallest, metric)}, {size} MB on disk.")
    return lines


def _quickest(tier: TopTier, metric: MetricName) -> str:
    if tier.quickest is tier.leader:
        others = number_of(len(tier.models) - 1, "model")
        return f"It is quicker too than the {others} that can't be told apart from it"
    return (
        "Quickest of the first and those that can't be told apart from it "
        f"({len(tier.models)} models): {_describe(tier.quickest, metric)}"
    )


def _describe(contender: Candidate, metric: MetricName) -> str:
    return (
        f"**{escape(contender.model)}**, test {LABELS[metric]} "
        f"{score(contender.row.test[metric].mean)}, "
        f"{milliseconds(contender.inference.latency_p50_ms)} a text"
    )


def _compare_quickest(tier: TopTier) -> str:
    leader, quickest = tier.leader, tier.quickest
    if leader is quickest:
        return ""
    time, of_leader = quickest.inference.latency_p50_ms, leader.inference.latency_p50_ms
    if time > (1 - ALIKE) * of_leader:
        return "; the first takes about the same time"
    return f"; that is {share(time, of_leader)} of the time of the first"


def _within(within: Within, metric: MetricName) -> str:
    limit = f"{within.limit_ms:g} ms"
    if within.best is None:
        nearest = within.nearest
        return (
            f"No model answers 95 % of the texts within {limit}; the nearest is "
            f"**{escape(nearest.model)}** with {milliseconds(nearest.inference.latency_p95_ms)}."
        )
    reached = milliseconds(within.best.inference.latency_p95_ms)
    return (
        f"Best of those that answer 95 % of the texts within {limit}: "
        f"{_describe(within.best, metric)} (95 % within {reached})."
    )


def _gaps(comparison: Comparison) -> str:
    """Name the tested models that have no row, each with why."""
    failed = {row.model: row.cause for row in comparison.inference_failures}
    known = {row.model for row in comparison.inference}
    missing = [row.model for row in comparison.leaderboard if row.test and row.model not in known]
    return "\n".join(
        f"- {escape(model)} could not be measured: {escape(failed[model])}"
        if model in failed
        else f"- {escape(model)} was not measured: the run ended before"
        for model in missing
    )


def _how_measured(records: Sequence[InferenceRecord]) -> str:
    lines = [
        *(f"- {line}" for line in _machines(records)),
        f"- One text of the test split after another, from the text to its probabilities: "
        f"{_texts(records)}, tokenising included, after a warm-up. *Texts per second* is in "
        f"batches of {_batches(records)}, sorted by length.",
        f"- *MB of memory* is the peak {_whose_memory(records)}. 1 MB is 10⁶ bytes.",
    ]
    if not on_one_processor(records):
        lines.append(
            "- The models were measured on different processors, so their times can't be compared."
        )
    return "\n".join(lines)


def _machines(records: Sequence[InferenceRecord]) -> list[str]:
    places: dict[str, list[str]] = {}
    for record in records:
        places.setdefault(_machine(record), []).append(escape(record.model))
    if len(places) == 1:
        return [f"Measured on {place}, with no trial running beside." for place in places]
    return [
        f"{listing(models)}: measured on {place}, with no trial running beside."
        for place, models in places.items()
    ]


def _machine(record: InferenceRecord) -> str:
    what = "GPU" if record.device.startswith("cuda") else record.device.split(":")[0].upper()
    processor = f" ({escape(record.processor)})" if record.processor else ""
    threads = number_of(record.num_threads, "thread")
    return f"the {what}{processor} of {escape(record.hostname)}, {threads}, {record.precision}"


def _texts(records: Sequence[InferenceRecord]) -> str:
    return _range([record.texts for record in records], "text")


def _batches(records: Sequence[InferenceRecord]) -> str:
    return _range([record.batch_size for record in records], "text")


def _range(values: Sequence[int], noun: str) -> str:
    low, high = min(values), max(values)
    return number_of(high, noun) if low == high else f"{low:,} to {number_of(high, noun)}"


def _whose_memory(records: Sequence[InferenceRecord]) -> str:
    on_card = {record.device.startswith("cuda") for record in records}
    if on_card == {True}:
        return "on the card"
    process = "of the whole process, Python and its libraries included"
    return process if on_card == {False} else f"on the card, or without one {process}"

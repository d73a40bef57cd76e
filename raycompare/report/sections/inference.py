"""Section of the report on speed and size of the models, with recommendations."""

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
from raycompare.formatting import (
    count,
    escape,
    join_parts,
    listing,
    number_of,
    score,
    share,
    table,
)
from raycompare.metrics import LABELS, MetricName
from raycompare.records.rows import InferenceRecord

BYTES_PER_MB = 10**6
SIGNIFICANT_MS = 3
ALIKE = 0.05
"""Times that differ by less than this share are reported as about the same."""


def inference_section(comparison: Comparison) -> str:
    """Recommend a model and show the measurements; return nothing without any."""
    records = comparison.inference
    if not records and not comparison.inference_failures:
        return ""
    headers = ["model", "median latency", "95th percentile", "texts per second", "parameters"]
    headers += ["MB on disk", "MB of memory"]
    rows = table(headers, map(_cells, records)) if records else ""
    note = _how_measured(records) if records else ""
    return join_parts("## Inference", _recommend(comparison), rows, _gaps(comparison), note)


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
    """Format a time with three significant digits, such as 4.20 ms or 1,234 ms."""
    return f"{_significant(value)} ms"


def _significant(value: float) -> str:
    whole = len(str(int(value))) if value >= 1 else 0
    return f"{value:,.{max(SIGNIFICANT_MS - whole, 0)}f}"


def _recommend(comparison: Comparison) -> str:
    chosen = choices(
        comparison.leaderboard,
        comparison.judgement,
        comparison.inference,
        comparison.experiment.inference.max_latency_ms,
    )
    metric = comparison.metric
    lines = [
        *_leader(chosen, metric),
        *(_top_tier(chosen.top_tier, metric) if chosen.top_tier else ()),
        *([_within(chosen.within, metric)] if chosen.within else ()),
    ]
    return "\n".join(f"- {line}" for line in lines)


def _leader(chosen: Choices, metric: MetricName) -> list[str]:
    if chosen.leader is None:
        return []
    place = "Best" if chosen.leader_is_best else "Highest score"
    return [f"{place}: {_describe(chosen.leader, metric)}."]


def _top_tier(tier: TopTier, metric: MetricName) -> list[str]:
    smallest = tier.smallest
    also = ", also the smallest on disk" if smallest is tier.quickest else ""
    lines = [f"{_fastest(tier, metric)}{also}{_compare_fastest(tier)}."]
    if smallest is not tier.quickest:
        size = _significant(smallest.inference.weight_bytes / BYTES_PER_MB)
        lines.append(f"Smallest of them: {_describe(smallest, metric)}, {size} MB on disk.")
    return lines


def _fastest(tier: TopTier, metric: MetricName) -> str:
    models = f"the {number_of(len(tier.models), 'model')} that may be the best"
    if tier.quickest is tier.leader:
        return f"It is also the fastest of {models}"
    return f"Fastest of {models}: {_describe(tier.quickest, metric)}"


def _describe(candidate: Candidate, metric: MetricName) -> str:
    return (
        f"**{escape(candidate.model)}**, test {LABELS[metric]} "
        f"{score(candidate.row.test[metric].mean)}, "
        f"{milliseconds(candidate.inference.latency_p50_ms)} per text"
    )


def _compare_fastest(tier: TopTier) -> str:
    leader, fastest = tier.leader, tier.quickest
    if leader is fastest:
        return ""
    time, of_leader = fastest.inference.latency_p50_ms, leader.inference.latency_p50_ms
    if time > (1 - ALIKE) * of_leader:
        return "; the first model takes about the same time"
    return f"; it takes {share(time, of_leader)} of the time of the first model"


def _within(within: Within, metric: MetricName) -> str:
    limit = f"{within.limit_ms:g} ms"
    if within.best is None:
        nearest = within.nearest
        return (
            f"No model answers 95 % of the texts within {limit}; the closest is "
            f"**{escape(nearest.model)}** with {milliseconds(nearest.inference.latency_p95_ms)}."
        )
    reached = milliseconds(within.best.inference.latency_p95_ms)
    return (
        f"Best model that answers 95 % of the texts within {limit}: "
        f"{_describe(within.best, metric)} (95th percentile {reached})."
    )


def _gaps(comparison: Comparison) -> str:
    failed = {row.model: row.cause for row in comparison.inference_failures}
    measured = {row.model for row in comparison.inference}
    tested = [row.model for row in comparison.leaderboard if row.test]
    return "\n".join(
        f"- {escape(model)} could not be measured: {escape(failed[model])}"
        if model in failed
        else f"- {escape(model)} was not measured, because the run ended before"
        for model in tested
        if model not in measured
    )


def _how_measured(records: Sequence[InferenceRecord]) -> str:
    lines = [
        *(f"- {line}" for line in _machines(records)),
        f"- Latency is the time for one text, from the text to its probabilities, including "
        f"tokenisation, for {_range([record.texts for record in records])} of the test split, one "
        "after another, after a warm-up. *Texts per second* is measured in batches of "
        f"{_range([record.batch_size for record in records])}, sorted by length.",
        f"- *MB of memory* is the peak {_whose_memory(records)}. 1 MB is 10⁶ bytes.",
    ]
    if not on_one_processor(records):
        lines.append(
            "- The models were measured on different processors, so their times are not comparable."
        )
    return "\n".join(lines)


def _machines(records: Sequence[InferenceRecord]) -> list[str]:
    places: dict[str, list[str]] = {}
    for record in records:
        places.setdefault(_machine(record), []).append(escape(record.model))
    if len(places) == 1:
        return [f"Measured on {place}, with no trials running." for place in places]
    return [
        f"{listing(models)}: measured on {place}, with no trials running."
        for place, models in places.items()
    ]


def _machine(record: InferenceRecord) -> str:
    what = "GPU" if record.device.startswith("cuda") else record.device.split(":")[0].upper()
    processor = f" ({escape(record.processor)})" if record.processor else ""
    threads = number_of(record.num_threads, "thread")
    return f"the {what}{processor} of {escape(record.hostname)}, {threads}, {record.precision}"


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return number_of(high, "text") if low == high else f"{low:,} to {number_of(high, 'text')}"


def _whose_memory(records: Sequence[InferenceRecord]) -> str:
    on_gpu = {record.device.startswith("cuda") for record in records}
    if on_gpu == {True}:
        return "of GPU memory"
    process = "of the whole process, including Python and its libraries"
    return process if on_gpu == {False} else f"of GPU memory, or without a GPU {process}"

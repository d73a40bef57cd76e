"""Section of the report on speed and size of the models, with recommendations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from raycompare.analysis.comparison import Comparison
from raycompare.analysis.recommendation import (
    Candidate,
    Choices,
    TopTier,
    Within,
    choices,
    on_one_processor,
)
from raycompare.analysis.round_times import CLEAR, MOST_ROUNDS, RoundTimes
from raycompare.formatting import (
    NOTHING,
    count,
    escape,
    fold_if_long,
    join_parts,
    listing,
    number_of,
    score,
    share,
    table,
)
from raycompare.metrics import LABELS, MODES, MetricName
from raycompare.records.rows import InferenceRecord, InferenceRound
from raycompare.report.sections.scores import MOST_OPEN

BYTES_PER_MB = 10**6
SIGNIFICANT_MS = 3


def inference_section(comparison: Comparison) -> str:
    """Recommend a model and show the measurements; return nothing without any."""
    records = comparison.inference
    if not records and not comparison.inference_failures:
        return ""
    headers = ["model", "median latency", "over rounds", "95th percentile", "texts per second"]
    headers += ["parameters", "MB on disk", "MB of memory"]
    speed = comparison.speed
    measured = table(headers, (_cells(row, speed) for row in records)) if records else ""
    rows = fold_if_long(measured, len(records), "model", MOST_OPEN)
    note = _how_measured(records, speed) if records else ""
    return join_parts("## Inference", _recommend(comparison), rows, _gaps(comparison), note)


def _cells(record: InferenceRecord, speed: RoundTimes) -> list[str]:
    return [
        escape(record.model),
        milliseconds(record.latency_p50_ms),
        _spread(speed.of(record.model)),
        milliseconds(record.latency_p95_ms),
        _significant(record.texts_per_second),
        count(record.num_parameters),
        _significant(record.weight_bytes / BYTES_PER_MB),
        count(round(record.peak_memory_bytes / BYTES_PER_MB)),
    ]


def _spread(times: Sequence[float]) -> str:
    if not times:
        return NOTHING
    return f"{_significant(min(times))} to {milliseconds(max(times))}"


def milliseconds(value: float) -> str:
    """Format a time with three significant digits, such as 4.20 ms or 1,234 ms."""
    return f"{_significant(value)} ms"


def _significant(value: float) -> str:
    whole = len(str(int(value))) if value >= 1 else 0
    return f"{value:,.{max(SIGNIFICANT_MS - whole, 0)}f}"


def _recommend(comparison: Comparison) -> str:
    speed = comparison.speed
    chosen = choices(
        comparison.leaderboard,
        comparison.judgement,
        comparison.inference,
        speed,
        comparison.experiment.inference.max_latency_ms,
    )
    metric = comparison.metric
    lines = [
        *_leader(chosen, metric),
        *(_top_tier(chosen.top_tier, metric, speed) if chosen.top_tier else ()),
        *([_within(chosen.within, metric, speed)] if chosen.within else ()),
    ]
    return "\n".join(f"- {line}" for line in lines)


def _leader(chosen: Choices, metric: MetricName) -> list[str]:
    if chosen.leader is None:
        return []
    highest = "Highest score" if MODES[metric] == "max" else "Lowest loss"
    place = "Best" if chosen.leader_is_best else highest
    return [f"{place}: {_describe(chosen.leader, metric)}."]


def _top_tier(tier: TopTier, metric: MetricName, speed: RoundTimes) -> list[str]:
    smallest = tier.smallest
    is_fastest = tier.fastest == (smallest,)
    also = ", also the smallest on disk" if is_fastest else ""
    lines = [f"{_fastest(tier, metric)}{also}{_compare_fastest(tier, speed)}."]
    if not is_fastest:
        size = _significant(smallest.inference.weight_bytes / BYTES_PER_MB)
        lines.append(f"Smallest of them: {_describe(smallest, metric)}, {size} MB on disk.")
    return lines


def _fastest(tier: TopTier, metric: MetricName) -> str:
    models = f"the {number_of(len(tier.models), 'model')} that may be the best"
    if not tier.fastest:
        return f"It is not known which of {models} is the fastest"
    if tier.fastest == (tier.leader,):
        return f"It is also the fastest of {models}"
    if len(tier.fastest) == len(tier.models):
        return f"{models[0].upper()}{models[1:]} take about the same time per text"
    if tier.leader in tier.fastest:
        others = [f"**{escape(c.model)}**" for c in tier.fastest if c is not tier.leader]
        take = "takes" if len(others) == 1 else "take"
        return f"None of {models} is faster; {listing(others)} {take} about the same time"
    alike = ", with about the same time" if len(tier.fastest) > 1 else ""
    names = listing([_describe(candidate, metric) for candidate in tier.fastest])
    return f"Fastest of {models}{alike}: {names}"


def _describe(candidate: Candidate, metric: MetricName) -> str:
    return (
        f"**{escape(candidate.model)}**, test {LABELS[metric]} "
        f"{score(candidate.row.test[metric].mean)}, "
        f"{milliseconds(candidate.inference.latency_p50_ms)} per text"
    )


def _compare_fastest(tier: TopTier, speed: RoundTimes) -> str:
    if len(tier.fastest) != 1 or tier.leader in tier.fastest:
        return ""
    ratios = speed.ratios(tier.fastest[0].model, tier.leader.model)
    shares = f"{share(median(ratios), 1)} of the time of the first model"
    return f"; it takes {shares} ({share(min(ratios), 1)} to {share(max(ratios), 1)} over rounds)"


def _within(within: Within, metric: MetricName, speed: RoundTimes) -> str:
    limit = f"{within.limit_ms:g} ms"
    if within.best is None:
        nearest = within.nearest
        return (
            f"No model answers 95 % of the texts within {limit}; the closest is "
            f"**{escape(nearest.model)}** with {milliseconds(nearest.inference.latency_p95_ms)}."
        )
    reached = f"95th percentile {milliseconds(within.best.inference.latency_p95_ms)}"
    if late := speed.count_late(within.best.model, within.limit_ms):
        rounds = number_of(len(speed.of(within.best.model)), "round")
        reached += f", but above the limit in {late} of {rounds}"
    return (
        f"Best model that answers 95 % of the texts within {limit}: "
        f"{_describe(within.best, metric)} ({reached})."
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


def _how_measured(records: Sequence[InferenceRecord], speed: RoundTimes) -> str:
    lines = [
        *(f"- {line}" for line in _machines(records)),
        f"- Latency is the time for one text, from the text to its probabilities, including "
        f"tokenisation, for {_range([record.texts for record in records])} of the test split, one "
        "after another, after a warm-up. *Texts per second* is measured in batches of "
        f"{_range([record.batch_size for record in records])}, sorted by length.",
        *(f"- {line}" for line in _rounds(speed.rounds)),
        f"- *MB of memory* is the peak {_whose_memory(records)}. 1 MB is 10⁶ bytes.",
    ]
    if not on_one_processor(records):
        lines.append(
            "- The models were measured on different processors, so their times are not comparable."
        )
    return "\n".join(lines)


def _rounds(rounds: Sequence[InferenceRound]) -> Iterator[str]:
    if not rounds:
        yield (
            "The models were measured one after another, each of them once. How far their times "
            "would differ in another measurement is not known, so none is called faster."
        )
        return
    number = len({row.round for row in rounds})
    yield (
        f"*Over rounds*: lowest and highest median of {number_of(number, 'round')}. In each round, "
        "every model is timed once, in random order, on texts of similar lengths. A model is "
        f"called faster if it was faster in at least {MOST_ROUNDS:.0%} of the rounds, and by at "
        f"least {CLEAR:.0%} in the median."
    )
    if loaded := {row.model for row in rounds if row.loaded_for_round}:
        yield (
            f"{number_of(len(loaded), 'model')} had to be loaded for each round, because memory "
            "did not hold all models."
        )


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

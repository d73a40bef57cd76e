"""Section of the report on the time and money that a run took."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from raycompare.analysis.comparison import Comparison
from raycompare.analysis.cost import REST, SLACK, Cost
from raycompare.analysis.spending import ModelCost, StageCost, Sum
from raycompare.experiment.prices import Price
from raycompare.formatting import (
    NOTHING,
    count,
    dollars,
    duration,
    escape,
    fold_if_long,
    join_parts,
    listing,
    number_of,
    share,
    table,
)
from raycompare.report.sections.scores import MOST_OPEN


def budget_section(comparison: Comparison) -> str:
    """Return a warning if the cost limit ended the run, else nothing."""
    note = budget_note(comparison)
    return f"> **Partial.** {note}" if note else ""


def budget_note(comparison: Comparison) -> str:
    """Return a sentence on the seeds that the cost limit left unconfirmed, or an empty string."""
    missing, budget = comparison.cost.unconfirmed, comparison.experiment.tune.max_usd
    if not missing or budget is None:
        return ""
    planned = comparison.records.planned_seeds
    parts = [
        f"{number} of {number_of(planned(model), 'seed')} of {escape(model)}"
        for model, number in missing.items()
    ]
    was = "was" if list(missing.values()) == [1] else "were"
    reached = f"The run reached its cost limit of {dollars(budget)}"
    return f"{reached}: {listing(parts)} {was} not confirmed."


def cost_section(comparison: Comparison) -> str:
    """Show time and cost of each stage and each model, and what stopping trials saved."""
    cost = comparison.cost
    lines = "\n".join(f"- {line}" for line in _lines(comparison))
    heading = "## Where the time and money went"
    return join_parts(heading, _stages(cost), _how_to_read(cost), _models(cost), lines)


def _stages(cost: Cost) -> str:
    headers = ["stage", "wall-clock", "held", "train", "evaluate", "test", "start-up", "other"]
    rows = [_stage(cost, stage) for stage in cost.stages if round(stage.seconds, 1)]
    headers = [*headers, "idle", *(["USD", "USD idle"] if cost.price else [])]
    return table(headers, [*rows, _stage(cost, cost.whole)])


def _stage(cost: Cost, stage: StageCost) -> list[str]:
    name = "outside stages" if stage.name == REST else stage.name
    money = [*_usd(cost, stage.usd), *_usd(cost, stage.idle_usd)]
    held, idle = stage.held, duration(max(stage.idle, 0.0))
    if not held.total:
        return [escape(name), duration(stage.seconds), *[NOTHING] * 6, idle, *money]
    parts = (held.total, held.train, held.evaluate, held.test, held.start_up, held.other)
    return [escape(name), duration(stage.seconds), *map(duration, parts), idle, *money]


def _usd(cost: Cost, usd: float) -> list[str]:
    return [dollars(max(usd, 0.0))] if cost.price else []


def _how_to_read(cost: Cost) -> str:
    return (
        f"*Wall-clock* is the duration; the other columns are time of {_machines(cost)}: a trial "
        "that held half of a machine for a minute held 30 s. *Held* is the sum of the columns "
        "after it, up to *other*; *idle* is the time that no trial held."
    )


def _machines(cost: Cost) -> str:
    number, whole = len(cost.machines), cost.whole.wall
    if number == 1:
        return "the machine"
    came_and_went = whole.machine_seconds < whole.seconds * number * (1 - SLACK)
    stayed = ", each counted while it was part of the cluster" if came_and_went else ""
    return f"all {number} machines{stayed}"


def _models(cost: Cost) -> str:
    money = ["USD tune", "USD confirm", "USD total", "USD per further seed"]
    times = ["tune", "confirm", "total", "per further seed"]
    headers = ["model", "trials", "processor time", *(money if cost.price else times)]
    rows = table(headers, [_model(cost, row) for row in cost.models])
    return fold_if_long(rows, len(cost.models), "model", MOST_OPEN)


def _model(cost: Cost, row: ModelCost) -> list[str]:
    both = Sum(
        trials=row.tune.trials + row.confirm.trials,
        seconds=row.tune.seconds + row.confirm.seconds,
        usd=row.tune.usd + row.confirm.usd,
    )
    sums = [row.tune, row.confirm, both, row.seed]
    return [
        escape(row.model),
        count(both.trials),
        f"{count(round(row.processor_seconds))} {row.processor} s",
        *(_amount(cost, part) for part in sums),
    ]


def _amount(cost: Cost, part: Sum | None) -> str:
    if part is None or not part.trials:
        return NOTHING
    return dollars(part.usd) if cost.price else duration(part.seconds)


def _lines(comparison: Comparison) -> list[str]:
    cost = comparison.cost
    lines = [_price_line(comparison), _saved_line(cost), _failed_line(cost)]
    lines += [_estimate_line(comparison), _unmeasured_line(cost), _crowded_line(cost)]
    return [line for line in lines if line]


def _price_line(comparison: Comparison) -> str:
    price = comparison.cost.price
    if price is None:
        return (
            "Costs in dollars are not shown, because no price is known: set `cost.instance` or "
            "`cost.usd_per_hour` in the experiment file."
        )
    each = f"Each machine costs {_hourly(price.usd_per_hour)} per hour"
    if price.instance is None:
        return f"{each}, as set in the experiment file{' (spot)' if price.spot else ''}."
    instance = price.instance
    market = "spot" if price.spot else "on demand"
    source = f"[{instance.what}]({instance.url}), retrieved on {instance.retrieved_on.isoformat()}"
    where = f"{escape(instance.name)}, {market} in us-east-1"
    return f"{each} ({where}, {source}).{_doubts(comparison, price)}"


def _hourly(usd: float) -> str:
    """Format a price per hour exactly, such as $1.006 or $1.20."""
    exact = f"${usd:,.4f}".rstrip("0")
    return exact + "0" * (2 - len(exact.partition(".")[2]))


def _doubts(comparison: Comparison, price: Price) -> str:
    assert price.instance is not None
    began = datetime.fromisoformat(comparison.manifest.created_at).date()
    old = " The price was more than a year old when the run began." if price.is_old(began) else ""
    doubt = f" The price is doubtful: {price.instance.doubt}." if price.instance.doubt else ""
    advice = " `cost.usd_per_hour` overrides it." if old or doubt else ""
    return f"{old}{doubt}{advice}"


def _saved_line(cost: Cost) -> str:
    saved = cost.saved
    if not saved.trials:
        return ""
    money = f" and {dollars(saved.usd)}" if cost.price else ""
    trials, steps = number_of(saved.trials, "trial"), number_of(saved.steps, "step")
    return (
        f"Stopping {trials} early saved {steps}; at each trial's own pace, that is "
        f"{duration(saved.seconds)} of machine time{money}."
    )


def _failed_line(cost: Cost) -> str:
    failed = cost.failed
    if not failed.trials:
        return ""
    money = f", {dollars(failed.usd)}" if cost.price else ""
    trials = number_of(failed.trials, "failed trial")
    return f"{trials} held {duration(failed.seconds)} of machine time{money}."


def _estimate_line(comparison: Comparison) -> str:
    estimate: Mapping[str, Any] = comparison.manifest.estimate
    if not estimate.get("seconds"):
        return ""
    cost, seconds = comparison.cost, estimate["seconds"]
    took = cost.training.seconds
    estimated_usd = f" and {dollars(estimate['usd'])}" if estimate.get("usd") else ""
    usd = f" and {dollars(cost.training.usd)}" if cost.price else ""
    return (
        f"The estimate for tune and confirm was at most {duration(seconds)}{estimated_usd}; they "
        f"took {duration(took)}{usd} ({share(took, seconds)})."
    )


def _unmeasured_line(cost: Cost) -> str:
    if not cost.unmeasured:
        return ""
    return (
        f"{number_of(cost.unmeasured, 'trial')} recorded by an older version lack the time for "
        "which resources were held; the times they did record are counted, the rest is *idle*."
    )


def _crowded_line(cost: Cost) -> str:
    if not cost.crowded:
        return ""
    return (
        "The trials of a stage held more machine time than the stage had: trials of different "
        "shapes shared a machine, or the duration of a killed session is only partly known. The "
        "time and cost of the stage are divided among them, and are too low in the second case."
    )

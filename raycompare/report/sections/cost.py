"""The section of the report that says where the time and the money of a run went."""

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
    listing,
    number_of,
    share,
    table,
)


def budget_section(comparison: Comparison) -> str:
    """Warn of a run that its budget in dollars has ended; nothing for any other."""
    ended = budget_note(comparison)
    return f"> **Partial.** {ended}" if ended else ""


def budget_note(comparison: Comparison) -> str:
    """Say what a budget in dollars has kept from being confirmed; empty if it has nothing."""
    missing, budget = comparison.cost.unconfirmed, comparison.experiment.tune.max_usd
    if not missing or budget is None:
        return ""
    seeds = len(comparison.experiment.confirm.seeds)
    parts = [
        f"{number} of {number_of(seeds, 'seed')} of {escape(model)}"
        for model, number in missing.items()
    ]
    was = "was" if list(missing.values()) == [1] else "were"
    return f"The budget of {dollars(budget)} ended the run: {listing(parts)} {was} not confirmed."


def cost_section(comparison: Comparison) -> str:
    """Show what each stage and each model took, and what was saved."""
    cost = comparison.cost
    parts = [
        "## Where the time and money went",
        _stages(cost),
        _how_to_read(cost),
        _models(cost),
        "\n".join(f"- {line}" for line in _lines(comparison)),
    ]
    return "\n\n".join(part for part in parts if part)


def _stages(cost: Cost) -> str:
    headers = ["stage", "wall-clock", "held", "train", "evaluate", "test", "start-up", "other"]
    rows = [_stage(cost, stage) for stage in cost.stages if round(stage.seconds, 1)]
    headers = [*headers, "idle", *(["USD", "of it idle"] if cost.price else [])]
    return table(headers, [*rows, _stage(cost, cost.whole)])


def _stage(cost: Cost, stage: StageCost) -> list[str]:
    name = "before, between and after" if stage.name == REST else stage.name
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
        f"*Wall-clock* is that of the run, all else the time of {_machines(cost)}: a trial that "
        "held half of a machine for a minute held 30 s. *Held* is the sum of what stands behind "
        "it; *idle* is what no trial held."
    )


def _machines(cost: Cost) -> str:
    number, whole = len(cost.machines), cost.whole.wall
    if number == 1:
        return "the machine"
    came_and_went = whole.machine_seconds < whole.seconds * number * (1 - SLACK)
    stayed = ", each for as long as it was there" if came_and_went else " together"
    return f"{number} machines{stayed}"


def _models(cost: Cost) -> str:
    money = ["USD tune", "USD confirm", "USD in all", "USD of one more seed"]
    times = ["tune", "confirm", "in all", "one more seed"]
    headers = ["model", "trials", "processor time", *(money if cost.price else times)]
    return table(headers, [_model(cost, row) for row in cost.models])


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
        *(_amount(cost, one) for one in sums),
    ]


def _amount(cost: Cost, one: Sum | None) -> str:
    if one is None or not one.trials:
        return NOTHING
    return dollars(one.usd) if cost.price else duration(one.seconds)


def _lines(comparison: Comparison) -> list[str]:
    cost = comparison.cost
    lines = [_price_line(comparison), _saved_line(cost), _failed_line(cost)]
    lines += [_estimate_line(comparison), _unmeasured_line(cost), _crowded_line(cost)]
    return [line for line in lines if line]


def _price_line(comparison: Comparison) -> str:
    price = comparison.cost.price
    if price is None:
        return (
            "No price is known, so there are no dollars: name the machines with `cost.instance` in "
            "the experiment file, or give `cost.usd_per_hour`."
        )
    market = "spot" if price.spot else "on demand"
    each = f"Each machine costs ${price.usd_per_hour:g} an hour"
    if price.instance is None:
        return f"{each}, as the experiment says{' (spot)' if price.spot else ''}."
    instance = price.instance
    words = [
        f"{escape(instance.name)}, {market} in us-east-1",
        f"[{instance.what}]({instance.url})",
    ]
    words.append(f"found on {instance.found.isoformat()}")
    return f"{each} ({', '.join(words)}).{_doubts(comparison, price)}"


def _doubts(comparison: Comparison, price: Price) -> str:
    assert price.instance is not None
    began = datetime.fromisoformat(comparison.manifest.created_at).date()
    old = " The price was more than a year old when the run began." if price.is_old(began) else ""
    doubt = f" It is doubtful: {price.instance.doubt}." if price.instance.doubt else ""
    advice = " `cost.usd_per_hour` overrides it." if old or doubt else ""
    return f"{old}{doubt}{advice}"


def _saved_line(cost: Cost) -> str:
    saved = cost.saved
    if not saved.trials:
        return ""
    money = f" and {dollars(saved.usd)}" if cost.price else ""
    trials, steps = number_of(saved.trials, "trial"), number_of(saved.steps, "step")
    return (
        f"Stopping {trials} early saved {steps}, at each trial's own pace "
        f"{duration(saved.seconds)} of a machine{money}."
    )


def _failed_line(cost: Cost) -> str:
    failed = cost.failed
    if not failed.trials:
        return ""
    money = f", {dollars(failed.usd)}" if cost.price else ""
    trials = number_of(failed.trials, "trial")
    return f"{trials} that failed held {duration(failed.seconds)} of a machine{money}."


def _estimate_line(comparison: Comparison) -> str:
    estimate: Mapping[str, Any] = comparison.manifest.estimate
    if not estimate.get("seconds"):
        return ""
    cost, seconds = comparison.cost, estimate["seconds"]
    took = cost.training.seconds
    thought = f" and {dollars(estimate['usd'])}" if estimate.get("usd") else ""
    came = f" and {dollars(cost.training.usd)}" if cost.price else ""
    return (
        f"Before the start, tune and confirm were estimated at {duration(seconds)}{thought} at "
        f"most; they took {duration(took)}{came} ({share(took, seconds)})."
    )


def _unmeasured_line(cost: Cost) -> str:
    if not cost.unmeasured:
        return ""
    return (
        f"{number_of(cost.unmeasured, 'trial')} of an older version did not record how long they "
        "held their resources; what is known of them is counted, and the rest is under *idle*."
    )


def _crowded_line(cost: Cost) -> str:
    if not cost.crowded:
        return ""
    return (
        "Trials held more than their stage had: trials of different shapes shared a machine, or "
        "the wall-clock of a session that was killed is not all known. What there was is divided "
        "among them; in the second case it is too little."
    )

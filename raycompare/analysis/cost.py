"""The cost of a run, from its records: machine time and dollars per trial, model and stage.

A trial is charged the larger of its shares of a machine's CPUs and GPUs, since similar trials can't
use the rest (dominant share, Ghodsi et al. 2011, NSDI). The rest of the machine time of a stage is
idle. Machine time is that of all machines that can hold trials, while they are part of the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from raycompare.analysis.spending import (
    Machine,
    ModelCost,
    Spent,
    StageCost,
    StoppingSavings,
    Sum,
    TrialCost,
    Wall,
    add_stages,
)
from raycompare.experiment.prices import Price, price_of
from raycompare.records.manifest import TOTAL, Manifest
from raycompare.records.rows import InferenceRecord, TrialRecord
from raycompare.records.run_records import Records

TRAINING = ("tune", "confirm")
REST = "rest"
"""Name of the time outside of all stages."""
SLACK = 0.02
"""Share by which held time may exceed that of the stage, since clocks differ."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Time and money of a run. All USD are 0 without a price."""

    machines: tuple[Machine, ...]
    price: Price | None
    """Price of one machine."""
    stages: tuple[StageCost, ...]
    models: tuple[ModelCost, ...]
    trials: tuple[TrialCost, ...]
    saved: StoppingSavings
    failed: Sum
    unmeasured: int
    """Number of trials of older versions, which did not record their held time."""
    crowded: bool
    """Whether trials held more machine time than their stage has."""
    unconfirmed: Mapping[str, int]
    """Number of seeds per model that were not confirmed because of `tune.max_usd`."""

    def usd_to_run(self, record: InferenceRecord, texts: int) -> float | None:
        """Return the price of this many texts in batches; None if it is not known.

        As a trial, a model is charged its share of the machine that it was measured on.
        """
        machine = next((m for m in self.machines if m.hostname == record.hostname), None)
        if self.price is None or machine is None:
            return None
        share = machine.share(record.num_threads, float(record.device.startswith("cuda")))
        return self.price.usd(texts / record.texts_per_second) * share

    @property
    def whole(self) -> StageCost:
        """Cost of the whole run."""
        return add_stages("all", self.stages)

    @property
    def training(self) -> StageCost:
        """Cost of the stages that the estimate covers."""
        return add_stages("training", [stage for stage in self.stages if stage.name in TRAINING])


def cost_of(records: Records) -> Cost:
    """Compute the cost of a run."""
    manifest, price = records.manifest, price_of(records.experiment.cost)
    machines = _machines(manifest)
    rate = price.usd(1) if price else 0.0
    trials = sorted(records.trials, key=lambda trial: (trial.stage, trial.order))
    raw = [_trial_cost(trial, machines, manifest.resources, rate) for trial in trials]
    walls = _walls(manifest, raw, len(machines))
    fits = {name: _fit(name, wall, raw) for name, wall in walls.items()}
    costs = [_scale(row, fits.get(row.trial.stage, 1.0)) for row in raw]
    started = [row.trial for row in raw if row.trial.starts or row.trial.train_seconds]
    return Cost(
        machines=machines,
        price=price,
        stages=tuple(_stage(name, walls[name], costs, rate) for name in walls),
        models=tuple(_model(m.name, costs, records) for m in records.experiment.models),
        trials=tuple(costs),
        saved=_savings(costs),
        failed=Sum.of(row for row in costs if row.trial.status == "errored"),
        unmeasured=sum(trial.held_seconds is None for trial in started),
        crowded=any(fit < 1 - SLACK for fit in fits.values()),
        unconfirmed=_count_untested_seeds(records),
    )


def _machines(manifest: Manifest) -> tuple[Machine, ...]:
    """Return the machines that can hold trials; one unknown machine if none was recorded.

    The head of a cluster usually offers no CPUs, and has a different price.
    """
    rows: Sequence[Mapping[str, Any]] = manifest.hardware
    workers = [row for row in rows if row.get("cpus") or row.get("gpus")]
    return tuple(
        Machine(
            hostname=str(row.get("hostname", "")),
            cpus=float(row.get("cpus", 0)),
            gpus=float(row.get("gpus", 0)),
        )
        for row in workers or rows or ({},)
    )


def _resources(trial: TrialRecord, by_model: Mapping[str, Any]) -> tuple[float, float]:
    """Return the CPUs and GPUs of a trial; estimated for runs of older versions."""
    if recorded := by_model.get(trial.model):
        return float(recorded.get("cpu") or 0), float(recorded.get("gpu") or 0)
    return float(trial.num_threads or 1), float((trial.device or "").startswith("cuda"))


def _trial_cost(
    trial: TrialRecord, machines: Sequence[Machine], resources: Mapping[str, Any], rate: float
) -> TrialCost:
    cpus, gpus = _resources(trial, resources)
    machine = next((m for m in machines if m.hostname == trial.hostname), machines[0])
    spent = Spent.of(trial)
    part = spent.times(machine.share(cpus, gpus))
    return TrialCost(
        trial=trial,
        processor="GPU" if gpus else "CPU",
        processor_seconds=spent.total * (gpus or cpus),
        machine=part,
        usd=part.total * rate,
    )


def _walls(manifest: Manifest, costs: Sequence[TrialCost], machines: int) -> dict[str, Wall]:
    """Return the time of each stage and of the rest; at least the held time of a stage.

    Older versions did not record interrupted stages, nor how long machines were part of the run.
    """
    seconds, counted = manifest.seconds, manifest.machine_seconds
    walls = {
        name: Wall(seconds=value, machine_seconds=counted.get(name, value * machines))
        for name, value in seconds.items()
        if name != TOTAL
    }
    for stage in TRAINING:
        held = sum(row.machine.total for row in costs if row.trial.stage == stage)
        if stage not in walls and held:
            walls[stage] = Wall(seconds=held / machines, machine_seconds=held)
    stages, total = Wall.sum(walls.values()), seconds.get(TOTAL, 0.0)
    walls[REST] = Wall(
        seconds=max(total - stages.seconds, 0.0),
        machine_seconds=max(counted.get(TOTAL, total * machines) - stages.machine_seconds, 0.0),
    )
    return walls


def _fit(stage: str, wall: Wall, costs: Sequence[TrialCost]) -> float:
    """Return the factor for the costs of a stage's trials, usually 1.

    The shares of trials of different shapes can add up to more than the machine.
    """
    held = sum(row.machine.total for row in costs if row.trial.stage == stage)
    return min(wall.machine_seconds / held, 1.0) if held else 1.0


def _scale(cost: TrialCost, factor: float) -> TrialCost:
    return replace(cost, machine=cost.machine.times(factor), usd=cost.usd * factor)


def _stage(name: str, wall: Wall, costs: Sequence[TrialCost], rate: float) -> StageCost:
    own = [row for row in costs if row.trial.stage == name]
    held = Spent.sum(row.machine for row in own)
    usd = wall.machine_seconds * rate
    return StageCost(
        name=name,
        wall=wall,
        held=held,
        idle=wall.machine_seconds - held.total,
        usd=usd,
        idle_usd=usd - sum(row.usd for row in own),
    )


def _model(name: str, costs: Sequence[TrialCost], records: Records) -> ModelCost:
    own = [row for row in costs if row.trial.model == name]
    tested = [row for row in own if records.rows(row.trial, "test")]
    return ModelCost(
        model=name,
        processor="GPU" if any(row.processor == "GPU" for row in own) else "CPU",
        processor_seconds=sum(row.processor_seconds for row in own),
        tune=Sum.of(row for row in own if row.trial.stage == "tune"),
        confirm=Sum.of(row for row in own if row.trial.stage == "confirm"),
        seed=_mean(tested) if tested else None,
    )


def _mean(costs: Sequence[TrialCost]) -> Sum:
    seconds, usd = fmean(row.machine.total for row in costs), fmean(row.usd for row in costs)
    return Sum(trials=1, seconds=seconds, usd=usd)


def _savings(costs: Iterable[TrialCost]) -> StoppingSavings:
    """Sum the steps that were not trained, at each trial's own pace, including evaluations."""
    trials, steps, seconds, usd = 0, 0, 0.0, 0.0
    for row in costs:
        trial = row.trial
        stopped = trial.stage == "tune" and trial.ending in ("rung", "patience")
        if not stopped or not trial.planned_steps or not trial.steps:
            continue
        left = trial.planned_steps - trial.steps
        pace = ((trial.train_seconds or 0.0) + (trial.eval_seconds or 0.0)) / trial.steps
        machine, dollars = row.per_second
        trials, steps = trials + 1, steps + left
        seconds, usd = seconds + left * pace * machine, usd + left * pace * dollars
    return StoppingSavings(trials=trials, steps=steps, seconds=seconds, usd=usd)


def _count_untested_seeds(records: Records) -> dict[str, int]:
    """Count the seeds per model that were not tested, if `tune.max_usd` ended the run."""
    if all(trial.ending != "max_usd" for trial in records.trials):
        return {}
    missing = {
        model.name: records.planned_seeds(model.name)
        - sum(
            bool(records.rows(trial, "test")) for trial in records.trials_of(model.name, "confirm")
        )
        for model in records.experiment.models
    }
    return {model: number for model, number in missing.items() if number}

"""Units of the cost of a run: machines, seconds by activity, and sums."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal, Self

from raycompare.records.rows import TrialRecord

Processor = Literal["CPU", "GPU"]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One machine of the run."""

    hostname: str
    cpus: float
    gpus: float

    def share(self, cpus: float, gpus: float) -> float:
        """Return the share of the machine that these resources take, at most 1."""
        of_cpus = cpus / self.cpus if self.cpus else 0.0
        of_gpus = gpus / self.gpus if self.gpus else 0.0
        return min(max(of_cpus, of_gpus), 1.0) or 1.0


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Seconds by activity."""

    train: float = 0.0
    evaluate: float = 0.0
    test: float = 0.0
    start_up: float = 0.0
    """Loading the model, after the worker has started."""
    other: float = 0.0
    """Lost attempts, checkpoints, messages, and the rest."""

    @classmethod
    def of(cls, trial: TrialRecord) -> Self:
        """Divide the held time of a trial; for older versions, return the recorded parts."""
        measured = cls(
            train=trial.train_seconds or 0.0,
            evaluate=trial.eval_seconds or 0.0,
            test=trial.test_seconds or 0.0,
            start_up=trial.startup_seconds or 0.0,
        )
        return replace(measured, other=max((trial.held_seconds or 0.0) - measured.total, 0.0))

    @classmethod
    def sum(cls, parts: Iterable[Spent]) -> Self:
        """Return the sum of each activity."""
        rows = [asdict(part) for part in parts]
        return cls(**{name: sum(row[name] for row in rows) for name in asdict(cls())})

    def times(self, factor: float) -> Spent:
        """Return all seconds multiplied by a factor."""
        return Spent(**{name: value * factor for name, value in asdict(self).items()})

    @property
    def total(self) -> float:
        """Sum of all activities."""
        return self.train + self.evaluate + self.test + self.start_up + self.other


@dataclass(frozen=True, kw_only=True)
class Wall:
    """Duration of a stage."""

    seconds: float
    """Wall-clock time."""
    machine_seconds: float
    """Time of all machines that can hold trials, while they were part of the stage."""

    @classmethod
    def sum(cls, walls: Iterable[Wall]) -> Self:
        """Return the sum of both durations."""
        rows = list(walls)
        return cls(
            seconds=sum(wall.seconds for wall in rows),
            machine_seconds=sum(wall.machine_seconds for wall in rows),
        )


@dataclass(frozen=True, kw_only=True)
class TrialCost:
    """Cost of one trial."""

    trial: TrialRecord
    processor: Processor
    processor_seconds: float
    """GPU-seconds, or CPU-seconds without a GPU."""
    machine: Spent
    """Seconds of a whole machine."""
    usd: float

    @property
    def per_second(self) -> tuple[float, float]:
        """Machine seconds and USD per second of the trial."""
        own = Spent.of(self.trial).total
        return (self.machine.total / own, self.usd / own) if own else (0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class StageCost:
    """Cost of one stage; `held` and `idle` are seconds of whole machines."""

    name: str
    wall: Wall
    held: Spent
    idle: float
    usd: float
    idle_usd: float

    @property
    def seconds(self) -> float:
        """Wall-clock time."""
        return self.wall.seconds


def add_stages(name: str, stages: Sequence[StageCost]) -> StageCost:
    """Return the sum of several stages."""
    return StageCost(
        name=name,
        wall=Wall.sum(stage.wall for stage in stages),
        held=Spent.sum(stage.held for stage in stages),
        idle=sum(stage.idle for stage in stages),
        usd=sum(stage.usd for stage in stages),
        idle_usd=sum(stage.idle_usd for stage in stages),
    )


@dataclass(frozen=True, kw_only=True)
class Sum:
    """Cost of several trials: seconds of whole machines, and USD."""

    trials: int
    seconds: float
    usd: float

    @classmethod
    def of(cls, costs: Iterable[TrialCost]) -> Self:
        """Return the sum of the costs."""
        rows = list(costs)
        seconds = sum(row.machine.total for row in rows)
        return cls(trials=len(rows), seconds=seconds, usd=sum(row.usd for row in rows))


@dataclass(frozen=True, kw_only=True)
class ModelCost:
    """Cost of the trials of one model; idle time belongs to no model."""

    model: str
    processor: Processor
    processor_seconds: float
    tune: Sum
    confirm: Sum
    seed: Sum | None
    """Expected cost of one more seed, the mean of the tested ones."""


@dataclass(frozen=True, kw_only=True)
class StoppingSavings:
    """Savings from stopping trials of the tune stage early."""

    trials: int
    steps: int
    seconds: float
    """Seconds of whole machines, at the pace of each trial."""
    usd: float

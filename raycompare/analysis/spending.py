"""What machine time and money are counted in: machines, seconds of each kind, and sums."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
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
        """Return the part of the machine that a trial with these resources has, at most all."""
        of_cpus = cpus / self.cpus if self.cpus else 0.0
        of_gpus = gpus / self.gpus if self.gpus else 0.0
        return min(max(of_cpus, of_gpus), 1.0) or 1.0


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Seconds by what they went into."""

    train: float = 0.0
    evaluate: float = 0.0
    test: float = 0.0
    start_up: float = 0.0
    """Loading the model, after the worker has started."""
    other: float = 0.0
    """Starts that were lost, checkpoints, messages, and what is not measured."""

    @classmethod
    def of(cls, trial: TrialRecord) -> Self:
        """Divide the time for which a trial held its resources; only the known parts, if old."""
        known = cls(
            train=trial.train_seconds or 0.0,
            evaluate=trial.eval_seconds or 0.0,
            test=trial.test_seconds or 0.0,
            start_up=trial.startup_seconds or 0.0,
        )
        other = max((trial.held_seconds or 0.0) - known.total, 0.0)
        return cls(**{**asdict(known), "other": other})

    @classmethod
    def sum(cls, parts: Iterable[Spent]) -> Self:
        """Add up."""
        rows = [asdict(part) for part in parts]
        return cls(**{name: sum(row[name] for row in rows) for name in asdict(cls())})

    def times(self, factor: float) -> Spent:
        """Return a multiple."""
        return Spent(**{name: value * factor for name, value in asdict(self).items()})

    @property
    def total(self) -> float:
        """All of it."""
        return self.train + self.evaluate + self.test + self.start_up + self.other


@dataclass(frozen=True, kw_only=True)
class Wall:
    """The time of a stage."""

    seconds: float
    """Wall-clock."""
    machine_seconds: float
    """Summed over the machines that could hold trials, each for as long as it was there."""

    @classmethod
    def sum(cls, walls: Iterable[Wall]) -> Self:
        """Add up."""
        rows = list(walls)
        return cls(
            seconds=sum(wall.seconds for wall in rows),
            machine_seconds=sum(wall.machine_seconds for wall in rows),
        )


@dataclass(frozen=True, kw_only=True)
class TrialCost:
    """What one trial cost, however it ended."""

    trial: TrialRecord
    processor: Processor
    processor_seconds: float
    """GPU-seconds; CPU-seconds where it has no GPU."""
    machine: Spent
    """Seconds of a whole machine."""
    usd: float

    @property
    def per_second(self) -> tuple[float, float]:
        """Seconds of a machine, and USD, of a second of training or evaluation."""
        own = Spent.of(self.trial).total
        return (self.machine.total / own, self.usd / own) if own else (0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class StageCost:
    """What one stage cost: `held` and `idle` are seconds of whole machines."""

    name: str
    wall: Wall
    held: Spent
    idle: float
    usd: float
    idle_usd: float

    @property
    def seconds(self) -> float:
        """Wall-clock."""
        return self.wall.seconds


def add_stages(name: str, stages: Sequence[StageCost]) -> StageCost:
    """Return several stages as one."""
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
    """Trials taken together: seconds of whole machines, and USD."""

    trials: int
    seconds: float
    usd: float

    @classmethod
    def of(cls, costs: Iterable[TrialCost]) -> Self:
        """Add up."""
        rows = list(costs)
        seconds = sum(row.machine.total for row in rows)
        return cls(trials=len(rows), seconds=seconds, usd=sum(row.usd for row in rows))


@dataclass(frozen=True, kw_only=True)
class ModelCost:
    """What the trials of one model cost; idle time is no model's."""

    model: str
    processor: Processor
    processor_seconds: float
    tune: Sum
    confirm: Sum
    seed: Sum | None
    """Of one more seed, by the mean of those that were tested."""


@dataclass(frozen=True, kw_only=True)
class StoppingSavings:
    """What was not trained because trials of the tune stage were stopped early."""

    trials: int
    steps: int
    seconds: float
    """Of whole machines, at the pace of each trial; so are the USD."""
    usd: float

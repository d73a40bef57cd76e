"""What the plain arms of the study are asked, and what they answer: two JSON files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks.arms.plain import Padding


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One trial: a model and the arguments of its Trainer."""

    model: str
    place: str
    """The folder or hub id of the checkpoint."""
    config: dict[str, Any]
    """Changes of the model's config."""
    searched: dict[str, Any]
    """The part of the arguments that differs between trials."""
    arguments: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Request:
    """A study: the same rows and configurations for every arm."""

    data: str
    """A folder with train, validation and test in Parquet."""
    work: str
    """A folder to leave files in."""
    labels: int
    max_length: int
    seed: int
    configurations: Sequence[Configuration]
    padding: Padding
    workers: int
    """Trials at a time, one CPU each."""
    gpus_per_trial: float
    max_steps: int
    """Optimizer steps of a whole trial."""
    grace_steps: int
    reduction_factor: int

    def write(self, path: Path) -> None:
        """Write the request."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote."""
        content = json.loads(path.read_text())
        configurations = [Configuration(**one) for one in content.pop("configurations")]
        return cls(**content, configurations=configurations)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What came out of one configuration."""

    index: int
    best: float | None
    """The best MCC on the validation rows; None without an evaluation."""
    steps: int


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came out of a study."""

    search_seconds: float
    """The search alone."""
    trials: Sequence[Trained]

    def write(self, path: Path) -> None:
        """Write the answer."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote."""
        content = json.loads(path.read_text())
        return cls(**{**content, "trials": [Trained(**one) for one in content["trials"]]})

    @property
    def winner(self) -> int:
        """The index of the configuration with the best validation MCC; the first of equals."""
        found = [trial for trial in self.trials if trial.best is not None]
        return max(found, key=lambda trial: (trial.best, -trial.index)).index

    @property
    def steps(self) -> int:
        """The optimizer steps of all trials."""
        return sum(trial.steps for trial in self.trials)

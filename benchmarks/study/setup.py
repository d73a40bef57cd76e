"""The study that all arms run: its sizes, its rows on disk, its experiment file and request."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import disable_progress_bars
from ruamel.yaml import YAML

from benchmarks.ag_news import MAX_LENGTH, minilm
from benchmarks.arms.plain import Padding
from benchmarks.arms.request import Configuration, Request
from raycompare.data.splits import load_splits
from raycompare.experiment.file import read_draft
from raycompare.experiment.hyperparameters import settings_of
from raycompare.experiment.spec import DataSpec, Experiment, ModelSpec
from raycompare.models.places import locate
from raycompare.tuning.plans import drawn_plans

BATCH_SIZE = 16
EVALUATIONS = 4
"""Of a whole trial, at equal distances; the first is where a trial can be stopped first."""
REDUCTION_FACTOR = 2

SEARCH_SPACE: Mapping[str, Any] = {
    "learning_rate": {"loguniform": [5e-5, 1e-3]},
    "warmup_steps": {"randint": [0, 10]},
    "weight_decay": {"loguniform": [1e-6, 1e-1]},
}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is searched and trained."""

    train: int
    validation: int
    test: int
    epochs: int
    samples: int
    """Configurations of each of the two models."""
    workers: int
    padding: Padding
    """Of plain Ray Tune."""
    winner_seeds: int
    """Runs that say how good a winner is."""
    long_trials: int
    long_seconds: float
    """What a trial of the second study should take."""

    @property
    def steps(self) -> int:
        """Return the optimizer steps of a whole trial."""
        return math.ceil(self.train / BATCH_SIZE) * self.epochs

    @property
    def interval(self) -> int:
        """Return the steps between evaluations."""
        return max(self.steps // EVALUATIONS, 1)


def write_rows(sizes: Sizes, data: Path, folder: Path) -> None:
    """Draw the rows once, for every arm to read."""
    limit = {"train": sizes.train, "validation": sizes.validation, "test": sizes.test}
    spec = DataSpec.model_validate({"dataset": str(data), "limit": limit})
    disable_progress_bars()
    drawn = load_splits(spec, seed=0)
    folder.mkdir(parents=True)
    for part in ("train", "validation", "test"):
        rows = getattr(drawn, part).remove_columns("example_id")
        rows.to_parquet(folder / f"{part}.parquet")


def write_study(sizes: Sizes, rows: Path, path: Path) -> Experiment:
    """Write the experiment file of the study."""
    training = {"num_train_epochs": sizes.epochs, "eval_steps": sizes.interval}
    search = {
        "num_samples": sizes.samples,
        "grace_period": sizes.interval,
        "reduction_factor": REDUCTION_FACTOR,
        "max_concurrent_trials": sizes.workers,
    }
    return _write([minilm(2), minilm(3)], rows, training, search, path)


def write_long_study(sizes: Sizes, seconds_per_step: float, rows: Path, path: Path) -> Experiment:
    """Write the experiment file of the study whose trials are long, of which none is stopped."""
    steps = max(round(sizes.long_seconds / seconds_per_step), EVALUATIONS)
    training = {"max_steps": steps, "eval_steps": math.ceil(steps / EVALUATIONS)}
    search = {
        "num_samples": sizes.long_trials,
        "scheduler": "fifo",
        "max_concurrent_trials": sizes.workers,
    }
    return _write([minilm(2)], rows, training, search, path)


def _write(
    models: list[ModelSpec],
    rows: Path,
    training: Mapping[str, Any],
    search: Mapping[str, Any],
    path: Path,
) -> Experiment:
    keys = ("name", "checkpoint", "config")
    content = {
        "name": path.stem,
        "data": {"dataset": str(rows), "max_length": MAX_LENGTH},
        "models": [{key: getattr(model, key) for key in keys} for model in models],
        "training": {
            "per_device_train_batch_size": BATCH_SIZE,
            "learning_rate": 3e-4,
            **training,
        },
        "search_space": dict(SEARCH_SPACE),
        "tune": dict(search),
        "confirm": {"seeds": [1]},
        "baselines": [],
        "inference": {"measure": False},
        "resources": {"cpu": 1},
    }
    with path.open("w") as stream:
        YAML(typ="safe").dump(content, stream)
    return read_draft(path).experiment()


def request_of(
    sizes: Sizes, experiment: Experiment, work: Path, gpus_per_trial: float = 0.0
) -> Request:
    """Ask the plain arms for the configurations that raycompare plans for the experiment."""
    return Request(
        data=experiment.data.dataset,
        work=str(work),
        labels=4,
        max_length=MAX_LENGTH,
        seed=experiment.seed,
        configurations=[
            _configuration(experiment, plan.model, dict(plan.hyperparameters))
            for plan in drawn_plans(experiment)
        ],
        padding=sizes.padding,
        workers=sizes.workers,
        gpus_per_trial=gpus_per_trial,
        max_steps=sizes.steps,
        grace_steps=sizes.interval,
        reduction_factor=REDUCTION_FACTOR,
    )


def _configuration(experiment: Experiment, name: str, searched: dict[str, Any]) -> Configuration:
    settings = settings_of(experiment, name)
    model, training = settings.model, settings.training
    fixed = {**training, "eval_strategy": "steps" if "eval_steps" in training else "epoch"}
    return Configuration(
        model=name,
        place=locate(model.checkpoint),
        config=dict(model.config),
        searched=searched,
        arguments={**fixed, **searched},
    )

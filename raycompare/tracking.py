"""Starts the trackers that an experiment names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from raycompare.spec import TrackerName
from raycompare.tracker_mlflow import MLflow
from raycompare.tracker_tensorboard import TensorBoard
from raycompare.tracker_wandb import WandB
from raycompare.trackers import Lane, TrackedRun, Tracker, Trackers

TRACKERS: Mapping[TrackerName, Callable[[TrackedRun], Tracker]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": WandB,
}


def start_trackers(run: TrackedRun, say: Callable[[str], None]) -> Trackers:
    """Start the trackers of a run, each on a thread; `say` prints a line that stays."""
    return Trackers([Lane(name, TRACKERS[name](run)) for name in run.experiment.trackers], say)

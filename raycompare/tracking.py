"""Starts the trackers that an experiment names."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from raycompare.spec import TrackerName
from raycompare.tracker_mlflow import MLflow
from raycompare.tracker_sagemaker import SWITCH, MetricLines
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
    lanes = [Lane(name, TRACKERS[name](run)) for name in run.experiment.trackers]
    if os.environ.get(SWITCH):
        lanes.append(Lane("metric lines", MetricLines(run)))
    return Trackers(lanes, say)

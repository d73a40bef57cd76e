"""Starts the trackers of an experiment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from raycompare.experiment.spec import TrackerName
from raycompare.running.trackers.mlflow import MLflow
from raycompare.running.trackers.sagemaker import SWITCH, MetricLines
from raycompare.running.trackers.tensorboard import TensorBoard
from raycompare.running.trackers.threads import Trackers, TrackerThread
from raycompare.running.trackers.tracker import TrackedRun, Tracker
from raycompare.running.trackers.wandb import WandB

TRACKERS: Mapping[TrackerName, Callable[[TrackedRun], Tracker]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": WandB,
}


def start_trackers(run: TrackedRun, say: Callable[[str], None]) -> Trackers:
    """Start the trackers of a run, each in its own thread; `say` prints warnings."""
    lanes = [TrackerThread(name, TRACKERS[name](run)) for name in run.experiment.trackers]
    if os.environ.get(SWITCH):
        lanes.append(TrackerThread("metric lines", MetricLines()))
    return Trackers(lanes, say)

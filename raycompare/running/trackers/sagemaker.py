"""Metrics for SageMaker's charts: lines on standard output, and the patterns that match them.

SageMaker extracts metrics from the log of a training job with regular expressions (at most 40
AlgorithmMetricDefinitions of CreateTrainingJob). Trials log where they run, so the driver prints
the evaluations that they report.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from raycompare.analysis.analytics import METRICS, PREFIXES
from raycompare.experiment.spec import Experiment
from raycompare.records.rows import EvalRecord, TrialRecord
from raycompare.running.trackers.tracker import BEFORE_FIRST, Tracker

SWITCH = "RAYCOMPARE_METRIC_LINES"
"""Environment variable that turns the lines on."""
MARK = "[metrics]"
MOST_DEFINITIONS = 40
NUMBER = r"([-+0-9.e]+)"


@dataclass(frozen=True)
class Definition:
    """A metric, and a regular expression whose first group is its value."""

    name: str
    regex: str


class MetricLines(Tracker):
    """Prints a line per evaluation: model, trial, step, and the finite metrics."""

    def has(self, trial_id: str) -> bool:
        """Return True: a trial of an earlier job is in that job's log."""
        return True

    def begin(self, trial: TrialRecord) -> int:
        """Start with the first evaluation."""
        return BEFORE_FIRST

    def log(self, trial: TrialRecord, rows: Sequence[EvalRecord]) -> None:
        """Print the lines."""
        for row in rows:
            sys.stdout.write(f"{line_of(trial, row)}\n")
        sys.stdout.flush()


def line_of(trial: TrialRecord, row: EvalRecord) -> str:
    """Format an evaluation as a line, without NaN and infinity, which SageMaker can't read."""
    values = {
        f"{PREFIXES[row.split]}_{short}": float(getattr(row, metric))
        for metric, short in METRICS.items()
    }
    finite = [f"{name}={value:.6g}" for name, value in values.items() if math.isfinite(value)]
    about = f"model={json.dumps(trial.model)} trial={trial.trial_id} step={row.step}"
    return " ".join([MARK, about, *finite])


def definitions(experiment: Experiment) -> list[Definition]:
    """Return a definition per metric and split, then the deciding metric of the first 14 models."""
    kinds = [f"{prefix}_{short}" for prefix in PREFIXES.values() for short in METRICS.values()]
    deciding = METRICS[experiment.tune.metric]
    whole = [Definition(kind, rf"\[metrics\] .* {kind}={NUMBER}") for kind in kinds]
    of_models = [
        Definition(f"{model.name}:{kind}", rf"\[metrics\] {_model(model.name)} .* {kind}={NUMBER}")
        for model in experiment.models
        for kind in (f"{prefix}_{deciding}" for prefix in PREFIXES.values())
    ]
    return [*whole, *of_models][:MOST_DEFINITIONS]


def _model(name: str) -> str:
    return re.escape(f"model={json.dumps(name)}")

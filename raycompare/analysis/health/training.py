"""Warnings about trials that did not learn, diverged, or were still learning."""

from __future__ import annotations

import math
from collections.abc import Iterator

from raycompare.analysis.health.flag import Flag
from raycompare.experiment.hyperparameters import settings_of
from raycompare.formatting import number_of, score
from raycompare.metrics import MODES
from raycompare.records.rows import TrialRecord
from raycompare.records.run_records import Records

CHANCE = 0.02
"""A model with an absolute MCC below this value is no better than guessing."""
DEVIATIONS = 2.0
"""Standard deviations of the MCC of guesses within which a model is no better than guessing."""
RISE = 0.005
"""Mean improvement of the last evaluation that is worth more training; a share of the loss."""


def chance_level(records: Records, model: str) -> Iterator[Flag]:
    """Warn about completed trials that are no better than guessing, or worse."""
    trials = records.trials_of(model, "tune") + records.trials_of(model, "confirm")
    # Trials that were stopped early had no time to learn.
    ended = [trial for trial in trials if trial.status == "completed"]
    last = [rows[-1] for trial in ended if (rows := records.rows(trial, "validation"))]
    limit = _mcc_of_guesses(records)
    if guessing := sum(abs(row.matthews_correlation) < limit for row in last):
        yield Flag(
            about=model,
            found=f"{guessing} of {number_of(len(last), 'trial')} ended no better than guessing "
            f"(|MCC| < {score(limit)})",
            advice="lower the upper bound of learning_rate, or train for more steps",
        )
    if worse := sum(row.matthews_correlation <= -limit for row in last):
        yield Flag(
            about=model,
            found=f"{worse} of {number_of(len(last), 'trial')} ended worse than guessing "
            f"(MCC <= {score(-limit)})",
            advice="check the labels: those of validation may be swapped",
        )


def _mcc_of_guesses(records: Records) -> float:
    """Return the largest absolute MCC that guesses reach by chance on the validation split.

    The variance of the MCC of K even labels in n rows is 1 / ((K - 1) n), as chi-square tests of
    independence have it.
    """
    labels = len(records.manifest.data.get("labels", ()))
    rows = records.manifest.data.get("rows", {}).get("validation")
    if not rows or labels <= 1:
        return CHANCE
    return max(CHANCE, DEVIATIONS / math.sqrt((labels - 1) * rows))


def unused_gpus(records: Records, model: str) -> Iterator[Flag]:
    """Warn about trials that held a GPU and computed on the CPU."""
    resources = records.manifest.resources.get(model, {})
    settings = settings_of(records.experiment, model)
    if not resources.get("gpu") or True in settings.all_values("use_cpu"):
        return
    trials = records.trials_of(model, "tune") + records.trials_of(model, "confirm")
    on_cpu = [trial for trial in trials if trial.device == "cpu"]
    if on_cpu:
        hosts = sorted({trial.hostname for trial in on_cpu if trial.hostname})
        yield Flag(
            about=model,
            found=f"{number_of(len(on_cpu), 'trial')} held a GPU but trained on the CPU of "
            f"{', '.join(hosts)}; times, GPU-hours and costs are those of a CPU",
            advice="install a torch for the GPU and its driver, or set resources: {gpu: 0}",
        )


def divergence(records: Records, model: str) -> Iterator[Flag]:
    """Warn about trials whose loss is not a number."""
    trials = records.trials_of(model, "tune") + records.trials_of(model, "confirm")
    diverged = [trial for trial in trials if trial.ending == "diverged"]
    if diverged:
        yield Flag(
            about=model,
            found=f"the loss of {number_of(len(diverged), 'trial')} became NaN or infinite",
            advice="lower the upper bound of learning_rate, or set max_grad_norm",
        )


def under_trained(records: Records, model: str) -> Iterator[Flag]:
    """Warn if all finalists improved at their last evaluation, and by more than a trifle."""
    finalists = [t for t in records.trials_of(model, "confirm") if t.ending == "full_budget"]
    rises = [_rise(records, trial) for trial in finalists]
    if rises and min(rises) > 0 and sum(rises) / len(rises) >= RISE:
        yield Flag(
            about=model,
            found="every finalist was still improving at its last evaluation",
            advice="train longer with `raycompare extend`",
        )


def _rise(records: Records, trial: TrialRecord) -> float:
    """Return by how much the last evaluation is better than all before, relative for the loss."""
    metric = records.experiment.tune.metric
    *others, last = [getattr(row, metric) for row in records.rows(trial, "validation")] or [0.0]
    if not others:
        return 0.0
    if MODES[metric] == "max":
        return float(last - max(others))
    return float(1 - last / min(others)) if min(others) > 0 else 0.0

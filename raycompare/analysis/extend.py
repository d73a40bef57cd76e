"""The experiment that trains the winner of a run for longer."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from raycompare.analysis.leaderboard import ModelRow, leaderboard
from raycompare.analysis.refine import successor
from raycompare.errors import UserError, near, one_of
from raycompare.experiment.hyperparameters import settings_of
from raycompare.experiment.spec import Arguments, Experiment
from raycompare.records.rows import FINISHED, TrialRecord
from raycompare.records.run_records import Records

EPOCHS, STEPS = "num_train_epochs", "max_steps"
TRAINERS_EPOCHS = 3.0
"""Default of transformers.TrainingArguments."""


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """A model that was confirmed and tested."""

    row: ModelRow
    is_winner: bool
    """Whether the model leads the leaderboard."""
    configuration: Arguments
    """Confirmed values of the searched hyperparameters."""
    epochs: float
    """Number of epochs in the schedule, even if patience ended training earlier."""


def finalist(records: Records, model: str | None = None) -> Finalist:
    """Return the model with the best mean test score over its seeds, or the model named.

    Raises:
        UserError: there is no such model, or it was not tested.
    """
    experiment, rows = records.experiment, leaderboard(records)
    row = rows[0] if model is None else _row_of(rows, model)
    if not row.test:
        untested = "no model was" if model is None else f"{model} was not"
        raise UserError(
            f"{experiment.name} has no finished confirm stage: {untested} tested ({row.reason}). "
            "Finish it with `raycompare run --resume RUN_DIR`, then extend it."
        )
    confirmed = [t for t in records.trials_of(row.model, "confirm") if t.status in FINISHED]
    configuration = json.loads(confirmed[0].hyperparameters)
    arguments = {**settings_of(experiment, row.model).training, **configuration}
    epochs = _epochs(arguments) or _epochs_trained(records, confirmed)
    return Finalist(row=row, is_winner=row is rows[0], configuration=configuration, epochs=epochs)


def _row_of(rows: Sequence[ModelRow], model: str) -> ModelRow:
    names = [row.model for row in rows]
    if model not in names:
        hint = near(model, names)
        raise UserError(
            f"--model: found {model!r}, allowed {one_of(names)}" + (f"; {hint}" if hint else ".")
        )
    return rows[names.index(model)]


def _epochs(arguments: Arguments) -> float | None:
    """Return the number of epochs in the schedule; None if the schedule is set in steps."""
    steps, epochs = arguments.get(STEPS), arguments.get(EPOCHS, TRAINERS_EPOCHS)
    if isinstance(steps, int) and steps > 0:
        return None
    assert isinstance(epochs, int | float)
    return float(epochs)


def _epochs_trained(records: Records, trials: Sequence[TrialRecord]) -> float:
    own = {trial.trial_id for trial in trials}
    return max(row.epoch for row in records.evaluations if row.trial_id in own)


def extension(records: Records, epochs: float, model: str | None = None) -> Experiment:
    """Return the experiment that trains one confirmed configuration for more epochs.

    Data, seeds, metric and resources stay the same; `num_train_epochs` replaces `max_steps`.
    Training starts from the pretrained weights, with one schedule over all epochs. It doesn't
    continue from the finished weights: their learning rate has decayed, and raising it again would
    be a different procedure from the one that was compared.

    Raises:
        UserError: there is no such model, it was not tested, or it was trained for as many epochs.
    """
    experiment, before = records.experiment, finalist(records, model)
    if not before.epochs < epochs < math.inf:
        raise UserError(
            f"--epochs: found {epochs:g}, allowed a number above {before.epochs:g}, such as "
            f"{math.ceil(2 * before.epochs)}: {before.row.model} was trained for {before.epochs:g}."
        )
    chosen = experiment.model_named(before.row.model)
    return experiment.model_copy(
        update={
            "name": successor(experiment.name, "extended"),
            "models": (chosen.model_copy(update={"training": {}, "search_space": {}}),),
            "training": _training(experiment, before, epochs),
            "search_space": {},
        }
    )


def _training(experiment: Experiment, before: Finalist, epochs: float) -> Arguments:
    fixed = {**settings_of(experiment, before.row.model).training, **before.configuration}
    fixed.pop(STEPS, None)
    return {**fixed, EPOCHS: int(epochs) if float(epochs).is_integer() else epochs}

"""The experiment that trains the winner of a run longer."""

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
"""The Trainer's own number, where nothing sets it (transformers.TrainingArguments)."""


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """A model that was confirmed and tested."""

    row: ModelRow
    is_winner: bool
    """Whether it leads the leaderboard."""
    configuration: Arguments
    """What was searched, as it was confirmed."""
    epochs: float
    """Of its whole schedule, also where patience ended it earlier."""


def finalist(records: Records, model: str | None = None) -> Finalist:
    """Find the model with the best mean test value over its seeds, or the one named.

    Raises:
        UserError: no such model, or it has not been tested.
    """
    experiment, rows = records.experiment, leaderboard(records)
    row = rows[0] if model is None else _row_of(rows, model)
    if not row.test:
        who = "no model" if model is None else model
        raise UserError(
            f"{experiment.name} has no finished confirm stage: {who} was tested ({row.reason}). "
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
            f"--model: found {model!r}, allowed {one_of(names)}." + (f" {hint}" if hint else "")
        )
    return rows[names.index(model)]


def _epochs(arguments: Arguments) -> float | None:
    """Return the epochs of the schedule; None where steps are counted instead."""
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

    Data, seeds, metric and resources stay; `max_steps` goes. Training starts from the pretrained
    weights, with one schedule over all the epochs, and not from the finished weights: those stand
    at the end of a schedule, where the learning rate has decayed already, and to raise it again
    would be another procedure than the one that was compared.

    Raises:
        UserError: no such model, it has not been tested, or it had as many epochs already.
    """
    experiment, found = records.experiment, finalist(records, model)
    if not found.epochs < epochs < math.inf:
        raise UserError(
            f"--epochs: found {epochs:g}, allowed a number above {found.epochs:g}, which "
            f"{found.row.model} was trained for. Give more, such as {math.ceil(2 * found.epochs)}."
        )
    chosen = experiment.model_named(found.row.model)
    return experiment.model_copy(
        update={
            "name": successor(experiment.name, "extended"),
            "models": (chosen.model_copy(update={"training": {}, "search_space": {}}),),
            "training": _training(experiment, found, epochs),
            "search_space": {},
        }
    )


def _training(experiment: Experiment, found: Finalist, epochs: float) -> Arguments:
    fixed = {**settings_of(experiment, found.row.model).training, **found.configuration}
    fixed.pop(STEPS, None)
    return {**fixed, EPOCHS: int(epochs) if float(epochs).is_integer() else epochs}

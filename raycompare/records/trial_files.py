"""What trials leave in the run folder beside their records: checkpoints, and finalists' weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from raycompare.metrics import Mode, better
from raycompare.records.layout import CHECKPOINTS, weights_of
from raycompare.records.rows import FINISHED, TrialRecord
from raycompare.records.run_folder import RunFolder

LATEST = "latest"


class TrialFiles:
    """The files of one trial.

    A checkpoint is a folder of its own; the file `latest` names the one that is whole, so that a
    process that dies while it writes leaves the one before.
    """

    def __init__(self, folder: RunFolder, trial_id: str) -> None:
        """Belong to a trial of a run folder."""
        self._folder, self._trial_id = folder, trial_id
        self._place = f"{CHECKPOINTS}/{trial_id}"

    def save_checkpoint(self, local: Path) -> None:
        """Store a checkpoint, and remove the one before."""
        before = self._latest()
        if local.name == before:
            return  # a trial that was started again has come to where it was
        self._folder.delete(f"{self._place}/{local.name}")
        self._folder.put_folder(local, f"{self._place}/{local.name}")
        self._folder.write_text(f"{self._place}/{LATEST}", local.name)
        if before:
            self._folder.delete(f"{self._place}/{before}")

    def checkpoint(self, local: Path) -> Path | None:
        """Return a local folder with the last checkpoint; `local` is where a copy may go."""
        latest = self._latest()
        return self._folder.get_folder(f"{self._place}/{latest}", local) if latest else None

    def _latest(self) -> str | None:
        name = f"{self._place}/{LATEST}"
        return self._folder.read_text(name) if self._folder.exists(name) else None

    def drop_checkpoint(self) -> None:
        """Remove what a trial that has ended needs no more."""
        self._folder.delete(self._place)

    def save_weights(self, local: Path) -> None:
        """Store the weights of a finalist."""
        self.drop_weights()
        self._folder.put_folder(local, weights_of(self._trial_id))

    def drop_weights(self) -> None:
        """Remove the weights of a finalist that another seed of its model has beaten."""
        self._folder.delete(weights_of(self._trial_id))


def keep_best_weights(trials: Sequence[TrialRecord], folder: RunFolder, mode: Mode) -> None:
    """Keep the weights of one seed of each model: the best on validation, the first of equals."""
    best: dict[str, TrialRecord] = {}
    # One that the budget has cut was not tested and has left no weights.
    finalists = [
        t for t in trials if t.stage == "confirm" and t.status in FINISHED and t.ending != "max_usd"
    ]
    for trial in finalists:
        if trial.best_value is None:
            continue
        before = best.get(trial.model)
        if better(trial.best_value, before.best_value if before else None, mode):
            best[trial.model] = trial
    for trial in finalists:
        if trial is not best.get(trial.model):
            TrialFiles(folder, trial.trial_id).drop_weights()

"""Files of trials in the run folder: checkpoints, and weights of finalists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from raycompare.metrics import Mode, better
from raycompare.records.layout import CHECKPOINTS, RAY, weights_of
from raycompare.records.rows import FINISHED, TrialRecord
from raycompare.records.run_folder import RunFolder

LATEST = "latest"


class TrialFiles:
    """The files of one trial.

    Each checkpoint is a folder, and the file `latest` names the complete one. If a process dies
    while it writes a checkpoint, the previous one is still valid.
    """

    def __init__(self, folder: RunFolder, trial_id: str) -> None:
        """Access the files of a trial in a run folder."""
        self._folder, self._trial_id = folder, trial_id
        self._checkpoints = f"{CHECKPOINTS}/{trial_id}"

    def save_checkpoint(self, local: Path) -> None:
        """Store a checkpoint, then delete the previous one."""
        before = self._latest()
        if local.name == before:
            return  # a restarted trial has reached its own checkpoint again
        self._folder.delete(f"{self._checkpoints}/{local.name}")
        self._folder.put_folder(local, f"{self._checkpoints}/{local.name}")
        self._folder.write_text(f"{self._checkpoints}/{LATEST}", local.name)
        if before:
            self._folder.delete(f"{self._checkpoints}/{before}")

    def checkpoint(self, local: Path) -> Path | None:
        """Return the path of the last checkpoint on this machine; a remote one goes to `local`."""
        latest = self._latest()
        return self._folder.get_folder(f"{self._checkpoints}/{latest}", local) if latest else None

    def _latest(self) -> str | None:
        name = f"{self._checkpoints}/{LATEST}"
        return self._folder.read_text(name) if self._folder.exists(name) else None

    def drop_checkpoint(self) -> None:
        """Delete the checkpoints of a trial that has ended."""
        self._folder.delete(self._checkpoints)

    def save_weights(self, local: Path) -> None:
        """Store the weights of a finalist."""
        self.drop_weights()
        self._folder.put_folder(local, weights_of(self._trial_id))

    def drop_weights(self) -> None:
        """Delete the weights of a finalist, if they exist."""
        self._folder.delete(weights_of(self._trial_id))


def delete_what_only_runs_need(folder: RunFolder, trials: Sequence[TrialRecord]) -> None:
    """Delete the files of Ray Tune and the checkpoints of a run that has ended.

    Trials that failed keep their checkpoints: a resumed run continues them.
    """
    folder.delete(RAY)
    failed = [trial.trial_id for trial in trials if trial.status == "errored"]
    if not failed:
        folder.delete(CHECKPOINTS)
        return
    for name in folder.names(CHECKPOINTS):
        if name not in failed:
            TrialFiles(folder, name).drop_checkpoint()


def _finalists(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the trials that were tested; one that max_usd stopped was not, and has no weights."""
    confirmed = (t for t in trials if t.stage == "confirm" and t.status in FINISHED)
    return [trial for trial in confirmed if trial.ending != "max_usd"]


def best_finalists(trials: Sequence[TrialRecord], mode: Mode) -> dict[str, TrialRecord]:
    """Return the seed of each model that is best on validation, the first if equal."""
    best: dict[str, TrialRecord] = {}
    for trial in _finalists(trials):
        if trial.best_value is None:
            continue
        before = best.get(trial.model)
        if better(trial.best_value, before.best_value if before else None, mode):
            best[trial.model] = trial
    return best


def keep_best_weights(trials: Sequence[TrialRecord], folder: RunFolder, mode: Mode) -> None:
    """Delete the weights of all finalists but the best of each model."""
    best = best_finalists(trials, mode)
    for trial in _finalists(trials):
        if trial is not best.get(trial.model):
            TrialFiles(folder, trial.trial_id).drop_weights()

"""All that a run has left behind, as the report reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from raycompare.errors import UserError
from raycompare.experiment.spec import Experiment
from raycompare.records.layout import TRIALS
from raycompare.records.manifest import Manifest
from raycompare.records.rows import (
    BaselineFailure,
    BaselineRecord,
    EvalRecord,
    InferenceFailure,
    InferenceRecord,
    ScreenRecord,
    TrialRecord,
)
from raycompare.records.run_folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class Records:
    """What is known of a run, but for the predictions."""

    experiment: Experiment
    """With the models that were trained; `screened` has those that were left out."""
    manifest: Manifest
    trials: Sequence[TrialRecord]
    evaluations: Sequence[EvalRecord]
    baselines: Sequence[BaselineRecord] = ()
    baseline_failures: Sequence[BaselineFailure] = ()
    """Of the latest try; a baseline that was fitted in the end has none that counts."""
    screened: Sequence[ScreenRecord] = ()
    """Best first; empty where nothing was screened."""
    inference: Sequence[InferenceRecord] = ()
    inference_failures: Sequence[InferenceFailure] = ()
    """The latest of each model; one that was measured in the end has none that counts."""

    @classmethod
    def of(cls, folder: RunFolder) -> Self:
        """Read the records of a run.

        Raises:
            UserError: the folder is not that of a run that has ended.
        """
        manifest = folder.read_manifest()
        trials = folder.read_trials()
        if not trials:
            raise UserError(
                f"{folder.child(TRIALS)} is missing or empty, though the run has ended. "
                "Copy the whole run folder."
            )
        screened = folder.read_rows(ScreenRecord)
        return cls(
            experiment=only_kept(folder.read_experiment(), screened),
            screened=screened,
            manifest=manifest,
            trials=trials,
            evaluations=folder.read_evaluations(),
            baselines=folder.read_rows(BaselineRecord),
            baseline_failures=folder.read_rows(BaselineFailure),
            inference=folder.read_rows(InferenceRecord),
            inference_failures=folder.read_rows(InferenceFailure),
        )

    @cached_property
    def tune_trials(self) -> list[TrialRecord]:
        """The trials of the tune stage."""
        return [trial for trial in self.trials if trial.stage == "tune"]

    @cached_property
    def confirm_trials(self) -> list[TrialRecord]:
        """The trials of the confirm stage."""
        return [trial for trial in self.trials if trial.stage == "confirm"]

    @cached_property
    def search_trials(self) -> list[TrialRecord]:
        """The trials of the tune stage, and the confirm trials of models that were not tuned."""
        tuned = {trial.model for trial in self.tune_trials}
        return [t for t in self.trials if t.stage == "tune" or t.model not in tuned]

    def trials_of(self, model: str, stage: str) -> list[TrialRecord]:
        """Return a model's trials of one stage, in the order of the plan."""
        own = (t for t in self.trials if t.model == model and t.stage == stage)
        return sorted(own, key=lambda trial: trial.order)

    @cached_property
    def _by_trial(self) -> dict[tuple[str, str], list[EvalRecord]]:
        found: dict[tuple[str, str], list[EvalRecord]] = {}
        for row in sorted(self.evaluations, key=lambda row: row.step):
            found.setdefault((row.trial_id, row.split), []).append(row)
        return found

    def rows(self, trial: TrialRecord, split: str) -> list[EvalRecord]:
        """Return a trial's evaluations on a split, by step."""
        return self._by_trial.get((trial.trial_id, split), [])


def only_kept(experiment: Experiment, screened: Sequence[ScreenRecord]) -> Experiment:
    """Return the experiment with the models that were not left out."""
    out = {record.model for record in screened if not record.kept}
    models = tuple(model for model in experiment.models if model.name not in out)
    return experiment.model_copy(update={"models": models})

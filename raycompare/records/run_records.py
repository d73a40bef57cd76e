"""The records of a run, as the report reads them."""

from __future__ import annotations

from collections import defaultdict
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
    InferenceRound,
    ScreenRecord,
    StoredText,
    TrialRecord,
)
from raycompare.records.run_folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class Records:
    """All records of a run except the predictions."""

    experiment: Experiment
    """The experiment, without the models that screening dropped."""
    manifest: Manifest
    trials: Sequence[TrialRecord]
    evaluations: Sequence[EvalRecord]
    baselines: Sequence[BaselineRecord] = ()
    baseline_failures: Sequence[BaselineFailure] = ()
    """Failures of the last session; ignored for a baseline that has a record."""
    screened: Sequence[ScreenRecord] = ()
    """Screened models, best first; empty without screening."""
    inference: Sequence[InferenceRecord] = ()
    inference_rounds: Sequence[InferenceRound] = ()
    """Empty in runs from before models were measured in rounds."""
    inference_failures: Sequence[InferenceFailure] = ()
    """The last failure of each model; ignored for a model that has a record."""
    texts: Sequence[StoredText] = ()
    """Texts of the test rows; empty unless the experiment sets `report.texts`."""

    @classmethod
    def of(cls, folder: RunFolder) -> Self:
        """Read the records of a run.

        Raises:
            UserError: the folder is not a run folder, or its run has not ended.
        """
        manifest = folder.read_manifest()
        trials = folder.read_trials()
        if not trials:
            raise UserError(
                f"{folder.child(TRIALS)} is missing or empty, although the run has ended. "
                "Copy the whole run folder."
            )
        experiment, screened = folder.read_experiment(), folder.read_rows(ScreenRecord)
        return cls(
            experiment=drop_screened(experiment, screened),
            screened=screened,
            manifest=manifest,
            trials=trials,
            evaluations=folder.read_evaluations(),
            baselines=folder.read_rows(BaselineRecord),
            baseline_failures=folder.read_rows(BaselineFailure),
            inference=folder.read_rows(InferenceRecord),
            inference_rounds=folder.read_rows(InferenceRound),
            inference_failures=folder.read_rows(InferenceFailure),
            texts=folder.read_rows(StoredText) if experiment.report.texts else (),
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
        """Return the trials of a model and stage, in the order of their plans."""
        own = (t for t in self.trials if t.model == model and t.stage == stage)
        return sorted(own, key=lambda trial: trial.order)

    def planned_seeds(self, model: str) -> int:
        """Return the number of seeds that were planned for a model."""
        confirm = self.experiment.confirm
        planned = len(self.trials_of(model, "confirm")) if confirm.is_race else 0
        return max(planned, len(confirm.sure_seeds))

    @cached_property
    def _by_trial(self) -> dict[tuple[str, str], list[EvalRecord]]:
        rows: defaultdict[tuple[str, str], list[EvalRecord]] = defaultdict(list)
        for row in sorted(self.evaluations, key=lambda row: row.step):
            rows[row.trial_id, row.split].append(row)
        return rows

    def rows(self, trial: TrialRecord, split: str) -> list[EvalRecord]:
        """Return the evaluations of a trial on a split, sorted by step."""
        return self._by_trial.get((trial.trial_id, split), [])


def drop_screened(experiment: Experiment, screened: Sequence[ScreenRecord]) -> Experiment:
    """Return the experiment without the models that screening dropped."""
    dropped = {record.model for record in screened if not record.kept}
    models = tuple(model for model in experiment.models if model.name not in dropped)
    return experiment.model_copy(update={"models": models})

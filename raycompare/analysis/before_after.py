"""The gain from longer training, by the test that the report compares models with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import pyarrow as pa

from raycompare.analysis.extend import Finalist
from raycompare.analysis.leaderboard import spread, tested_finalists
from raycompare.analysis.statistics.judgement import Judgement, judge
from raycompare.analysis.statistics.race import Criteria
from raycompare.analysis.verdict import p_text
from raycompare.formatting import change, number_of
from raycompare.metrics import LABELS, MetricName
from raycompare.records.rows import TrialRecord
from raycompare.records.run_folder import RunFolder
from raycompare.records.run_records import Records

BEFORE, AFTER = "before", "after"


@dataclass(frozen=True, kw_only=True)
class RunPredictions:
    """The finalists of a run and their predictions."""

    finalists: Sequence[TrialRecord]
    predictions: Sequence[tuple[str, pa.Table]]
    """Trial ids with their tables of predictions."""

    @classmethod
    def of(cls, folder: RunFolder, records: Records) -> Self:
        """Read the predictions of a run."""
        return cls(
            finalists=tested_finalists(records.trials, records.evaluations),
            predictions=list(folder.read_predictions(with_probabilities=True)),
        )


def judge_runs(
    before: RunPredictions, after: RunPredictions, model: str, metric: MetricName
) -> Judgement:
    """Compare two runs of one model, tested on the same rows; the only pair is after - before."""
    finalists, predictions = [], []
    for name, tested in ((BEFORE, before), (AFTER, after)):
        finalists += [
            replace(trial, trial_id=f"{name}/{trial.trial_id}", model=name)
            for trial in tested.finalists
            if trial.model == model
        ]
        predictions += [(f"{name}/{trial}", table) for trial, table in tested.predictions]
    return judge(finalists, predictions, [AFTER, BEFORE], Criteria(metric=metric))


def describe_gain(
    before: Finalist, after: Finalist, judgement: Judgement, metric: MetricName
) -> str:
    """Return one sentence about the gain from longer training, on the test split."""
    first, second = before.row.test[metric], after.row.test[metric]
    same = first.n == second.n
    seeds = f"{number_of(first.n, 'seed')} each" if same else f"{first.n} and {second.n} seeds"
    epochs = f"{before.epochs:g} epoch{'' if before.epochs == 1 else 's'}"
    return (
        f"{LABELS[metric]} {spread(first)} after {epochs}, {spread(second)} after "
        f"{after.epochs:g}, {seeds}: {_claim(judgement)}."
    )


def _claim(judgement: Judgement) -> str:
    if judgement.gap is not None:
        return f"they cannot be compared, because {judgement.gap}"
    (pair,) = judgement.pairs
    if pair.test is None:
        return f"they cannot be compared, because {judgement.why_untested(AFTER, BEFORE)}"
    if not pair.apart:
        low, high = (change(bound) for bound in (pair.test.interval.low, pair.test.interval.high))
        return (
            "they are not significantly different; the difference lies between "
            f"{low} and {high} (95 % interval)"
        )
    better = "better" if pair.better == AFTER else "worse"
    return f"longer training is {better} ({p_text(pair.test.p_corrected)})"

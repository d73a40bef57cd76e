"""The gain from longer training, by the test that the report compares models with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import pyarrow as pa

from raycompare.analysis.extend import Finalist
from raycompare.analysis.leaderboard import spread, tested_finalists
from raycompare.analysis.pairwise import ONE_SEED
from raycompare.analysis.significance import Judgement, judge
from raycompare.analysis.verdict import p_text
from raycompare.formatting import number_of, score
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
            predictions=list(folder.read_predictions()),
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
    return judge(finalists, predictions, [AFTER, BEFORE], metric)


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
        f"{after.epochs:g}, {seeds}: {_claim(judgement, metric)}."
    )


def _claim(judgement: Judgement, metric: MetricName) -> str:
    if judgement.gap is not None:
        return f"they cannot be compared, because {judgement.gap}"
    (pair,) = judgement.pairs
    if pair.test is None:
        return f"they cannot be compared, because {ONE_SEED}"
    label = LABELS[judgement.metric]
    if not pair.apart:
        least = f"{score(pair.test.detectable)} {label}"
        return f"they are not significantly different; differences below {least} are not detectable"
    better = "better" if pair.better == AFTER else "worse"
    in_metric = "" if metric == judgement.metric else f" in {label}"
    return f"longer training is {better}{in_metric} ({p_text(pair.test.p)})"

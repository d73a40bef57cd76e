"""What longer training bought, by the tests that the report compares models with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import pyarrow as pa

from raycompare.analysis.extend import Finalist
from raycompare.analysis.leaderboard import spread, tested_finalists
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
    """The finalists of a run, and what they answered."""

    finalists: Sequence[TrialRecord]
    predictions: Sequence[tuple[str, pa.Table]]
    """Each table by its trial id."""

    @classmethod
    def of(cls, folder: RunFolder, records: Records) -> Self:
        """Read the predictions of a run whose records were read before."""
        return cls(
            finalists=tested_finalists(records.trials, records.evaluations),
            predictions=list(folder.read_predictions()),
        )


def judge_runs(
    before: RunPredictions, after: RunPredictions, model: str, metric: MetricName
) -> Judgement:
    """Judge two runs of one model, tested on the same rows, as if they were two models.

    The only pair is `after` minus `before`.
    """
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
    """Say in one sentence what the longer training bought on the test split."""
    then, now = before.row.test[metric], after.row.test[metric]
    seeds = (
        f"{number_of(then.n, 'seed')} each" if then.n == now.n else f"{then.n} and {now.n} seeds"
    )
    epochs = f"{before.epochs:g} epoch{'' if before.epochs == 1 else 's'}"
    return (
        f"{LABELS[metric]} {spread(then)} after {epochs}, {spread(now)} after {after.epochs:g}, "
        f"{seeds}: {_claim(judgement, metric)}."
    )


def _claim(judgement: Judgement, metric: MetricName) -> str:
    if judgement.gap is not None:
        return f"they can't be told apart: {judgement.gap}"
    (pair,) = judgement.pairs
    if pair.test is None:
        return "they can't be told apart: one seed says nothing of others"
    by = "" if metric == judgement.metric else f" by {LABELS[judgement.metric]}"
    if not pair.apart:
        seen = f"{score(pair.test.detectable)} {LABELS[judgement.metric]}"
        return f"they can't be told apart: a gap under {seen} can't be seen"
    better = "better" if pair.better == AFTER else "no better, it is worse"
    return f"longer training is {better}{by} ({p_text(pair.test.p)})"

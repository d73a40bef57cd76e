"""The section of the report on ranking models by their average over evaluations, as is often done.

The hand-made comparisons that docs/mirrors.md names take SageMaker's `METRIC - Avg`, the mean over
the evaluations of one training run, and the order of the models follows how soon they learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from raycompare.analysis.analytics import METRICS, average
from raycompare.analysis.comparison import Comparison
from raycompare.analysis.curves import Curve, learning_curves
from raycompare.analysis.leaderboard import ModelRow, spread
from raycompare.formatting import escape, score, table
from raycompare.metrics import LABELS, MODES, MetricName, better

TITLE = "## Why the average over evaluations ranks no models"


@dataclass(frozen=True, kw_only=True)
class Averaged:
    """One tested model with the evaluations of its best trial."""

    row: ModelRow
    curve: Curve
    average: float
    """Over the finite values, as SageMaker's Avg."""
    place: int
    """By the test; counts from 1."""

    @classmethod
    def all_of(cls, comparison: Comparison) -> list[Self]:
        """Return the tested models that were evaluated, in the order of the averages."""
        curves = learning_curves(comparison.records)
        best = {curve.model: curve for curve in curves if curve.is_best}
        rows = [row for row in comparison.leaderboard if row.test and row.model in best]
        found = [
            cls(row=row, curve=best[row.model], average=mean, place=place)
            for place, row in enumerate(rows, 1)
            if (mean := average(best[row.model].values)) is not None
        ]
        sign = 1 if MODES[comparison.metric] == "min" else -1
        return sorted(found, key=lambda one: (sign * one.average, one.place))


def mirrors_section(comparison: Comparison) -> str:
    """Show both orders where they differ; one sentence where not, nothing if there is no average.

    Without a second evaluation of any trial an average is the value itself.
    """
    models = Averaged.all_of(comparison)
    if len(models) < 2 or all(len(one.curve.values) < 2 for one in models):  # noqa: PLR2004
        return ""
    if [one.place for one in models] == sorted(one.place for one in models):
        return (
            f"Ordered by {_column(comparison.metric)}, the mean over the evaluations of each "
            "model's best trial, the models would stand as in the leaderboard. It still rewards "
            "learning soon and ranks nothing here (docs/mirrors.md of raycompare)."
        )
    return "\n\n".join(
        [
            TITLE,
            _headline(comparison, models),
            "<details>\n<summary>both orders</summary>",
            _orders(comparison.metric, models),
            "</details>",
            f"*Average* is {_column(comparison.metric)} of analytics/trial_components.csv: the "
            "mean over the evaluations of the model's best trial, early ones included. Comparisons "
            "made by hand rank by it (docs/mirrors.md of raycompare).",
        ]
    )


def _column(metric: MetricName) -> str:
    return f"`eval_{METRICS[metric]} - Avg`"


def _headline(comparison: Comparison, models: Sequence[Averaged]) -> str:
    first = models[0]
    leader = next(one for one in models if one.place == 1)
    if first is leader:
        return (
            "The average over evaluations has the same model first, and others in another order "
            "than the test."
        )
    metric = LABELS[comparison.metric]
    tie = (
        ", which can't be told apart from it by the test"
        if first.row.model in comparison.tied
        else ""
    )
    return (
        f"By the average over evaluations {escape(first.row.model)} would come first: "
        f"{_why(comparison.metric, first, leader)}. Its average validation {metric} is "
        f"{score(first.average)}, that of {escape(leader.row.model)} {score(leader.average)}; "
        f"on the test it has {_test(comparison.metric, first)} against "
        f"{_test(comparison.metric, leader)}{tie}."
    )


def _why(metric: MetricName, first: Averaged, leader: Averaged) -> str:
    """Say what the average rewards, as far as the two trials show it."""
    mode = MODES[metric]
    pick = max if mode == "max" else min
    own, other = first.curve.values, leader.curve.values
    sooner, ends_better = better(own[0], other[0], mode), better(pick(own), pick(other), mode)
    if sooner and not ends_better:
        return "it learns sooner, not better"
    if len(own) != len(other):
        return f"it was evaluated {len(own)} times, the other {len(other)} times"
    return "its best trial is ahead on the validation split, not on the test"


def _test(metric: MetricName, one: Averaged) -> str:
    return spread(one.row.test[metric])


def _orders(metric: MetricName, models: Sequence[Averaged]) -> str:
    headers = ["model", "by average", "by test", "average", "evaluations", f"test {LABELS[metric]}"]
    rows = [
        [
            escape(one.row.model),
            str(place),
            str(one.place),
            score(one.average),
            str(len(one.curve.values)),
            _test(metric, one),
        ]
        for place, one in enumerate(models, 1)
    ]
    return table(headers, rows)

"""Section of the report on ranking models by their average over evaluations.

The comparisons listed in docs/mirrors.md rank by SageMaker's `METRIC - Avg`, the mean over the
evaluations of one training run, so their order depends on how early a model learns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from raycompare.analysis.analytics import METRICS, average
from raycompare.analysis.comparison import Comparison
from raycompare.analysis.curves import Curve, learning_curves
from raycompare.analysis.leaderboard import ModelRow, spread
from raycompare.formatting import escape, fold, join_parts, score, table
from raycompare.metrics import LABELS, MODES, MetricName, better

TITLE = "## Why the average over evaluations is not used"


@dataclass(frozen=True, kw_only=True)
class _Averaged:
    """A tested model with the evaluations of its best trial."""

    row: ModelRow
    curve: Curve
    average: float
    """Mean of the finite values, as SageMaker's Avg."""
    place: int
    """Rank by the test, from 1."""

    @classmethod
    def all_of(cls, comparison: Comparison) -> list[Self]:
        """Return the tested models that were evaluated, ordered by their averages."""
        curves = learning_curves(comparison.records)
        best = {curve.model: curve for curve in curves if curve.is_best}
        rows = [row for row in comparison.leaderboard if row.test and row.model in best]
        models = [
            cls(row=row, curve=best[row.model], average=mean, place=place)
            for place, row in enumerate(rows, 1)
            if (mean := average(best[row.model].values)) is not None
        ]
        sign = 1 if MODES[comparison.metric] == "min" else -1
        return sorted(models, key=lambda model: (sign * model.average, model.place))

    def test(self, metric: MetricName) -> str:
        """Return the test scores as text."""
        return spread(self.row.test[metric])


def mirrors_section(comparison: Comparison) -> str:
    """Show both orders if they differ, else say that they agree.

    Return nothing if no trial was evaluated twice, since the average is then the value itself.
    """
    models = _Averaged.all_of(comparison)
    if len(models) < 2 or all(len(model.curve.values) < 2 for model in models):  # noqa: PLR2004
        return ""
    column = f"`eval_{METRICS[comparison.metric]} - Avg`"
    if [model.place for model in models] == sorted(model.place for model in models):
        return (
            f"Ordered by {column}, the mean over the evaluations of each model's best trial, the "
            "models would be in the same order as in the leaderboard. The report does not use this "
            "average, because it rewards learning early (docs/mirrors.md of raycompare)."
        )
    note = (
        f"*Average* is {column} of analytics/trial_components.csv: the mean over all evaluations "
        "of the model's best trial, including early ones. Many manual comparisons rank by it "
        "(docs/mirrors.md of raycompare)."
    )
    orders = fold("both orders", _orders(comparison.metric, models))
    return join_parts(TITLE, _headline(comparison, models), orders, note)


def _headline(comparison: Comparison, models: Sequence[_Averaged]) -> str:
    first, metric = models[0], comparison.metric
    leader = next(model for model in models if model.place == 1)
    if first is leader:
        return (
            "The average over evaluations ranks the same model first, but orders the others "
            "differently than the test."
        )
    may_be_best = first.row.model in comparison.rivals
    return (
        f"The average over evaluations would rank {escape(first.row.model)} first, because "
        f"{_why(metric, first, leader)}. Its average validation {LABELS[metric]} is "
        f"{score(first.average)}, compared to {score(leader.average)} for "
        f"{escape(leader.row.model)}; on the test it reaches {first.test(metric)}, compared to "
        f"{leader.test(metric)}{', but it may be the best' if may_be_best else ''}."
    )


def _why(metric: MetricName, first: _Averaged, leader: _Averaged) -> str:
    mode = MODES[metric]
    pick = max if mode == "max" else min
    own, other = first.curve.values, leader.curve.values
    sooner, ends_better = better(own[0], other[0], mode), better(pick(own), pick(other), mode)
    if sooner and not ends_better:
        return "it learns earlier, not better"
    if len(own) != len(other):
        return f"it was evaluated {len(own)} times and the other {len(other)} times"
    return "its best trial is ahead on the validation split, though not on the test"


def _orders(metric: MetricName, models: Sequence[_Averaged]) -> str:
    headers = ["model", "by average", "by test", "average", "evaluations", f"test {LABELS[metric]}"]
    rows = [
        [
            escape(model.row.model),
            str(place),
            str(model.place),
            score(model.average),
            str(len(model.curve.values)),
            model.test(metric),
        ]
        for place, model in enumerate(models, 1)
    ]
    return table(headers, rows)

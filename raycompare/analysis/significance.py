"""Intervals, tests and tiers of the models, from their stored predictions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import pyarrow as pa

from raycompare.analysis.intervals import (
    FinalistPredictions,
    Interval,
    intervals,
    number_of_resamples,
)
from raycompare.analysis.leaderboard import shown_metrics
from raycompare.analysis.pairwise import Pair, compare_pairs
from raycompare.analysis.per_class import ClassReport, class_report
from raycompare.analysis.tiers import Ranks, ranks, tiers
from raycompare.metrics import Integers, MetricName
from raycompare.records.rows import TrialRecord

FALLBACK: MetricName = "matthews_correlation"
"""Deciding metric if that of the experiment is the loss, which predictions don't contain."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Intervals, tests and tiers of the tested models; empty if `gap` is set."""

    metric: MetricName
    """Metric that the pairs are compared by."""
    gap: str | None = None
    """The reason why the predictions can't be used; then nothing is claimed."""
    examples: int = 0
    """Number of test examples."""
    resamples: int = 0
    """Number of bootstrap resamples per interval."""
    intervals: Mapping[str, Mapping[MetricName, Interval]] = field(default_factory=dict)
    pairs: tuple[Pair, ...] = ()
    tiers: Mapping[str, str] = field(default_factory=dict)
    ranks: Mapping[str, Ranks] = field(default_factory=dict)
    classes: ClassReport | None = None
    """Scores of the leader per label."""

    @classmethod
    def of(cls, answers: FinalistPredictions, models: Sequence[str], metric: MetricName) -> Self:
        """Compare models and baselines, best first; `metric` can't be the loss.

        Baselines have no ranks, and don't count for the ranks of models.
        """
        pairs = compare_pairs(answers, models, metric)
        ranked = [model for model in models if answers.seeds[model]]
        apart = [(pair.first, pair.second) for pair in pairs if pair.apart]
        better = [
            (pair.better, pair.second if pair.better == pair.first else pair.first)
            for pair in pairs
            if pair.better is not None and {pair.first, pair.second} <= set(ranked)
        ]
        return cls(
            metric=metric,
            examples=answers.examples,
            resamples=number_of_resamples(answers),
            intervals=intervals(answers, shown_metrics(metric)),
            pairs=pairs,
            tiers=tiers(models, apart),
            ranks=ranks(ranked, better),
        )

    def of_leader(self, models: Sequence[str]) -> list[Pair]:
        """Return the comparisons of the first model with each of the others."""
        return [pair for pair in self.pairs if pair.first == models[0] and pair.second in models]

    def pair(self, one: str, other: str) -> Pair | None:
        """Return the comparison of two models in either order; None if nothing is claimed."""
        return next((p for p in self.pairs if {p.first, p.second} == {one, other}), None)

    def ties_with_first(self, models: Sequence[str]) -> tuple[str, ...]:
        """Return the models not significantly different from the first; all if there is a gap."""
        if self.gap is not None:
            return tuple(models[1:])
        return tuple(pair.second for pair in self.of_leader(models) if not pair.apart)


def judge(
    finalists: Sequence[TrialRecord],
    predictions: Iterable[tuple[str, pa.Table]],
    models: Sequence[str],
    metric: MetricName,
    label_names: Sequence[str] = (),
    baselines: Mapping[str, str] | None = None,
) -> Judgement:
    """Compare the models by the predictions of their tested finalists.

    Args:
        finalists: Confirm trials that were tested.
        predictions: Trial ids with their tables.
        models: Models with finalists and baselines, best first.
        metric: Metric of the experiment.
        label_names: Names of the labels, by number.
        baselines: Trial ids keyed by the name of the baseline.
    """
    decides = FALLBACK if metric == "loss" else metric
    answers = _read_predictions(finalists, baselines or {}, predictions)
    if isinstance(answers, str):
        return Judgement(metric=decides, gap=answers)
    judgement = Judgement.of(answers, models, decides)
    leader = next(model for model in models if answers.seeds[model])
    return replace(judgement, classes=class_report(answers, leader, label_names))


@dataclass(frozen=True, eq=False)
class _TestSplit:
    example_ids: Integers
    labels: Integers
    predicted: Integers

    @classmethod
    def of(cls, table: pa.Table) -> Self:
        ids, labels, predicted = (
            np.asarray(table[name]) for name in ("example_id", "label", "prediction")
        )
        order = np.argsort(ids, kind="stable")
        return cls(ids[order], labels[order], predicted[order])

    def same_examples(self, other: _TestSplit) -> bool:
        return np.array_equal(self.example_ids, other.example_ids) and np.array_equal(
            self.labels, other.labels
        )


def _read_predictions(
    finalists: Sequence[TrialRecord],
    baselines: Mapping[str, str],
    predictions: Iterable[tuple[str, pa.Table]],
) -> FinalistPredictions | str:
    if not finalists:
        return "no finalist was tested"
    wanted = {*(trial.trial_id for trial in finalists), *baselines.values()}
    tested = {name: _TestSplit.of(table) for name, table in predictions if name in wanted}
    if missing := sorted(wanted - tested.keys()):
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        return f"the run folder has no predictions of {missing[0]}{others}"
    first, *rest = (tested[trial_id] for trial_id in sorted(wanted))
    if len(first.labels) <= 1 or not all(first.same_examples(other) for other in rest):
        return "the finalists were not tested on the same examples"
    answers = _answers(sorted(finalists, key=lambda trial: trial.seed), tested, first.labels)
    return _with_baselines(answers, {name: tested[own] for name, own in baselines.items()})


def _answers(
    finalists: Sequence[TrialRecord], tested: Mapping[str, _TestSplit], labels: Integers
) -> FinalistPredictions:
    of_model: dict[str, list[TrialRecord]] = {}
    for trial in finalists:
        of_model.setdefault(trial.model, []).append(trial)
    return FinalistPredictions(
        labels=labels,
        predictions={
            model: np.stack([tested[trial.trial_id].predicted for trial in trials])
            for model, trials in of_model.items()
        },
        seeds={model: tuple(trial.seed for trial in trials) for model, trials in of_model.items()},
    )


def _with_baselines(
    answers: FinalistPredictions, tested: Mapping[str, _TestSplit]
) -> FinalistPredictions:
    predicted = {name: own.predicted[None] for name, own in tested.items()}
    return replace(
        answers,
        predictions={**answers.predictions, **predicted},
        seeds={**answers.seeds, **dict.fromkeys(predicted, ())},
    )

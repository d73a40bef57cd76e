"""What the stored predictions allow to be said of the models, or why they allow nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pyarrow as pa

from raycompare.leaderboard import shown_metrics
from raycompare.margins import Answers, Integers
from raycompare.metrics import MetricName
from raycompare.pairwise import Pair, compared
from raycompare.record import TrialRecord
from raycompare.statistics import Interval, intervals, number_of_resamples
from raycompare.tiers import Ranks, ranks, tiers

FALLBACK: MetricName = "matthews_correlation"
"""Decides between models where the experiment's metric is the loss, which predictions lack."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Intervals, tests and tiers of the tested models; empty where there is a `gap`."""

    metric: MetricName
    """That the pairs are compared by."""
    gap: str | None = None
    """Why the predictions can't be used; then nothing is claimed."""
    examples: int = 0
    """Of the test split."""
    resamples: int = 0
    """Behind each interval."""
    intervals: Mapping[str, Mapping[MetricName, Interval]] = field(default_factory=dict)
    pairs: tuple[Pair, ...] = ()
    tiers: Mapping[str, str] = field(default_factory=dict)
    ranks: Mapping[str, Ranks] = field(default_factory=dict)

    @classmethod
    def of(cls, answers: Answers, models: Sequence[str], metric: MetricName) -> Self:
        """Judge the models, best first, by any metric but the loss."""
        pairs = compared(answers, models, metric)
        apart = [(pair.first, pair.second) for pair in pairs if pair.apart]
        better = [
            (pair.better, pair.second if pair.better == pair.first else pair.first)
            for pair in pairs
            if pair.better is not None
        ]
        return cls(
            metric=metric,
            examples=answers.examples,
            resamples=number_of_resamples(answers),
            intervals=intervals(answers, shown_metrics(metric)),
            pairs=pairs,
            tiers=tiers(models, apart),
            ranks=ranks(models, better),
        )

    def of_leader(self, models: Sequence[str]) -> list[Pair]:
        """Return the comparisons of the first model with each of the others."""
        return [pair for pair in self.pairs if pair.first == models[0]]

    def tied(self, models: Sequence[str]) -> tuple[str, ...]:
        """Name those that can't be told apart from the first: all where nothing is claimed."""
        if self.gap is not None:
            return tuple(models[1:])
        return tuple(pair.second for pair in self.of_leader(models) if not pair.apart)


def judge(
    finalists: Sequence[TrialRecord],
    predictions: Iterable[tuple[str, pa.Table]],
    models: Sequence[str],
    metric: MetricName,
) -> Judgement:
    """Judge the models by the predictions of their tested finalists.

    `models` are those with finalists, best first; `metric` is the experiment's. `predictions` has
    each finalist's table by its trial id.
    """
    decides = FALLBACK if metric == "loss" else metric
    found = _read(finalists, predictions) if finalists else "no finalist was tested"
    if isinstance(found, str):
        return Judgement(metric=decides, gap=found)
    return Judgement.of(found, models, decides)


@dataclass(frozen=True, eq=False)
class _Tested:
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

    def same_examples(self, other: _Tested) -> bool:
        return np.array_equal(self.example_ids, other.example_ids) and np.array_equal(
            self.labels, other.labels
        )


def _read(
    finalists: Sequence[TrialRecord], predictions: Iterable[tuple[str, pa.Table]]
) -> Answers | str:
    wanted = {trial.trial_id for trial in finalists}
    tested = {name: _Tested.of(table) for name, table in predictions if name in wanted}
    if missing := sorted(wanted - tested.keys()):
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        return f"the run folder has no predictions of {missing[0]}{others}"
    first, *rest = (tested[trial.trial_id] for trial in finalists)
    if len(first.labels) <= 1 or not all(first.same_examples(other) for other in rest):
        return "the predictions of the finalists are not of the same test examples"
    return _answers(sorted(finalists, key=lambda trial: trial.seed), tested, first.labels)


def _answers(
    finalists: Sequence[TrialRecord], tested: Mapping[str, _Tested], labels: Integers
) -> Answers:
    of_model: dict[str, list[TrialRecord]] = {}
    for trial in finalists:
        of_model.setdefault(trial.model, []).append(trial)
    return Answers(
        labels=labels,
        predictions={
            model: np.stack([tested[trial.trial_id].predicted for trial in trials])
            for model, trials in of_model.items()
        },
        seeds={model: tuple(trial.seed for trial in trials) for model, trials in of_model.items()},
    )

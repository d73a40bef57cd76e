"""Predictions of the finalists and baselines, read from the tables of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import pyarrow as pa

from raycompare.metrics import Floats, Integers
from raycompare.records.rows import TrialRecord

SMALLEST_PROBABILITY = float(np.finfo(np.float32).tiny)
"""Stored probabilities are float32, and 0 below it; its loss is 87 nats."""


@dataclass(frozen=True, eq=False)
class FinalistPredictions:
    """Predictions of the finalists and baselines for the same test examples."""

    labels: Integers
    """Shape (examples,), counted from 0."""
    predictions: Mapping[str, Integers]
    """Keyed by model name; shape (seeds, examples), one row for a baseline."""
    seeds: Mapping[str, tuple[int, ...]]
    """Keyed by model name; empty for a baseline, whose predictions don't depend on the seed."""
    losses: Mapping[str, Floats] = field(default_factory=dict)
    """Cross-entropy of each example, in nats, shaped like `predictions`."""

    @property
    def examples(self) -> int:
        """Number of test examples."""
        return len(self.labels)

    @property
    def classes(self) -> int:
        """Number of classes, up to the largest label or prediction."""
        largest = [predicted.max() for predicted in self.predictions.values()]
        return int(max(self.labels.max(), *largest)) + 1

    def up_to(self, last: int) -> FinalistPredictions:
        """Return the predictions of baselines, and of the seeds up to `last`, which ascend."""
        numbers = {
            model: sum(seed <= last for seed in seeds) if seeds else 1
            for model, seeds in self.seeds.items()
        }
        kept = {model: number for model, number in numbers.items() if number}
        return replace(
            self,
            predictions={model: self.predictions[model][:number] for model, number in kept.items()},
            seeds={model: self.seeds[model][:number] for model, number in kept.items()},
            losses={m: own[: kept[m]] for m, own in self.losses.items() if m in kept},
        )


@dataclass(frozen=True, eq=False)
class _TestedTrial:
    """Predictions of one trial, by the number of the example."""

    example_ids: Integers
    labels: Integers
    predicted: Integers
    losses: Floats
    """0 if they were not asked for."""

    @classmethod
    def of(cls, table: pa.Table, with_losses: bool) -> Self:
        ids, labels, predicted = (
            np.asarray(table[name]) for name in ("example_id", "label", "prediction")
        )
        order = np.argsort(ids, kind="stable")
        losses = _cross_entropies(table, labels) if with_losses else np.zeros(len(labels))
        return cls(ids[order], labels[order], predicted[order], losses[order])

    def same_examples(self, other: _TestedTrial) -> bool:
        return np.array_equal(self.example_ids, other.example_ids) and np.array_equal(
            self.labels, other.labels
        )


def _cross_entropies(table: pa.Table, labels: Integers) -> Floats:
    column = table["probabilities"].combine_chunks()
    probabilities = np.asarray(column.flatten(), np.float64).reshape(len(labels), -1)
    of_labels = probabilities[np.arange(len(labels)), labels]
    return np.asarray(-np.log(np.maximum(of_labels, SMALLEST_PROBABILITY)))


def read_predictions(
    finalists: Sequence[TrialRecord],
    baselines: Mapping[str, str],
    predictions: Iterable[tuple[str, pa.Table]],
    *,
    with_losses: bool,
) -> FinalistPredictions | str:
    """Gather the predictions of finalists and baselines, or return why they can't be compared.

    Args:
        finalists: Confirm trials that were tested.
        baselines: Trial ids keyed by the name of the baseline.
        predictions: Trial ids with their tables.
        with_losses: Whether to compute the loss of each example.
    """
    if not finalists:
        return "no finalist was tested"
    wanted = {*(trial.trial_id for trial in finalists), *baselines.values()}
    tested = {
        name: _TestedTrial.of(table, with_losses) for name, table in predictions if name in wanted
    }
    if missing := sorted(wanted - tested.keys()):
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        return f"the run folder has no predictions of {missing[0]}{others}"
    first, *rest = (tested[trial_id] for trial_id in sorted(wanted))
    if len(first.labels) <= 1 or not all(first.same_examples(other) for other in rest):
        return "the finalists were not tested on the same examples"
    answers = _gather(sorted(finalists, key=lambda trial: trial.seed), tested, first.labels)
    return _with_baselines(answers, {name: tested[own] for name, own in baselines.items()})


def _gather(
    finalists: Sequence[TrialRecord], tested: Mapping[str, _TestedTrial], labels: Integers
) -> FinalistPredictions:
    of_model: dict[str, list[TrialRecord]] = {}
    for trial in finalists:
        of_model.setdefault(trial.model, []).append(trial)
    tables = {
        model: [tested[trial.trial_id] for trial in trials] for model, trials in of_model.items()
    }
    return FinalistPredictions(
        labels=labels,
        predictions={
            model: np.stack([table.predicted for table in own]) for model, own in tables.items()
        },
        seeds={model: tuple(trial.seed for trial in trials) for model, trials in of_model.items()},
        losses={model: np.stack([table.losses for table in own]) for model, own in tables.items()},
    )


def _with_baselines(
    answers: FinalistPredictions, tested: Mapping[str, _TestedTrial]
) -> FinalistPredictions:
    return replace(
        answers,
        predictions={
            **answers.predictions,
            **{name: own.predicted[None] for name, own in tested.items()},
        },
        seeds={**answers.seeds, **dict.fromkeys(tested, ())},
        losses={**answers.losses, **{name: own.losses[None] for name, own in tested.items()}},
    )

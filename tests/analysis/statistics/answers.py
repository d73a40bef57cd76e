"""Answers of models to test rows, made by formula."""

from __future__ import annotations

from typing import Any

import numpy as np

from raycompare.analysis.statistics.predictions import FinalistPredictions
from raycompare.metrics import Integers


def made(number: int, seeds: int, examples: int, classes: int, right: float = 0.7) -> Any:
    chance = np.random.default_rng(number)
    labels = chance.integers(0, classes, examples)
    shape = (seeds, examples)
    guesses = chance.integers(0, classes, shape)
    return labels, np.where(chance.random(shape) < right, labels, guesses)


def answers(**predictions: Integers) -> FinalistPredictions:
    first = next(iter(predictions.values()))
    seeds = {model: tuple(range(1, len(rows) + 1)) for model, rows in predictions.items()}
    return FinalistPredictions(np.zeros(first.shape[1], int), predictions, seeds)


def right_at(*accuracies: float, examples: int = 400, shift: int = 0) -> Integers:
    place = (np.arange(examples) + shift) % examples
    return np.stack([(place >= round(share * examples)).astype(int) for share in accuracies])

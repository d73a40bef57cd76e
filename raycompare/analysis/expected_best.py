"""What the best of so many trials would have been, on average over which trials came first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from raycompare.metrics import MODES, MetricName
from raycompare.records.rows import TrialRecord


@dataclass(frozen=True, kw_only=True)
class ExpectedBest:
    """The expected best validation value of a model after 1, 2, ... trials."""

    model: str
    values: tuple[float, ...]


def expected_best(
    models: Iterable[str], trials: Sequence[TrialRecord], metric: MetricName
) -> tuple[ExpectedBest, ...]:
    """Return the curve of each model with two trials of the tune stage or more.

    A trial counts with its best value, also where it was stopped early.
    """
    found: dict[str, list[float]] = {model: [] for model in models}
    for trial in trials:
        if trial.stage == "tune" and trial.best_value is not None:
            found[trial.model].append(trial.best_value)
    return tuple(
        ExpectedBest(model=model, values=tuple(best_of(values, metric)))
        for model, values in found.items()
        if len(values) > 1
    )


def best_of(values: Sequence[float], metric: MetricName) -> list[float]:
    """Return the mean best of 1, 2, ... of the values, over all orders in which they can come.

    Drawn without putting back, which has no bias (Tang et al. 2020, "Showing Your Work Doesn't
    Always Work"; Dodge et al. 2019 draw with putting back).
    """
    sign = 1.0 if MODES[metric] == "max" else -1.0
    rising = np.sort(sign * np.asarray(values, float))
    number = len(rising)
    expected = []
    chances = np.full(number, 1 / number)  # of the value at each place to be the best of those
    for drawn in range(1, number + 1):
        expected.append(sign * float(chances @ rising))
        # C(place, drawn) / C(number, drawn + 1), from C(place, drawn - 1) / C(number, drawn)
        places = np.arange(number)
        chances = chances * np.maximum(places - drawn + 1, 0) / drawn
        chances = chances * (drawn + 1) / max(number - drawn, 1)
    return expected

"""Warnings about best values at the edge of a search space."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from raycompare.analysis.health.flag import Flag
from raycompare.experiment.hyperparameters import settings_of
from raycompare.experiment.ranges import edge_at, has_fixed_edges
from raycompare.experiment.space import Domain
from raycompare.metrics import MODES
from raycompare.records.run_records import Records

NEAR = 0.25
"""Share of a range's width, from an edge, in which the second best trial has to be as well. A
hyperparameter without any effect is then flagged in about 5 % of searches, not in 20 %."""


def at_the_edge(records: Records, model: str) -> Iterator[Flag]:
    """Warn if the two best trials of a model have a value at the same edge of its range."""
    confirmed = records.trials_of(model, "confirm")
    chosen: Mapping[str, Any] = json.loads(confirmed[0].hyperparameters) if confirmed else {}
    second = _second_best(records, model, chosen)
    space = settings_of(records.experiment, model).space
    for name, value in chosen.items():
        edge = edge_at(space[name], value) if name in space else None
        if edge is None or (second and not _is_near(space[name], second.get(name), edge)):
            continue
        yield Flag(
            about=model,
            found=f"the best {name}, {value:.3g}, is at the edge of its range ({edge:.3g})",
            advice="widen its range by hand, if the model allows it"
            if has_fixed_edges(name, space[name])
            else "search beyond that edge: `raycompare refine` moves it out",
        )


def _second_best(records: Records, model: str, chosen: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the hyperparameters of the best completed trial that differs from the chosen one."""
    metric = records.experiment.tune.metric
    sign = 1.0 if MODES[metric] == "max" else -1.0
    values = [
        (sign * trial.best_value, json.loads(trial.hyperparameters))
        for trial in records.trials_of(model, "tune")
        if trial.status == "completed" and trial.best_value is not None
    ]
    others = [each for each in values if each[1] and each[1] != chosen]
    return max(others, key=lambda each: each[0])[1] if others else {}


def _is_near(domain: Domain, value: object, edge: float) -> bool:
    if not isinstance(value, int | float):
        return False
    return edge_at(domain, value, NEAR) == edge

"""A range of a search space in the scale it is drawn in: where its edges are and may go."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self, cast

from raycompare.experiment.space import Domain

NOISE = 1e-9
"""Relative; what floating-point numbers may be off by where a multiple of a step is expected."""


def in_range(domain: Domain, value: object) -> bool:
    """Say whether a search over `domain` could draw `value`, with the bounds that Ray draws."""
    if domain.is_listed:
        return _same_json(value) in map(_same_json, domain.choices)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return False
    lower, upper, *step = cast(tuple[float, ...], domain.args)
    if step and not math.isclose(value / step[0], round(value / step[0]), rel_tol=NOISE):
        return False
    if domain.kind.endswith("normal"):
        return True
    if domain.kind.endswith("randint"):
        below = value <= upper if step else value < upper
        return float(value).is_integer() and lower <= value and below
    slack = NOISE * max(abs(lower), abs(upper)) if step else 0.0
    return lower - slack <= value <= upper + slack


def _same_json(value: object) -> str:
    return json.dumps(value, sort_keys=True)


MARGIN = 0.1
"""Of a range's width, in its scale: the padding around the best values, and what counts as being
at an edge."""
BEYOND = 0.5
"""Of a range's width, in its scale: how far an edge moves out."""
DIGITS = 3  # significant ones of a bound

Side = Literal[-1, 1]
DOWN: Side = -1
UP: Side = 1
BOUNDS = 2
"""Arguments of a range without steps."""


@dataclass(frozen=True)
class Scale:
    """A range in the scale it is drawn in; both bounds can be drawn."""

    low: float
    high: float
    is_log: bool
    step: float | None
    """Of what values are multiples."""

    @classmethod
    def of(cls, domain: Domain) -> Self:
        """Return the scale of a range of numbers with two bounds."""
        low, high, *step = cast(tuple[float, ...], domain.args)
        unit = step[0] if step else 1.0 if domain.kind.endswith("randint") else None
        return cls(low, high - beyond(domain), "log" in domain.kind, unit)

    def width(self) -> float:
        """Return the distance of the bounds in the scale."""
        return self.at(self.high) - self.at(self.low)

    def at(self, value: float) -> float:
        """Return where a value stands in the scale."""
        return math.log(value) if self.is_log else value

    def edge(self, side: Side) -> float:
        """Return the bound on a side."""
        return self.low if side == DOWN else self.high

    def is_at_edge(self, side: Side, value: float) -> bool:
        """Say whether a value lies within `MARGIN` of the width from a bound that can move out."""
        if self.limit(side) == self.edge(side):
            return False
        return 0 < self.width() >= abs(self.at(value) - self.at(self.edge(side))) / MARGIN

    def bound(self, side: Side, values: Sequence[float], leaves: bool) -> float:
        """Return the new bound on a side: beyond the old one, or around the values."""
        edge, most = self.edge(side), _outer(side, *values)
        start, margin = (edge, BEYOND) if leaves else (most, MARGIN)
        place = self.at(start) + side * margin * self.width()
        rounded = self.round_outwards(math.exp(place) if self.is_log else place, side)
        return -_outer(side, -rounded, -(self.limit(side) if leaves else edge))

    def limit(self, side: Side) -> float:
        """Return how far an edge may move: numbers stay above 0, and shares of 1 below 1."""
        if side == DOWN and self.is_log:
            return self.step or 0.0
        if side == DOWN and self.low >= 0:
            return min(self.low, self.round_outwards(self.low / 2, UP))
        if side == UP and self.step != 1 and self.low >= 0 and self.high <= 1:
            return max(self.high, self.round_outwards((1 + self.high) / 2, DOWN))
        return side * math.inf

    def round_outwards(self, value: float, side: Side) -> float:
        """Round outwards to a multiple of the step, or to three significant digits."""
        size = math.floor(math.log10(abs(value))) if value else 0
        unit = self.step or float(f"1e{size - DIGITS + 1}")
        count = side * math.ceil(side * value / unit - NOISE * max(1.0, abs(value / unit)))
        return float(f"{count * unit:.12g}")


def beyond(domain: Domain) -> int:
    """Return by how much the upper bound of a file is above what can be drawn."""
    return 1 if domain.kind.endswith("randint") and len(domain.args) == BOUNDS else 0


def edge_at(domain: Domain, value: object) -> float | None:
    """Return the bound of a range of numbers that `value` lies at; None if it lies at none."""
    if domain.is_listed or domain.is_constant or domain.kind.endswith("normal"):
        return None
    assert isinstance(value, int | float)
    scale = Scale.of(domain)
    return next((scale.edge(side) for side in (DOWN, UP) if scale.is_at_edge(side, value)), None)


def _outer(side: Side, *values: float) -> float:
    return max(values) if side == UP else min(values)

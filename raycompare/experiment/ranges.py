"""Ranges of a search space on the scale they are drawn on, and the limits of their edges."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self, cast

from raycompare.experiment.space import CONFIG, Domain

NOISE = 1e-9
"""Relative tolerance for floating-point numbers that should be multiples of a step."""


def in_range(domain: Domain, value: object) -> bool:
    """Return whether a search over `domain` can draw `value`; bounds count as Ray draws them."""
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
"""Fraction of a range's width on its scale: the padding around the best values, and the distance
from an edge within which a value is at the edge."""
BEYOND = 0.5
"""Fraction of a range's width on its scale by which an edge moves outwards."""
DIGITS = 3  # significant digits of a bound

Side = Literal[-1, 1]
DOWN: Side = -1
UP: Side = 1
BOUNDS = 2
"""Number of arguments of a range without steps."""


@dataclass(frozen=True)
class Scale:
    """A range on the scale it is drawn on; both bounds can be drawn."""

    low: float
    high: float
    is_log: bool
    step: float | None
    """Step of which all values are multiples; None for continuous ranges."""

    @classmethod
    def of(cls, domain: Domain) -> Self:
        """Return the scale of a range of numbers with two bounds."""
        low, high, *step = cast(tuple[float, ...], domain.args)
        unit = step[0] if step else 1.0 if domain.kind.endswith("randint") else None
        return cls(low, high - beyond(domain), "log" in domain.kind, unit)

    def width(self) -> float:
        """Return the distance between the bounds on the scale."""
        return self.at(self.high) - self.at(self.low)

    def at(self, value: float) -> float:
        """Return the position of a value on the scale."""
        return math.log(value) if self.is_log else value

    def edge(self, side: Side) -> float:
        """Return the bound on a side."""
        return self.low if side == DOWN else self.high

    def is_at_edge(self, side: Side, value: float, margin: float) -> bool:
        """Return whether a value is within this share of the width of a bound that can move."""
        if self.limit(side) == self.edge(side):
            return False
        return 0 < self.width() >= abs(self.at(value) - self.at(self.edge(side))) / margin

    def bound(self, side: Side, values: Sequence[float], leaves: bool) -> float:
        """Return a new bound: beyond the old one if `leaves`, else just outside the values."""
        edge, most = self.edge(side), _outer(side, *values)
        start, margin = (edge, BEYOND) if leaves else (most, MARGIN)
        place = self.at(start) + side * margin * self.width()
        rounded = self.round_outwards(math.exp(place) if self.is_log else place, side)
        return -_outer(side, -rounded, -(self.limit(side) if leaves else edge))

    def limit(self, side: Side) -> float:
        """Return the limit for an edge: positive numbers stay positive, and shares stay below 1."""
        if side == DOWN and self.is_log:
            return self.step or 0.0
        if side == DOWN and self.low >= 0:
            return min(self.low, self.round_outwards(self.low / 2, UP))
        if side == UP and self.step != 1 and self.low >= 0 and self.high <= 1:
            return max(self.high, self.round_outwards((1 + self.high) / 2, DOWN))
        return side * math.inf

    def round_outwards(self, value: float, side: Side) -> float:
        """Round away from the range to a multiple of the step, or to three significant digits."""
        size = math.floor(math.log10(abs(value))) if value else 0
        unit = self.step or float(f"1e{size - DIGITS + 1}")
        count = side * math.ceil(side * value / unit - NOISE * max(1.0, abs(value / unit)))
        return float(f"{count * unit:.12g}")


def beyond(domain: Domain) -> int:
    """Return the difference between the upper bound in the file and the largest value drawn."""
    return 1 if domain.kind.endswith("randint") and len(domain.args) == BOUNDS else 0


def has_fixed_edges(name: str, domain: Domain) -> bool:
    """Return whether the model sets how far a hyperparameter can go, such as a number of layers."""
    is_whole = domain.kind.endswith("randint")
    return name == "freeze_layers" or (name.startswith(CONFIG) and is_whole)


def edge_at(domain: Domain, value: object, margin: float = MARGIN) -> float | None:
    """Return the bound of a numeric range that `value` is at; None if it isn't at a bound.

    It is at a bound if it is within a share of the range's width, `margin`, of it.
    """
    if domain.is_listed or domain.is_constant or domain.kind.endswith("normal"):
        return None
    assert isinstance(value, int | float)
    scale = Scale.of(domain)
    sides = (side for side in (DOWN, UP) if scale.is_at_edge(side, value, margin))
    return next((scale.edge(side) for side in sides), None)


def _outer(side: Side, *values: float) -> float:
    return max(values) if side == UP else min(values)

"""Ranges of a search space, named as in Ray Tune, and constants."""

from __future__ import annotations

import json
import math
from typing import cast

from pydantic import JsonValue, model_serializer, model_validator

from raycompare.experiment.base import Part, not_allowed

DOMAINS: dict[str, int] = {
    "uniform": 2,
    "quniform": 3,
    "loguniform": 2,
    "qloguniform": 3,
    "normal": 2,
    "qnormal": 3,
    "randint": 2,
    "qrandint": 3,
    "lograndint": 2,
    "qlograndint": 3,
    "choice": 1,
    "grid": 1,
}
"""Kinds of ranges, named as in Ray Tune, with the number of their arguments."""

CONFIG = "config."
"""Prefix of hyperparameters that are fields of the model's config."""

LISTED = ("choice", "grid")
"""Kinds that list their values."""
CONSTANT = "constant"
"""Kind of an entry that is a single value in the file."""
FEW = 16
"""Integer ranges with at most this many values are checked at each of them."""
DEVIATIONS = 3
"""Normal ranges are drawn up to this many standard deviations from their mean."""
POINTS = 50
"""Number of values at which continuous ranges are checked."""


class Domain(Part):
    """One entry of a search space: a range such as `{loguniform: [1e-5, 1e-4]}`, or one value."""

    kind: str
    args: tuple[JsonValue, ...]

    @model_validator(mode="before")
    @classmethod
    def _from_file(cls, value: object) -> object:
        if value is None or isinstance(value, str | int | float):
            return {"kind": CONSTANT, "args": (value,)}
        if not isinstance(value, dict) or len(value) != 1:
            raise not_allowed(
                "a value, or one range such as {loguniform: [1e-5, 1e-4]} or {choice: [a, b]}; "
                f"kinds: {_kinds()}"
            )
        ((kind, args),) = value.items()
        _check_domain(kind, args)
        return {"kind": kind, "args": (args,) if kind in LISTED else tuple(args)}

    @model_serializer
    def _to_file(self) -> JsonValue:
        if self.is_constant:
            return self.value
        return {self.kind: self.args[0] if self.kind in LISTED else list(self.args)}

    @property
    def is_constant(self) -> bool:
        """Whether this is a single value, which is set and not searched."""
        return self.kind == CONSTANT

    @property
    def is_listed(self) -> bool:
        """Whether the range lists its values, so that all of them can be tried."""
        return self.kind in LISTED

    @property
    def value(self) -> JsonValue:
        """The value of a constant."""
        assert self.is_constant
        return self.args[0]

    @property
    def choices(self) -> list[JsonValue]:
        """The values of a range that lists them, in the order of the file."""
        assert self.is_listed
        return cast(list[JsonValue], self.args[0])

    @property
    def examples(self) -> tuple[JsonValue, ...]:
        """Values to check the range with, of the type that it draws.

        They are all values if they are listed or are few integers, else the lowest and the highest.
        """
        if self.is_constant:
            return self.args
        return tuple(self.choices) if self.is_listed else self._ends()

    @property
    def probes(self) -> tuple[JsonValue, ...]:
        """The examples, and further values that the range can draw."""
        if self.is_constant or self.is_listed:
            return self.examples
        if "randint" in self.kind:
            drawn = self._integers()
            return (*drawn[:FEW], drawn[-1])
        low, high = self.bounds
        shares = [point / (POINTS - 1) for point in range(POINTS)]
        if "log" in self.kind:
            values = [low * (high / low) ** share for share in shares]
        else:
            values = [low + (high - low) * share for share in shares]
        if self.kind.startswith("q"):
            step = cast(float, self.args[2])
            values = [round(value / step) * step for value in values]
        return tuple(dict.fromkeys((low, *values, high)))

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest value of a range of numbers that isn't listed."""
        first, second, *step = cast(tuple[float, ...], self.args)
        if not self.kind.endswith("normal"):
            return float(first), float(second)
        low, high = float(first - DEVIATIONS * second), float(first + DEVIATIONS * second)
        if not step:
            return low, high
        unit = float(step[0])
        return round(low / unit) * unit, round(high / unit) * unit

    def _ends(self) -> tuple[JsonValue, ...]:
        if "randint" not in self.kind:
            return self.bounds
        drawn = self._integers()
        return tuple(drawn) if len(drawn) <= FEW else (drawn[0], drawn[-1])

    def _integers(self) -> range:
        first, second, step = cast(list[float], [*self.args, 1][:3])
        # Ray includes the upper bound only if the range has steps.
        last = second if self.kind.startswith("q") else second - 1
        return range(int(first), int(last) + 1, int(step))


SearchSpace = dict[str, Domain]


def _kinds() -> str:
    return ", ".join(DOMAINS)


def _check_domain(kind: str, args: object) -> None:
    if kind not in DOMAINS:
        raise not_allowed(f"one of: {_kinds()}")
    if kind in LISTED:
        _check_list(kind, args)
        return
    numbers = isinstance(args, list) and all(_is_number(value) for value in args)
    if not numbers or len(cast(list[float], args)) != DOMAINS[kind]:
        raise not_allowed(f"{kind} takes a list of {DOMAINS[kind]} numbers")
    _check_numbers(kind, cast(list[float], args))


def _check_list(kind: str, args: object) -> None:
    if not isinstance(args, list) or not args:
        raise not_allowed(f"{kind} takes a list with at least one value")
    if kind == "grid" and len({json.dumps(value, sort_keys=True) for value in args}) < len(args):
        raise not_allowed("grid takes different values; each is tried equally often")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_numbers(kind: str, args: list[float]) -> None:
    if "randint" in kind and not all(isinstance(value, int) for value in args):
        upper = "included" if kind.startswith("q") else "excluded"
        raise not_allowed(f"{kind} takes integers; the upper bound is {upper}")
    if "normal" in kind:
        if args[1] <= 0:
            raise not_allowed(f"{kind} takes a mean and a standard deviation above 0")
    else:
        _check_bounds(kind, *args[:2])
    if kind.startswith("q"):
        _check_step(kind, args)


def _check_bounds(kind: str, lower: float, upper: float) -> None:
    if lower >= upper:
        raise not_allowed(f"{kind} takes a lower bound below the upper bound")
    if "log" in kind and lower <= 0:
        raise not_allowed(f"{kind} takes a lower bound above 0")


def _check_step(kind: str, args: list[float]) -> None:
    *bounds, step = args
    if step <= 0:
        raise not_allowed(f"{kind} takes a step above 0 as its third number")
    if "randint" in kind and step == 1:
        raise not_allowed(f"{kind} takes a step above 1; {kind.removeprefix('q')} has steps of 1")
    if "normal" not in kind and not all(_is_multiple(bound, step) for bound in bounds):
        raise not_allowed(f"{kind} takes bounds that are multiples of its step {step:g}")


def _is_multiple(bound: float, step: float) -> bool:
    return math.isclose(bound / step, round(bound / step))

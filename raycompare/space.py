"""Ranges of a search space, in Ray Tune's words."""

from __future__ import annotations

from pydantic import JsonValue, model_serializer, model_validator

from raycompare.part import Part, not_allowed

DOMAINS: dict[str, int] = {
    "uniform": 2,
    "loguniform": 2,
    "quniform": 3,
    "randint": 2,
    "lograndint": 2,
    "choice": 1,
}
"""The kinds of search-space domain, in Ray Tune's words, with the number of their arguments."""


class Domain(Part):
    """One range of a search space, written `{loguniform: [1e-5, 1e-4]}` in the file."""

    kind: str
    args: tuple[JsonValue, ...]

    @model_validator(mode="before")
    @classmethod
    def _from_file(cls, value: object) -> object:
        if not isinstance(value, dict) or len(value) != 1:
            raise not_allowed(f"one range such as {{loguniform: [1e-5, 1e-4]}}; kinds: {_kinds()}")
        ((kind, args),) = value.items()
        _check_domain(kind, args)
        return {"kind": kind, "args": (args,) if kind == "choice" else tuple(args)}

    @model_serializer
    def _to_file(self) -> dict[str, JsonValue]:
        return {self.kind: self.args[0] if self.kind == "choice" else list(self.args)}

    @property
    def examples(self) -> tuple[JsonValue, ...]:
        """Values to check the range by: every choice, or both ends, of the type it draws."""
        if self.kind.endswith("randint"):
            return self.args[:2]
        if self.kind != "choice":
            return tuple(float(bound) for bound in self.args[:2])  # type: ignore[arg-type]
        (choices,) = self.args
        assert isinstance(choices, list)
        return tuple(choices)


def _kinds() -> str:
    return ", ".join(DOMAINS)


def _check_domain(kind: str, args: object) -> None:
    if kind not in DOMAINS:
        raise not_allowed(f"one of: {_kinds()}")
    if kind == "choice":
        if not isinstance(args, list) or not args:
            raise not_allowed("choice takes a list with at least one value")
        return
    numbers = isinstance(args, list) and all(_is_number(value) for value in args)
    if not numbers or len(args) != DOMAINS[kind]:  # type: ignore[arg-type]
        raise not_allowed(f"{kind} takes a list of {DOMAINS[kind]} numbers")
    _check_bounds(kind, args)  # type: ignore[arg-type]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_bounds(kind: str, args: list[float]) -> None:
    lower, upper = args[:2]
    if lower >= upper:
        raise not_allowed(f"{kind} takes a lower bound below the upper one")
    if kind.startswith("log") and lower <= 0:
        raise not_allowed(f"{kind} takes a lower bound above 0")
    if kind.endswith("randint") and not all(isinstance(value, int) for value in args):
        raise not_allowed(f"{kind} takes whole numbers; the upper one is not drawn")
    if kind == "quniform" and args[2] <= 0:
        raise not_allowed("quniform takes a step above 0 as its third number")


SearchSpace = dict[str, Domain]

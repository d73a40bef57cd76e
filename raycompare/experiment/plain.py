"""Plain values of an experiment that was written in Python."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date
from os import PathLike, fspath
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

from raycompare.errors import ExperimentError, Problem
from raycompare.experiment.safe_yaml import PLAIN, fault_of

_DATA = "write it to a file, such as data.parquet with the columns text and label, and name that"
_RANGE = "write ranges as in a file, such as {'loguniform': [1e-5, 1e-4]}"


def to_plain(sections: Mapping[Any, Any], source: str) -> Any:
    """Return values as an experiment file would have them: numpy's scalars are numbers.

    Raises:
        ExperimentError: some values can't be in a file; the message names the key of each.
    """
    problems: list[Problem] = []
    content = _Conversion(problems).convert(sections, "")
    if problems:
        raise ExperimentError(source, problems)
    return content


class _Conversion:
    def __init__(self, problems: list[Problem]) -> None:
        self._problems = problems

    def convert(self, value: object, where: str) -> Any:
        if isinstance(value, PathLike):
            value = fspath(value)
        elif _is_numpy_scalar(value):
            value = value.item()  # type: ignore[attr-defined]
        if value is None or isinstance(value, bool | int | float | str):
            return self._scalar(value, where)
        if isinstance(value, BaseModel):
            return json.loads(to_json(value))
        if isinstance(value, Mapping):
            return {
                key: self.convert(inner, f"{where}.{key}" if where else key)
                for key, inner in self._keyed(value, where)
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [self.convert(item, f"{where}.{place}") for place, item in enumerate(value)]
        return self._other(value, where)

    def _scalar(self, value: Any, where: str) -> Any:
        if fault := fault_of(value):
            self._add(where, fault, PLAIN)
        for kind in (bool, int, float, str):  # numpy's numbers and texts are subclasses of some
            if isinstance(value, kind):
                return kind(value)
        return value

    def _keyed(self, mapping: Mapping[Any, Any], where: str) -> Iterator[tuple[str, Any]]:
        for key, inner in mapping.items():
            plain = key.item() if _is_numpy_scalar(key) else key
            if isinstance(plain, str):
                yield str(plain), inner
            elif isinstance(plain, bool | int | float):
                yield json.dumps(plain), inner  # as YAML's keys
            else:
                self._add(where, f"{plain!r} as a key", "strings as keys")

    def _other(self, value: object, where: str) -> Any:
        if isinstance(value, date):
            return str(value)
        kind, hint = type(value), None
        if kind.__module__.startswith("ray."):
            hint = _RANGE
        elif where == "data.dataset":
            hint = _DATA
        elif hasattr(value, "tolist"):
            hint = "use its tolist()"
        name = (
            kind.__qualname__
            if kind.__module__ == "builtins"
            else f"{kind.__module__}.{kind.__qualname__}"
        )
        self._add(where, f"a {name}", PLAIN, hint)
        return None

    def _add(self, where: str, found: str, allowed: str, hint: str | None = None) -> None:
        place = where or "the experiment"
        self._problems.append(Problem(where=place, found=found, allowed=allowed, hint=hint))


def _is_numpy_scalar(value: object) -> bool:
    """Return whether a value is a single number of numpy, without importing it."""
    is_numpy = type(value).__module__ == "numpy"
    return is_numpy and hasattr(value, "item") and getattr(value, "ndim", 1) == 0

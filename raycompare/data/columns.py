"""Reads and checks the columns of a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa
from datasets import Dataset
from pyarrow import types

from raycompare.data.problems import alike, few, mistake, one_of_columns, rows_in_words, short
from raycompare.errors import Problem

_STRINGS = (types.is_string, types.is_large_string, types.is_string_view, types.is_null)
_LABELS = (*_STRINGS, types.is_integer, types.is_boolean)
_TYPES = {
    "data.text": ("strings", _STRINGS),
    "data.label": ("integers, strings, booleans or a ClassLabel", _LABELS),
    "data.group": ("integers, strings or booleans", _LABELS),
}


def values(split: Dataset, column: str) -> pa.ChunkedArray:
    """Return a column as stored; ClassLabel values are integers."""
    return split.select_columns([column]).with_format("arrow")[:][column]


def is_readable(where: str, column: str, split: Dataset) -> bool:
    """Return whether a split has the column with a type that the key `where` allows."""
    schema = split.data.schema
    return column in schema.names and any(
        is_type(schema.field(column).type) for is_type in _TYPES[where][1]
    )


def column_problems(where: str, column: str, splits: Mapping[str, Dataset]) -> Iterator[Problem]:
    """Find splits where the column is missing, has a wrong type, or has empty rows."""
    lacking = [name for name, split in splits.items() if column not in split.column_names]
    if lacking:
        missing = f"no column {column!r} in split {few(lacking)}"
        names = splits[lacking[0]].column_names
        yield mistake(where, missing, one_of_columns(names), alike(column, names))
    for name in [name for name in splits if name not in lacking]:
        here = f"column {column!r} of split {name!r}"
        stored = values(splits[name], column)
        if not is_readable(where, column, splits[name]):
            is_float = types.is_floating(stored.type)
            hint = "convert the values to integers or strings" if is_float else None
            yield mistake(where, f"{here}, of type {short(stored.type)}", _TYPES[where][0], hint)
        elif empty := [row for row, value in enumerate(stored.to_pylist()) if is_empty(value)]:
            rows = f"{here}, empty in {rows_in_words(empty)}"
            yield mistake(where, rows, "a value in every row", "remove these rows or fill them in")


def is_empty(value: object) -> bool:
    """Return whether a text or label is null or only whitespace."""
    return value is None or (isinstance(value, str) and not value.strip())

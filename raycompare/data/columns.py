"""The columns of a data set: read as they are stored, and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa
from datasets import Dataset
from pyarrow import types

from raycompare.data.problems import alike, few, mistake, one_of_columns, rows_in_words, short
from raycompare.errors import Problem

_STRINGS = (types.is_string, types.is_large_string, types.is_string_view, types.is_null)
_LABELS = (*_STRINGS, types.is_integer, types.is_boolean)
COLUMN_TYPES = {
    "data.text": ("strings", _STRINGS),
    "data.label": ("integers, strings, booleans or a ClassLabel", _LABELS),
    "data.group": ("integers, strings or booleans", _LABELS),
}


def values(split: Dataset, column: str) -> pa.ChunkedArray:
    """Return a column as it is stored: the labels of a ClassLabel are integers."""
    return split.select_columns([column]).with_format("arrow")[:][column]


def is_readable(where: str, column: str, split: Dataset) -> bool:
    """Say if a split has the column, and of a type that `where` allows."""
    schema = split.data.schema
    return column in schema.names and any(
        is_type(schema.field(column).type) for is_type in COLUMN_TYPES[where][1]
    )


def column_problems(where: str, column: str, splits: Mapping[str, Dataset]) -> Iterator[Problem]:
    """Find splits where the column is missing, of a wrong type, or empty in some rows."""
    lacking = [name for name, split in splits.items() if column not in split.column_names]
    if lacking:
        found = f"no column {column!r} in split {few(lacking)}"
        there = splits[lacking[0]].column_names
        yield mistake(where, found, one_of_columns(there), alike(column, there))
    for name in [name for name in splits if name not in lacking]:
        here = f"column {column!r} of split {name!r}"
        stored = values(splits[name], column)
        if not is_readable(where, column, splits[name]):
            kind = short(stored.type)
            yield mistake(where, f"{here}, of type {kind}", COLUMN_TYPES[where][0], _convert(kind))
        elif empty := [row for row, value in enumerate(stored.to_pylist()) if is_empty(value)]:
            found = f"{here}, empty in {rows_in_words(empty)}"
            yield mistake(where, found, "something in every row", "remove the rows or fill them")


def _convert(kind: str) -> str | None:
    return "write the values as integers or strings" if kind in ("double", "float") else None


def is_empty(value: object) -> bool:
    """Say if there is no text or label: null, or nothing but white space."""
    return value is None or (isinstance(value, str) and not value.strip())

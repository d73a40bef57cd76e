"""Reads and checks the columns of a data set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel, Dataset, DatasetInfo, Features
from pyarrow import types

from raycompare.data.delimited import SEPARATORS, hint_at_separator
from raycompare.data.problems import alike, few, mistake, one_of_columns, rows_in_words, short
from raycompare.errors import Problem

_STRINGS = (types.is_string, types.is_large_string, types.is_string_view, types.is_null)
_LABELS = (*_STRINGS, types.is_integer, types.is_boolean)
_TYPES = {
    "data.text": ("strings", _STRINGS),
    "data.label": ("integers, strings, booleans or a ClassLabel", _LABELS),
    "data.group": ("integers, strings or booleans", _LABELS),
}


def in_memory(table: pa.Table, info: DatasetInfo | None = None) -> Dataset:
    """Return a table as a Dataset, without hashing its content for a fingerprint."""
    return Dataset(table, info, fingerprint=uuid4().hex)


def separator_of(split: Dataset) -> str | None:
    """Return the separator of the csv or tsv file that a split was read from."""
    return SEPARATORS.get(f".{split.info.builder_name}")


def values(split: Dataset, column: str) -> pa.ChunkedArray:
    """Return a column as stored; ClassLabel values are integers."""
    return split.select_columns([column]).with_format("arrow")[:][column]


def class_names(schema: pa.Schema, column: str) -> tuple[str, ...]:
    """Return the names that `datasets` keeps in a schema for the integers of a label column."""
    if column not in schema.names:
        return ()
    only = pa.schema([schema.field(column)], metadata=schema.metadata)
    feature = Features.from_arrow_schema(only).get(column)
    return tuple(feature.names) if isinstance(feature, ClassLabel) else ()


def is_allowed(where: str, stored: pa.DataType) -> bool:
    """Return whether the key `where` allows columns of a type."""
    plain = stored.value_type if types.is_dictionary(stored) else stored
    return any(is_type(plain) for is_type in _TYPES[where][1])


def is_readable(where: str, column: str, split: Dataset) -> bool:
    """Return whether a split has the column with a type that the key `where` allows."""
    schema = split.data.schema
    return column in schema.names and is_allowed(where, schema.field(column).type)


def type_problem(where: str, here: str, stored: pa.DataType, key: str | None = None) -> Problem:
    """Return the problem of a column of a type that the key `where` doesn't allow.

    Args:
        where: key of the experiment that decides which types are allowed.
        here: the column in words.
        stored: type of the column.
        key: key or option to show instead of `where`.
    """
    hint = None
    if types.is_floating(stored):
        hint = "convert the values to integers or strings"
    elif types.is_binary(stored) or types.is_large_binary(stored):
        hint = "decode the bytes to strings"
    return mistake(key or where, f"{here}, of type {short(stored)}", _TYPES[where][0], hint)


def column_problems(
    where: str, column: str, splits: Mapping[str, Dataset], train: str = "train"
) -> Iterator[Problem]:
    """Find splits where the column is missing, has a wrong type, or has empty rows."""
    lacking = [name for name in splits if column not in splits[name].column_names]
    if lacking:
        missing = f"no column {column!r} in split {few(lacking)}"
        names = splits[lacking[0]].column_names
        is_delimited = separator_of(splits[lacking[0]]) is not None
        hint = hint_at_columns(column, names, is_delimited=is_delimited)
        if where == "data.label" and train in splits and train not in lacking:
            hint = _HIDDEN.format(train=train, split=few(lacking), part=_part_of(lacking[0]))
        yield mistake(where, missing, one_of_columns(names), hint)
    for name in [name for name in splits if name not in lacking]:
        here = f"column {column!r} of split {name!r}"
        stored = values(splits[name], column)
        if not is_allowed(where, stored.type):
            yield type_problem(where, here, stored.type)
        elif empty := empty_rows(stored):
            rows = f"{here}, empty in {rows_in_words(empty)}"
            yield mistake(where, rows, "a value in every row", "remove these rows or fill them in")


_HIDDEN = (
    "{train} has it; the labels of {split} may be hidden on purpose: "
    "data.splits.{part}: 0.2 takes a share of {train} instead"
)


def _part_of(split: str) -> str:
    return "test" if "test" in split.casefold() else "validation"


def hint_at_columns(column: str, names: Sequence[str], *, is_delimited: bool) -> str | None:
    """Return why a file may lack a column, judging by the names of those that it has."""
    if not is_delimited:
        return alike(column, names)
    if hint := hint_at_separator(names):
        return hint
    like = alike(column, names)
    if like is None and any(map(_is_value, names)):
        return (
            "the first line seems to be a row: a header is missing. Add a line with the names of "
            "the columns above it, such as text,label"
        )
    return like


_WORDS = 4
"""More words than this are a text, and not the name of a column."""


def _is_value(name: str) -> bool:
    return len(name.split()) > _WORDS or re.fullmatch(r"[+-]?\d+(\.\d+)?", name) is not None


def empty_rows(stored: pa.ChunkedArray) -> list[int]:
    """Return the numbers of the rows that are null or only whitespace."""
    candidates = pc.is_null(stored)
    if types.is_string_view(stored.type):
        stored = stored.cast(pa.large_string())
    if types.is_string(stored.type) or types.is_large_string(stored.type):
        blank = pc.or_(pc.equal(pc.binary_length(stored), 0), pc.utf8_is_space(stored))
        candidates = pc.or_(candidates, pc.fill_null(blank, False))
    return np.flatnonzero(candidates.to_numpy()).tolist()


def is_empty(value: object) -> bool:
    """Return whether a text or label is null or only whitespace."""
    return value is None or (isinstance(value, str) and not value.strip())

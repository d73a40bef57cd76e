"""Conversion between dataclass rows and Arrow tables.

Tables may come from elsewhere: a column that later versions added is ignored, and any other
difference from the type of the rows is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, fields
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import pyarrow as pa
import pyarrow.compute as pc

Row = TypeVar("Row")
"""A dataclass of strings, numbers and booleans; a field may be None if its type allows it."""

_ARROW: dict[Any, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
}


@cache
def _hints(row_type: Any) -> dict[str, Any]:
    return get_type_hints(row_type)


@cache
def schema_of(row_type: Any) -> pa.Schema:
    """Return a column per field, in order; a field that cannot be None is not nullable."""
    hints = _hints(row_type)
    return pa.schema([_column(field.name, hints[field.name]) for field in fields(row_type)])


def _column(name: str, hint: Any) -> pa.Field:
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    arrow = {_arrow(kind) for kind in kinds if kind is not NoneType}
    assert len(arrow) == 1, f"{name}: {hint} cannot be the type of a column"
    return pa.field(name, arrow.pop(), nullable=NoneType in kinds)


def _arrow(kind: Any) -> pa.DataType:
    if get_origin(kind) is Literal:
        return pa.string()
    return _ARROW[kind]


def table_of(rows: Sequence[Row], row_type: type[Row]) -> pa.Table:
    """Convert rows to a table."""
    kind: Any = row_type
    schema = schema_of(kind)
    columns = {name: [getattr(row, name) for row in rows] for name in schema.names}
    return pa.table(columns, schema=schema)


def rows_of(table: pa.Table, row_type: type[Row]) -> list[Row]:
    """Convert a table to rows; columns missing from older files get the field's default.

    Raises:
        ValueError: a column is missing, or has values that the field does not allow.
    """
    kind: Any = row_type
    columns = {field.name: field for field in schema_of(kind)}
    required = [field.name for field in fields(kind) if field.default is MISSING]
    if missing := [name for name in required if name not in table.column_names]:
        raise ValueError(f"the columns {', '.join(missing)} are missing")
    names = [name for name in columns if name in table.column_names]
    if len(set(table.column_names)) != len(table.column_names):
        raise ValueError("two columns have the same name")
    checked = table.select(names).cast(pa.schema([columns[name] for name in names]))
    hints = _hints(kind)
    for name in names:
        _check(name, checked[name], columns[name], hints[name])
    return [row_type(**row) for row in checked.to_pylist()]


MOST_ROWS = 20_000_000
"""Rows of a file; the evaluations of a run with 10,000 trials are a hundredth of it."""


def require_few(rows: int) -> None:
    """Check the number of rows before a table is read into memory.

    Raises:
        ValueError: there are more than a run writes.
    """
    if rows > MOST_ROWS:
        raise ValueError(f"{rows:,} rows, allowed at most {MOST_ROWS:,}")


def _check(name: str, column: pa.ChunkedArray, field: pa.Field, hint: Any) -> None:
    if not field.nullable and column.null_count:
        raise ValueError(f"the column {name} has rows without a value")
    if allowed := _choices(hint):
        values = pc.unique(column).to_pylist()
        if unknown := [value for value in values if value is not None and value not in allowed]:
            raise ValueError(
                f"the column {name} has {unknown[0]!a}, allowed: {', '.join(sorted(allowed))}"
            )


def _choices(hint: Any) -> set[str]:
    """Return the allowed texts of a field whose type is a Literal, or a union of some."""
    if get_origin(hint) is Literal:
        return set(get_args(hint))
    return {choice for kind in get_args(hint) for choice in _choices(kind)}

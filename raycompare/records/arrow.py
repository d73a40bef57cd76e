"""Conversion between dataclass rows and Arrow tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import pyarrow as pa

Row = TypeVar("Row")
"""A dataclass of strings, numbers and booleans; a field may be None if its type allows it."""

_ARROW: dict[Any, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
}


def schema_of(row_type: type[Any]) -> pa.Schema:
    """Return a column per field, in order; a field that cannot be None is not nullable."""
    hints = get_type_hints(row_type)
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
    schema = schema_of(row_type)
    columns = {name: [getattr(row, name) for row in rows] for name in schema.names}
    return pa.table(columns, schema=schema)


def rows_of(table: pa.Table, row_type: type[Row]) -> list[Row]:
    """Convert a table to rows; columns missing from older files get the field's default."""
    return [row_type(**row) for row in table.to_pylist()]

"""Rows as dataclasses, and the Arrow tables that they are stored as."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import pyarrow as pa

Row = TypeVar("Row")
"""A dataclass of strings, numbers and truth values; a field may be None if it says so."""

_ARROW: dict[Any, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
}


def schema_of(row_type: type[Any]) -> pa.Schema:
    """Return the columns of a row's fields, in their order; one that is never None is required."""
    hints = get_type_hints(row_type)
    return pa.schema([_column(field.name, hints[field.name]) for field in fields(row_type)])


def _column(name: str, hint: Any) -> pa.Field:
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    arrow = {_arrow(kind) for kind in kinds if kind is not NoneType}
    assert len(arrow) == 1, f"{name}: {hint} is no type of a column"
    return pa.field(name, arrow.pop(), nullable=NoneType in kinds)


def _arrow(kind: Any) -> pa.DataType:
    if get_origin(kind) is Literal:
        return pa.string()
    return _ARROW[kind]


def table_of(rows: Sequence[Row], row_type: type[Row]) -> pa.Table:
    """Return a table of rows."""
    schema = schema_of(row_type)
    columns = {name: [getattr(row, name) for row in rows] for name in schema.names}
    return pa.table(columns, schema=schema)


def rows_of(table: pa.Table, row_type: type[Row]) -> list[Row]:
    """Read a table back; a column that an older version did not write has its default."""
    return [row_type(**row) for row in table.to_pylist()]

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pytest

from raycompare.records.arrow import rows_of, schema_of, table_of


@dataclass(frozen=True)
class Row:
    name: str
    kind: Literal["a", "b"]
    size: int
    share: float | None = None
    whole: bool = True


def test_a_field_that_is_never_none_is_a_required_column():
    assert schema_of(Row) == pa.schema(
        [
            pa.field("name", pa.string(), nullable=False),
            pa.field("kind", pa.string(), nullable=False),
            pa.field("size", pa.int64(), nullable=False),
            pa.field("share", pa.float64()),
            pa.field("whole", pa.bool_(), nullable=False),
        ]
    )


def test_rows_are_read_back_as_they_were_written():
    rows = [Row("x", "a", 2**40), Row("y", "b", -1, 0.5, whole=False)]
    assert rows_of(table_of(rows, Row), Row) == rows
    assert table_of([], Row).num_rows == 0


def test_a_column_that_an_older_version_did_not_write_has_its_default():
    old = table_of([Row("x", "a", 1)], Row).drop_columns(["whole"])
    assert rows_of(old, Row) == [Row("x", "a", 1)]


def test_a_type_that_no_column_has_is_our_own_mistake():
    @dataclass(frozen=True)
    class Wrong:
        either: int | str

    with pytest.raises(AssertionError, match="either"):
        schema_of(Wrong)

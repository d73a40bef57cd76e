"""Reads data files of every format, as tables or a few rows at a time.

Training and `raycompare predict` read files with the same code. Only the columns that are used are
parsed.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import pyarrow as pa

from raycompare.data.chunks import Chunk, NoObject
from raycompare.data.delimited import Delimited
from raycompare.data.input_file import InputFile
from raycompare.data.json_rows import JsonArray, JsonLines
from raycompare.data.parquet_rows import ParquetRows
from raycompare.data.problems import cause_of, few, rows_in_words
from raycompare.errors import UserError
from raycompare.experiment.safe_yaml import is_broken

UNREADABLE = (
    *(OSError, ValueError, LookupError, pa.ArrowException, EOFError, zlib.error),
    # Numbers beyond 64 bits, and deeply nested arrays.
    *(OverflowError, RecursionError),
)
"""Raised by parsers of damaged files."""
_ROWS = 10_000


class Reader(Protocol):
    """Reads one format."""

    @property
    def metadata(self) -> Mapping[bytes, bytes]:
        """Metadata for the schema of a table."""

    def columns(self, wanted: Collection[str] = ()) -> list[str]:
        """Return the names of the columns, at least of those that are wanted."""

    def read(self, columns: Sequence[str], rows: int, part: int | None = None) -> Iterator[Chunk]:
        """Yield columns in chunks of at most `rows` rows, from a part of the file or all of it."""


READERS: dict[str, Callable[[InputFile], Reader]] = {
    ".csv": Delimited,
    ".tsv": Delimited,
    ".json": JsonArray,
    ".jsonl": JsonLines,
    ".parquet": ParquetRows,
}
ENDINGS = ", ".join(READERS)


@contextmanager
def tell_unreadable(file: InputFile) -> Iterator[None]:
    """Turn the errors of parsers into DataProblems; the message has the line, if it is known."""
    try:
        yield
    except UserError:
        raise
    except UNREADABLE as error:
        raise file.fault(cause_of(error)) from error


def open_reader(file: InputFile, wanted: Collection[str]) -> tuple[Reader, list[str]]:
    """Return the reader of a file, and the names of its columns.

    Raises:
        DataProblems: the file can't be read, or has a column that is wanted twice.
    """
    reader = READERS[file.ending](file)
    names = reader.columns(wanted)
    counts = Counter(names)
    twice = [name for name in dict.fromkeys(wanted) if counts[name] > 1]
    if twice:
        columns = f"{few(map(repr, twice))} twice among its columns {few(names)}"
        raise file.fault(columns, "remove or rename all but one of them")
    return reader, names


def read_table(file: InputFile, used: Sequence[str]) -> pa.Table:
    """Read the columns of a file that are used; all others are null.

    Raises:
        DataProblems: the file can't be read; the message has the line, if the format allows it.
    """
    with tell_unreadable(file):
        reader, names = open_reader(file, used)
        present = [name for name in dict.fromkeys(used) if name in names]
        chunks = list(reader.read(present, _ROWS))
        columns = {
            name: _column(file, name, [chunk.values[place] for chunk in chunks])
            for place, name in enumerate(present)
        }
        rows = sum(chunk.rows for chunk in chunks)
        unused = pa.nulls(rows)
        table = pa.table({name: columns.get(name, unused) for name in names})
        return table.replace_schema_metadata(reader.metadata)


def _column(file: InputFile, name: str, parts: list[pa.Array | list[Any]]) -> pa.ChunkedArray:
    if parts and isinstance(parts[0], pa.Array):
        return pa.chunked_array(parts)
    values = [value for part in parts for value in part]
    odd = next((value for value in values if isinstance(value, NoObject)), None)
    if odd is not None:
        raise file.fault(odd.reason, line=odd.line)
    made = _json_array(file, name, values)
    return made if isinstance(made, pa.ChunkedArray) else pa.chunked_array([made])


def _json_array(file: InputFile, name: str, values: list[Any]) -> pa.Array | pa.ChunkedArray:
    """Return values of JSON as an array; integers beyond 64 bits are text."""
    try:
        return pa.array(values)
    except UnicodeEncodeError as error:
        rows = [
            row for row, value in enumerate(values) if isinstance(value, str) and is_broken(value)
        ]
        reason = f"column {name!r} has text that is not valid Unicode in {rows_in_words(rows)}"
        raise file.fault(reason, "remove these rows") from error
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        if all(type(value) is int or value is None for value in values):
            return pa.array([None if value is None else str(value) for value in values])
        first: dict[str, int] = {}
        for row, value in enumerate(values):
            if value is not None:
                first.setdefault(kind_of(value), row)
        kinds = ", ".join(f"{kind} in row {row}" for kind, row in first.items())
        reason = f"column {name!r} has values of several types: {kinds}, counting from 0"
        raise file.fault(reason, "write all values as text") from error


def kind_of(value: object) -> str:
    """Return the kind of a value of JSON."""
    kinds = {str: "text", bool: "true or false", int: "a number", float: "a number"}
    kinds |= {list: "a list", dict: "an object"}
    return kinds.get(type(value), type(value).__name__)

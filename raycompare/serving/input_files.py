"""Files of texts to predict, read one piece at a time.

They are read into tables with the columns `row` (the row number in the file, from 0), the texts,
the label if the file has one, and `fault`: why a row can't be predicted, else null. Texts and
labels are strings; an invalid text is null. The columns are the same for all file formats.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from pyarrow import types

from raycompare.data.columns import is_empty
from raycompare.errors import Problem, UserError, near, one_of
from raycompare.records.storage import open_filesystem

ROW, FAULT = "row", "fault"
FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")
BLOCK_BYTES = 2**22
"""Bytes of a CSV file that are parsed at once; a row must fit into them."""
_SEPARATORS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of the columns with texts and labels."""

    text: tuple[str, ...]
    """One column, or two for pairs."""
    label: str | None = None
    """Read if the file has this column."""
    is_labelled: bool = False
    """Whether the file must have the label column."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of a file that can be read separately."""

    first: int
    """Number of its first row."""
    row_group: int | None = None
    """Row group of a Parquet file; None for the whole file in other formats."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """A file of texts whose columns have been checked."""

    place: str
    columns: Columns
    """Columns of the file; `label` is None if it has none."""
    pieces: tuple[Piece, ...]
    rows: int | None
    """Number of rows, if the format records it."""

    @property
    def schema(self) -> pa.Schema:
        """Columns of the tables that `read` yields."""
        names = [*self.columns.text, *([self.columns.label] if self.columns.label else [])]
        texts = [pa.field(name, pa.string()) for name in names]
        return pa.schema([pa.field(ROW, pa.int64()), *texts, pa.field(FAULT, pa.string())])

    def read(self, piece: Piece, rows: int) -> Iterator[pa.Table]:
        """Yield the rows of a piece, in tables of at most `rows` rows.

        Raises:
            UserError: the file is malformed.
        """
        read = _READERS[ending_of(self.place)]
        first = piece.first
        try:
            for values in read(self, piece, rows):
                table = self._table(first, values)
                yield table
                first += table.num_rows
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise UserError(
                f"{self.place} can't be read after row {first}: {' '.join(str(error).split())}. "
                f"Expected a well-formed {ending_of(self.place)[1:]} file in UTF-8; nothing was "
                "written."
            ) from error

    def _table(self, first: int, values: Sequence[Sequence[Any]]) -> pa.Table:
        width = len(self.columns.text)
        texts, labels = values[:width], values[width:]
        faults = [self._fault(row) for row in zip(*texts, strict=True)]
        whole = [[None if _fault(value) else value for value in column] for column in texts]
        named = [[None if is_empty(value) else str(value) for value in column] for column in labels]
        numbers = range(first, first + len(faults))
        return pa.table([numbers, *whole, *named, faults], schema=self.schema)

    def _fault(self, texts: Sequence[Any]) -> str | None:
        faults = zip(self.columns.text, map(_fault, texts), strict=True)
        return "; ".join(f"{name} is {fault}" for name, fault in faults if fault) or None


class _NoObjectError(Exception):
    """Marks a line that is not a JSON object."""


def _fault(value: object) -> str | None:
    if isinstance(value, _NoObjectError):
        return "missing: the line is not a JSON object"
    if value is None:
        return "missing"
    if not isinstance(value, str):
        return f"{json.dumps(value)[:40]}, which is not text"
    return "empty" if is_empty(value) else None


def open_input(place: str, columns: Columns) -> Input:
    """Open a file, local or at a URI, and check its columns.

    Raises:
        UserError: there is no such file, its format is not supported, or it lacks a column.
    """
    ending = ending_of(place)
    if ending not in FORMATS:
        raise UserError(f"--file: found {place}, allowed a file ending in {one_of(FORMATS)}.")
    filesystem, path = open_filesystem(place)
    if not filesystem.get_file_info(path).is_file:
        raise UserError(f"--file: {place} does not exist, or is not a file.")
    names, pieces, rows = _inspect(place)
    problems = _problems(place, columns, names)
    if problems:
        raise UserError("\n\n".join(map(str, problems)))
    label = columns.label if columns.label in names else None
    read = Columns(text=columns.text, label=label)
    return Input(place=place, columns=read, pieces=pieces, rows=rows)


def _problems(place: str, columns: Columns, names: Sequence[str]) -> list[Problem]:
    required = [("--text-column", name) for name in columns.text]
    if columns.is_labelled and columns.label:
        required.append(("--label-column", columns.label))
    return [
        Problem(
            where=where,
            found=f"no column {name!r} in {place}",
            allowed=one_of(names) if names else "a file with columns",
            hint=near(name, names),
        )
        for where, name in required
        if name not in names
    ]


def _inspect(place: str) -> tuple[list[str], tuple[Piece, ...], int | None]:
    """Return the names of the columns, the pieces, and the number of rows if it is known."""
    filesystem, path = open_filesystem(place)
    whole = (Piece(first=0),)
    if ending_of(place) == ".parquet":
        return _inspect_parquet(place)
    if ending_of(place) == ".jsonl":
        first = next(_objects(place), {})
        return (list(first) if isinstance(first, dict) else []), whole, None
    try:
        with filesystem.open_input_stream(path) as stream:
            return pa.csv.open_csv(stream, *_csv_options(place)).schema.names, whole, None
    except pa.ArrowException as error:
        raise UserError(
            f"--file: {place} is not a well-formed CSV file with a header: {error}."
        ) from error


def _inspect_parquet(place: str) -> tuple[list[str], tuple[Piece, ...], int]:
    try:
        with _parquet(place) as file:
            metadata, names = file.metadata, file.schema_arrow.names
    except pa.ArrowException as error:
        raise UserError(f"--file: {place} is not a Parquet file: {error}.") from error
    pieces, first = [], 0
    for number in range(metadata.num_row_groups):
        pieces.append(Piece(first=first, row_group=number))
        first += metadata.row_group(number).num_rows
    return names, tuple(pieces), first


def ending_of(place: str) -> str:
    """Return the file extension in lower case, with its dot."""
    return Path(place).suffix.lower()


def _parquet(place: str) -> pq.ParquetFile:
    filesystem, path = open_filesystem(place)
    return pq.ParquetFile(path, filesystem=filesystem)


Values = Iterator[list[list[Any]]]
"""Values of texts and label, one list per column."""


def _column_names(source: Input) -> list[str]:
    names: list[str] = source.schema.names[1:-1]
    return names


def _read_parquet(source: Input, piece: Piece, rows: int) -> Values:
    with _parquet(source.place) as file:
        batches = file.iter_batches(
            rows, row_groups=[piece.row_group], columns=_column_names(source)
        )
        for batch in batches:
            yield [_plain(batch.column(name)).to_pylist() for name in _column_names(source)]


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if types.is_dictionary(column.type) else column


def _csv_options(place: str, names: Sequence[str] = ()) -> tuple[Any, Any, Any]:
    return (
        pa.csv.ReadOptions(block_size=BLOCK_BYTES),
        pa.csv.ParseOptions(delimiter=_SEPARATORS[ending_of(place)], newlines_in_values=True),
        pa.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            include_columns=list(names),
            # "None" and "NA" are texts; only an empty cell is missing.
            strings_can_be_null=True,
            null_values=[""],
        ),
    )


def _read_csv(source: Input, _: Piece, rows: int) -> Values:
    filesystem, path = open_filesystem(source.place)
    names = list(dict.fromkeys(_column_names(source)))
    with filesystem.open_input_stream(path) as stream:
        for batch in pa.csv.open_csv(stream, *_csv_options(source.place, names)):
            for at in range(0, batch.num_rows, rows):
                part = batch.slice(at, rows)
                yield [part.column(name).to_pylist() for name in _column_names(source)]


def _read_jsonl(source: Input, _: Piece, rows: int) -> Values:
    objects = _objects(source.place)
    while part := list(islice(objects, rows)):
        yield [
            [each.get(name) if isinstance(each, dict) else each for each in part]
            for name in _column_names(source)
        ]


def _objects(place: str) -> Iterator[Mapping[str, Any] | _NoObjectError]:
    """Yield the object in each line that is not blank."""
    filesystem, path = open_filesystem(place)
    with (
        filesystem.open_input_stream(path) as opened,
        io.BufferedReader(opened, BLOCK_BYTES) as stream,
    ):
        for line in stream:
            if line.strip():
                yield _object(line)


def _object(line: bytes) -> Mapping[str, Any] | _NoObjectError:
    try:
        value = json.loads(line)
    except ValueError:
        return _NoObjectError()
    return value if isinstance(value, dict) else _NoObjectError()


_READERS: Mapping[str, Callable[[Input, Piece, int], Values]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}

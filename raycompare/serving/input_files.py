"""Files of texts to predict, read one piece at a time with the readers of training.

They are read into tables with the columns `row` (the row number in the file, from 0), the texts,
the label if the file has one, and `fault`: why a row can't be predicted, else null. Texts and
labels are strings; an invalid text is null. The columns are the same for all file formats.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

import pyarrow as pa

from raycompare.data.chunks import NoObject
from raycompare.data.columns import class_names, hint_at_columns, is_allowed, is_empty, type_problem
from raycompare.data.delimited import SEPARATORS
from raycompare.data.input_file import InputFile
from raycompare.data.parquet_rows import ParquetRows
from raycompare.data.problems import DataProblems, mistake, one_of_columns
from raycompare.data.readers import READERS, open_reader, tell_unreadable
from raycompare.errors import Problem, UserError, one_of
from raycompare.experiment.safe_yaml import is_broken
from raycompare.records.storage import open_filesystem

ROW, FAULT = "row", "fault"
FILE_OPTION = "--file"


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
    class_names: tuple[str, ...] = ()
    """Names of the integers in the label column, if the file has them."""

    @property
    def schema(self) -> pa.Schema:
        """Columns of the tables that `read` yields."""
        texts = [pa.field(name, pa.string()) for name in self._names]
        return pa.schema([pa.field(ROW, pa.int64()), *texts, pa.field(FAULT, pa.string())])

    @property
    def separator(self) -> str | None:
        """Separator of the fields of a csv or tsv file."""
        return SEPARATORS.get(file_at(self.place).ending)

    @property
    def _names(self) -> list[str]:
        return [*self.columns.text, *([self.columns.label] if self.columns.label else [])]

    def read(self, piece: Piece, rows: int) -> Iterator[pa.Table]:
        """Yield the rows of a piece, in tables of at most `rows` rows.

        Raises:
            UserError: the file is malformed.
        """
        file, first = file_at(self.place), piece.first
        try:
            with tell_unreadable(file):
                reader = READERS[file.ending](file)
                for chunk in reader.read(self._names, rows, piece.row_group):
                    yield self._table(first, [*map(_listed, chunk.values)])
                    first += chunk.rows
        except DataProblems as error:
            raise UserError(
                f"{self.place} can't be read after row {first}; nothing was written.\n\n{error}"
            ) from error

    def _table(self, first: int, values: Sequence[Sequence[Any]]) -> pa.Table:
        width = len(self.columns.text)
        texts, labels = values[:width], values[width:]
        faults = [self._fault(row) for row in zip(*texts, strict=True)]
        whole = [[None if _fault(value) else value for value in column] for column in texts]
        named = [[self._label(value) for value in column] for column in labels]
        numbers = range(first, first + len(faults))
        return pa.table([numbers, *whole, *named, faults], schema=self.schema)

    def _fault(self, texts: Sequence[Any]) -> str | None:
        faults = zip(self.columns.text, map(_fault, texts), strict=True)
        return "; ".join(f"{name} is {fault}" for name, fault in faults if fault) or None

    def _label(self, value: object) -> str | None:
        """Return a label as text; None for one that is missing or can't be written."""
        if is_empty(value) or isinstance(value, NoObject) or is_broken(value):
            return None
        if self.class_names and isinstance(value, int) and 0 <= value < len(self.class_names):
            return self.class_names[value]
        return str(value)


def _listed(values: pa.Array | list[Any]) -> list[Any]:
    return values.to_pylist() if isinstance(values, pa.Array) else values


def _fault(value: object) -> str | None:
    if isinstance(value, NoObject):
        return "missing: the line is not a JSON object"
    if value is None:
        return "missing"
    if is_broken(value):
        return "not valid Unicode: it has half of a surrogate pair"
    if not isinstance(value, str):
        return f"{json.dumps(value, default=str)[:40]}, which is not text"
    return "empty" if is_empty(value) else None


def file_at(place: str) -> InputFile:
    """Return the file at a path or URI."""
    return InputFile(shown=place, open=partial(_open, place), where=FILE_OPTION)


def _open(place: str) -> BinaryIO:
    filesystem, path = open_filesystem(place)
    return cast(BinaryIO, filesystem.open_input_file(path))


def open_input(place: str, columns: Columns) -> Input:
    """Open a file, local or at a URI, and check its columns.

    Raises:
        UserError: there is no such file, its format is not supported, or it lacks a column.
    """
    file = file_at(place)
    if file.ending not in READERS:
        raise UserError(f"--file: found {place}, allowed a file ending in {one_of(READERS)}.")
    filesystem, path = open_filesystem(place)
    if not filesystem.get_file_info(path).is_file:
        raise UserError(f"--file: {place} does not exist, or is not a file.")
    wanted = [*columns.text, *([columns.label] if columns.label else [])]
    with tell_unreadable(file):
        reader, names = open_reader(file, wanted)
        pieces, rows, schema = _pieces(reader)
        problems = [*_missing(place, columns, names), *_type_problems(place, columns, schema)]
    if problems:
        raise DataProblems(problems)
    label = columns.label if columns.label in names else None
    return Input(
        place=place,
        columns=Columns(text=columns.text, label=label),
        pieces=pieces,
        rows=rows,
        class_names=class_names(schema, label) if label else (),
    )


def _pieces(reader: object) -> tuple[tuple[Piece, ...], int | None, pa.Schema]:
    """Return the pieces of a file, and the number of its rows and its types if they are known."""
    if not isinstance(reader, ParquetRows):
        return (Piece(first=0),), None, pa.schema([])
    pieces, first = [], 0
    for number, rows in enumerate(reader.groups):
        pieces.append(Piece(first=first, row_group=number))
        first += rows
    return tuple(pieces), first, reader.schema


def _options(columns: Columns) -> Iterator[tuple[str, str, str]]:
    """Yield option, key of the experiment and name of each column."""
    for name in columns.text:
        yield "--text-column", "data.text", name
    if columns.label:
        yield "--label-column", "data.label", columns.label


def _missing(place: str, columns: Columns, names: Sequence[str]) -> Iterator[Problem]:
    for option, key, name in _options(columns):
        is_required = key == "data.text" or columns.is_labelled
        if is_required and name not in names:
            missing = f"no column {name!r} in {place}"
            is_delimited = file_at(place).ending in SEPARATORS
            hint = hint_at_columns(name, names, is_delimited=is_delimited)
            yield mistake(option, missing, one_of_columns(names), hint)


def _type_problems(place: str, columns: Columns, schema: pa.Schema) -> Iterator[Problem]:
    for option, key, name in _options(columns):
        if name in schema.names and not is_allowed(key, schema.field(name).type):
            here = f"column {name!r} of {place}"
            yield type_problem(key, here, schema.field(name).type, option)


def ending_of(place: str) -> str:
    """Return the file extension in lower case, with its dot."""
    return PurePosixPath(place).suffix.lower()

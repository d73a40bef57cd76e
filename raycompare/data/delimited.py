"""Reads csv and tsv files, whose values are all text."""

from __future__ import annotations

import csv
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from raycompare.data.chunks import Chunk
from raycompare.data.input_file import InputFile

SEPARATORS = {".csv": ",", ".tsv": "\t"}
_LONE_RETURN, _AFTER_LONE_RETURN = re.compile(r"\r(?!\n)"), re.compile(r"(?<=\r)(?!\n)")
_KEPT_RETURN = "\udc0d"
"""Half of a surrogate pair, which no text in UTF-8 has."""
_ENCLOSED = re.compile(r'"(?:[^"]|"")*"')
_WHOLE = r"^(0|-?[1-9]\d{0,17})$"
"""Whole numbers of at most 64 bits as they are usually written, without zeros in front."""
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"

_WORDS_FOR = {";": "semicolons", "\t": "tabs", "|": "vertical bars", ",": "commas"}
_CONVERT = (
    "convert the file with pandas.read_csv(FILE, sep={0!r}, dtype=str, keep_default_na=False)"
    ".to_csv(NEW, index=False)"
)

csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # the default is 128 KiB


class Delimited:
    """A file with a header, whose fields are divided by a separator."""

    def __init__(self, file: InputFile) -> None:
        """Read nothing yet."""
        self._file, self._separator = file, SEPARATORS[file.ending]

    metadata: Mapping[bytes, bytes] = {}

    def columns(self, _wanted: Collection[str] = ()) -> list[str]:
        """Return the names in the header."""
        return list(self._header)

    @cached_property
    def _header(self) -> list[str]:
        records = _Records(self._file, self._separator, self._quoting)
        header = next(iter(records), None)
        if header is None:
            raise self._file.fault("No columns: the file has no lines")
        return header

    def read(self, columns: Sequence[str], rows: int, _part: int | None = None) -> Iterator[Chunk]:
        """Yield columns of text in chunks of at most `rows` rows; empty fields are null."""
        places = [self._header.index(name) for name in columns]
        records = self._rows()
        while batch := list(islice(records, rows)):
            yield Chunk(len(batch), [_texts(row[place] for row in batch) for place in places])

    def _rows(self) -> Iterator[list[str]]:
        width = len(self._header)
        records = _Records(self._file, self._separator, self._quoting)
        for row in islice(records, 1, None):
            if len(row) < width:
                if len(row) == 1 and not row[0].strip():
                    continue  # a line of blanks
                row.extend([""] * (width - len(row)))
            elif len(row) > width:
                line = records.line
                seen = f"Expected {width} fields in line {line}, saw {len(row)}"
                raise self._file.fault(seen, hint_at_separator(self._header), line=line)
            yield row

    @cached_property
    def _quoting(self) -> int:
        if self._separator != "\t" or encloses_fields(partial(_lines, self._file), self._separator):
            return csv.QUOTE_MINIMAL
        return csv.QUOTE_NONE


def _texts(fields: Iterable[str]) -> pa.Array:
    texts = [field.replace(_KEPT_RETURN, "\r") or None for field in fields]
    return pa.array(texts, pa.string())


def _lines(file: InputFile) -> Iterator[str]:
    """Yield lines that end as the header does.

    After a header that ends with a line feed, a carriage return alone is a character of a text;
    since csv can't read it, `_KEPT_RETURN` stands for it.
    """
    are_ends: bool | None = None
    for line in file.lines():
        if "\r" in line and line.count("\r") != line.count("\r\n"):
            are_ends = True if are_ends is None else are_ends
            if are_ends:
                yield from _AFTER_LONE_RETURN.split(line)
            else:
                yield _LONE_RETURN.sub(_KEPT_RETURN, line)
        else:
            are_ends = False if are_ends is None else are_ends
            yield line


def encloses_fields(lines: Callable[[], Iterator[str]], separator: str) -> bool:
    """Return whether quotation marks in the lines of a tsv file enclose fields, as in csv.

    GLUE and many corpora don't enclose fields: a quotation mark is a character, and each line has
    as many tabs as the header. In such a file, marks enclose fields only if nothing but a writer
    that encloses fields leaves such marks: around all names of the header, or around each field
    that has any mark inside, which is then doubled.
    """
    expected, doubled = -1, False
    header_enclosed = plain = loose = False
    for line in lines():
        fields = line.rstrip("\r\n").split(separator)
        if fields == [""]:
            continue
        if expected < 0:
            expected = len(fields)
            header_enclosed = all(_ENCLOSED.fullmatch(field) for field in fields)
            continue
        if len(fields) != expected:
            return True
        for field in fields if '"' in line else ():
            if '"' in field:
                enclosed = _ENCLOSED.fullmatch(field) is not None
                loose |= not enclosed
                doubled |= enclosed and '""' in field[1:-1]
                plain |= enclosed and '""' not in field[1:-1]
    if loose:
        return _holds_lines(lines(), separator)
    return header_enclosed or (doubled and not plain)


def _holds_lines(lines: Iterator[str], separator: str) -> bool:
    """Return whether enclosed fields of a tsv file have both tabs and line breaks in them.

    Then each line may happen to have as many tabs as the header. They are taken for such fields if
    a writer of csv can have written the file, and what follows a tab in them is not a value that
    the same column has in other rows, as the labels of swallowed rows would be.
    """
    pending: list[str] = []
    values, rows = defaultdict[int, set[str]](set), 0
    inner: list[tuple[int, str]] = []

    def watch() -> Iterator[str]:
        for line in lines:
            pending.append(line)
            yield line

    try:
        for row in csv.reader(watch(), delimiter=separator, strict=True):
            parts = [line.rstrip("\r\n").split(separator) for line in pending]
            pending.clear()
            if len(parts) == 1 and any('"' in f and not _ENCLOSED.fullmatch(f) for f in parts[0]):
                return False
            text = next((column for column, field in enumerate(row) if "\n" in field), len(row))
            inner += _inner_values(parts, text)
            rows += 1
            for column in {*range(len(row))} - {text}:
                values[column].add(row[column])
    except csv.Error:
        return False
    repeated = {column for column, found in values.items() if len(found) < rows - 1}
    compared = [(column, value) for column, value in inner if column in repeated]
    return bool(compared) and not any(value in values[column] for column, value in compared)


def _inner_values(parts: Sequence[Sequence[str]], text: int) -> Iterator[tuple[int, str]]:
    """Yield what the lines of a record have in other columns than its text, if they are rows."""
    last = len(parts) - 1
    for line, fields in enumerate(parts if last else ()):
        for column, field in enumerate(fields):
            is_own = (line == 0 and column < text) or (line == last and column > text)
            if column != text and not is_own:
                yield column, field


class _Records:
    """The records of a file, which may have several lines each."""

    def __init__(self, file: InputFile, separator: str, quoting: int) -> None:
        self._file = file
        self._dialect = {"delimiter": separator, "quoting": quoting}
        self._pending: list[str] = []
        self._next = 1
        self.line = 0
        """First line of the latest record."""

    def __iter__(self) -> Iterator[list[str]]:
        for row in csv.reader(self._watch(), **self._dialect):  # type: ignore[arg-type]
            self.line = self._next
            if len(self._pending) > 1:
                self._require_closed()
            self._next += len(self._pending)
            self._pending.clear()
            if row:
                yield row

    def _watch(self) -> Iterator[str]:
        for line in _lines(self._file):
            self._pending.append(line)
            yield line
        if self._pending:
            raise self._fault("a quotation mark opens a field and is never closed", self._next)

    def _require_closed(self) -> None:
        """Check that the field over several lines is one, and not rows after a stray mark."""
        try:
            list(csv.reader(self._pending, strict=True, **self._dialect))  # type: ignore[arg-type]
        except csv.Error as error:
            reason = (
                f"a quotation mark opens a field that ends {len(self._pending) - 1} lines below, "
                "in the middle of a text"
            )
            raise self._fault(reason, self.line) from error

    def _fault(self, reason: str, line: int) -> Exception:
        hint = "double each quotation mark inside a field, and enclose the field in such marks"
        return self._file.fault(reason, hint, line=line)


def type_labels(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return labels as integers if all are whole numbers, or as floats if some have decimals.

    Whole numbers are ordered as numbers, and may be named by `label_names`. A number that is not
    written as usual, such as 01, makes all labels text.
    """
    labels = column.unique().drop_null()
    if not len(labels):
        return column
    if pc.all(pc.match_substring_regex(labels, _WHOLE)).as_py():
        return column.cast(pa.int64())
    is_decimal = pc.match_substring(labels, ".")
    if pc.any(is_decimal).as_py() and pc.all(pc.match_substring_regex(labels, _NUMBER)).as_py():
        return column.cast(pa.float64())
    return column


def hint_at_separator(names: Sequence[str]) -> str | None:
    """Return how to convert a file whose header looks as if it had another separator."""
    if names and names[0].startswith("sep="):
        return "remove the first line, which only Excel reads, and separate the fields with commas"
    other = [s for s in _WORDS_FOR if s in names[0]] if len(names) == 1 else []
    if not other:
        return None
    return f"the fields seem to be separated by {_WORDS_FOR[other[0]]}: {_CONVERT.format(other[0])}"

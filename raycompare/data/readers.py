"""Readers of the file formats of data sets, from bytes to tables."""

from __future__ import annotations

import codecs
import gzip
import json
import warnings
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from pathlib import PurePosixPath

import pandas as pd
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet
from pyarrow import types

from raycompare.data.problems import cause_of, not_data

GZIP = ".gz"
UNREADABLE = (
    *(OSError, ValueError, LookupError, pa.ArrowException, EOFError, zlib.error),
    # Numbers beyond 64 bits, and deeply nested arrays.
    *(OverflowError, RecursionError, pd.errors.ParserWarning),
)
"""Raised by parsers of damaged files."""
_WIDE = {
    codecs.BOM_UTF32_LE: "UTF-32",  # before UTF-16, because it starts with the same bytes
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
Text = Sequence[str]
"""Names of the text columns, which are always read as strings."""


def _read_csv(content: bytes, text: Text, separator: str = ",") -> pa.Table:
    with warnings.catch_warnings():
        # pandas drops fields that have no name in the header, with only a warning.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        frame = pd.read_csv(
            BytesIO(content),
            sep=separator,
            index_col=False,
            dtype=dict.fromkeys(text, "string"),
            # "None" and "NA" are texts; only an empty cell is a missing value.
            keep_default_na=False,
            na_values=[""],
            dtype_backend="pyarrow",
            low_memory=False,
        )
    return pa.Table.from_pandas(frame, preserve_index=False)


def _read_jsonl(content: bytes, _text: Text) -> pa.Table:
    # An object must fit into a block; pyarrow's default is 1 MiB.
    longest = max(map(len, content.split(b"\n")), default=0)
    block = max(2**26, longest + 2)
    options = pa.json.ReadOptions(block_size=min(block, 2**31 - 1))
    return pa.json.read_json(pa.BufferReader(content), read_options=options)


def _read_json(content: bytes, text: Text) -> pa.Table:
    if not content.lstrip().startswith(b"["):
        return _read_jsonl(content, text)
    rows = json.loads(content.decode())
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("the items of the array are not all objects")
    return pa.Table.from_struct_array(pa.array(rows)) if rows else pa.table({})


def _read_parquet(content: bytes, _text: Text) -> pa.Table:
    # Not read_table, which turns a folder called a=b into a column.
    with pa.parquet.ParquetFile(pa.BufferReader(content)) as file:
        table = file.read()
    # datasets doesn't support pandas categoricals.
    plain = [
        f.with_type(f.type.value_type) if types.is_dictionary(f.type) else f for f in table.schema
    ]
    return table.cast(pa.schema(plain, metadata=table.schema.metadata))


READERS: dict[str, Callable[[bytes, Text], pa.Table]] = {
    ".csv": _read_csv,
    ".tsv": partial(_read_csv, separator="\t"),
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
ENDINGS = ", ".join(READERS)


def format_of(name: str) -> str:
    """Return the ending that selects a reader, such as .csv for a.csv.gz."""
    path = PurePosixPath(name.lower())
    return PurePosixPath(path.stem).suffix if path.suffix == GZIP else path.suffix


def stem_of(name: str) -> str:
    """Return the name of a file without its format and compression endings."""
    path = PurePosixPath(name)
    return PurePosixPath(path.stem).stem if path.suffix.lower() == GZIP else path.stem


def read_table(shown: str, content: bytes, text: Text) -> pa.Table:
    """Read the content of a file whose path is `shown`.

    Raises:
        DataProblems: the file can't be read; the message has the line, if the format allows it.
    """
    ending = format_of(shown)
    try:
        plain = gzip.decompress(content) if shown.lower().endswith(GZIP) else content
    except UNREADABLE as error:
        reason = f"{shown} can't be read: {cause_of(error)}"
        raise not_data(reason, "a complete gzip file") from error
    if ending != ".parquet":
        plain = _utf8(shown, plain)
    try:
        return READERS[ending](plain, text)
    except UNREADABLE as error:
        reason = f"{shown} can't be read: {cause_of(error)}"
        raise not_data(reason, f"a well-formed {ending[1:]} file in UTF-8") from error


def _utf8(shown: str, content: bytes) -> bytes:
    """Return text in UTF-8 without its byte order mark, or raise DataProblems."""
    wide = next((name for mark, name in _WIDE.items() if content.startswith(mark)), None)
    allowed = f"a well-formed {format_of(shown)[1:]} file in UTF-8"
    if wide:
        hint = f"convert it with `iconv -f {wide} -t UTF-8 FILE > NEW`"
        raise not_data(f"{shown} can't be read: it is in {wide}", allowed, hint)
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        reason = f"{shown}:{line} can't be read: {cause_of(error)}"
        hint = "if it is in Latin-1, convert it with `iconv -f LATIN1 -t UTF-8 FILE > NEW`"
        raise not_data(reason, allowed, hint) from error
    if b"\0" in content:
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        hint = "if it is in UTF-16, convert it with `iconv -f UTF-16LE -t UTF-8 FILE > NEW`"
        raise not_data(f"{shown}:{line} can't be read: a NUL byte", allowed, hint)
    return content.removeprefix(codecs.BOM_UTF8)

"""Files of predictions, written in pieces but atomically."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, Self

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from pyarrow import fs

from raycompare.errors import UserError, one_of
from raycompare.records.storage import open_filesystem, require_parent, write_atomically
from raycompare.serving.input_files import Input, ending_of

PREDICTED, PROBABILITY = "predicted_label", "probability_"
OUT_FORMATS = (".csv", ".jsonl", ".parquet")


def predicted_schema(source: Input, labels: Sequence[str]) -> pa.Schema:
    """Return the columns of predictions: those of the input, the label and all probabilities.

    Raises:
        UserError: two columns would have the same name.
    """
    added = [pa.field(f"{PROBABILITY}{name}", pa.float32()) for name in labels]
    fields = [*list(source.schema)[:-1], pa.field(PREDICTED, pa.string()), *added]
    names = [field.name for field in fields]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(
            f"{source.place}: the predictions add a column {twice[0]!r}, which the file has "
            "already. Rename the column in the file."
        )
    return pa.schema(fields)


class PredictionWriter(Protocol):
    """A file of predictions."""

    def write(self, table: pa.Table) -> None:
        """Append rows."""


class _JsonLines:
    def __init__(self, stream: Any, _: pa.Schema) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the stream open; its owner closes it."""

    def write(self, table: pa.Table) -> None:
        for row in table.to_pylist():
            self._stream.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


_WRITERS: Mapping[str, Callable[[Any, pa.Schema], Any]] = {
    ".csv": pa.csv.CSVWriter,
    ".jsonl": _JsonLines,
    ".parquet": pq.ParquetWriter,
}


def require_free(place: str) -> None:
    """Check that predictions can be written to a new file.

    Raises:
        UserError: the format is not supported, or the file exists.
    """
    if ending_of(place) not in OUT_FORMATS:
        raise UserError(f"--out: found {place}, allowed a file ending in {one_of(OUT_FORMATS)}.")
    require_parent("--out", place)
    filesystem, path = open_filesystem(place)
    if filesystem.get_file_info(path).type != fs.FileType.NotFound:
        raise UserError(f"--out: {place} exists. Choose another file.")


@contextmanager
def open_output(place: str, schema: pa.Schema) -> Iterator[PredictionWriter]:
    """Write a file atomically: under a temporary name, renamed at the end."""
    filesystem, path = open_filesystem(place)
    with (
        write_atomically(filesystem, path) as temporary,
        filesystem.open_output_stream(temporary) as stream,
        _WRITERS[ending_of(place)](stream, schema) as sink,
    ):
        yield sink

"""Reads Parquet files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from raycompare.data.chunks import Chunk
from raycompare.data.input_file import InputFile


class ParquetRows:
    """A Parquet file, of which row groups can be read separately."""

    def __init__(self, file: InputFile) -> None:
        """Read nothing yet."""
        self._file = file

    @contextmanager
    def _opened(self) -> Iterator[pq.ParquetFile]:
        with self._file.stream() as stream:
            # A compressed file can't be read at any position.
            source = BytesIO(stream.read()) if self._file.is_compressed else stream
            with pq.ParquetFile(source) as file:
                yield file

    @cached_property
    def _footer(self) -> tuple[pa.Schema, tuple[int, ...]]:
        with self._opened() as file:
            groups = range(file.metadata.num_row_groups)
            rows = tuple(file.metadata.row_group(group).num_rows for group in groups)
            return file.schema_arrow, rows

    @property
    def schema(self) -> pa.Schema:
        """Names and types of all columns."""
        return self._footer[0]

    @property
    def groups(self) -> tuple[int, ...]:
        """Number of rows of each row group."""
        return self._footer[1]

    @property
    def metadata(self) -> Mapping[bytes, bytes]:
        """Metadata of the schema, in which `datasets` keeps the names of labels."""
        return self.schema.metadata or {}

    def columns(self, _wanted: Collection[str] = ()) -> list[str]:
        """Return the names of all columns."""
        return list(self.schema.names)

    def read(self, columns: Sequence[str], rows: int, part: int | None = None) -> Iterator[Chunk]:
        """Yield columns in chunks of at most `rows` rows, from all row groups or from one.

        Raises:
            ArrowException: the file is damaged, or has text that is not UTF-8.
        """
        groups = range(len(self.groups)) if part is None else [part]
        if not columns:
            yield from (Chunk(self.groups[group], []) for group in groups)
            return
        with self._opened() as file:
            for batch in file.iter_batches(rows, row_groups=list(groups), columns=list(columns)):
                values = [_plain(batch.column(name)) for name in columns]
                yield Chunk(batch.num_rows, values)


def _plain(column: pa.Array) -> pa.Array:
    """Return values for pandas categoricals, which `datasets` doesn't support."""
    plain = column.dictionary_decode() if types.is_dictionary(column.type) else column
    plain.validate(full=True)
    return plain

"""Stores tokens, made by the first run that needs them, for all later runs.

    tokens/KEY.arrow    a record batch for each of train, validation and test: input_ids,
                        token_type_ids, label; the schema's metadata has max_length and more

The key is a hash of texts, labels, splits, tokenizer and length, so files are never out of date.
They are written under a temporary name and moved into place, so readers never see part of a file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from filelock import FileLock

from raycompare.data.splits import PARTS
from raycompare.data.tokens import Tokens, TokenSplit
from raycompare.records.run_folder import RunFolder

_METADATA_KEY = b"raycompare"
"""Key of the fields of Tokens that are not columns, in the schema's metadata."""


@dataclass(frozen=True)
class TokenStore:
    """A folder of tokens that runs may share at the same time."""

    folder: RunFolder

    def get(self, key: str, make: Callable[[], Tokens]) -> Tokens:
        """Read the tokens of a key, or make and store them.

        On a local or shared filesystem, runs wait for one another instead of making the same tokens
        twice. Object stores have no locks: two runs that start at the same time may both make
        tokens, and the second replaces the file of the first with the same content.
        """
        name = f"{key}.arrow"
        with self._alone(name):
            if self.folder.exists(name):
                return _deserialize(self.folder.read_bytes(name))
            tokens = make()
            self.folder.write_bytes(name, _serialize(tokens))
            return tokens

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        path = self.folder.local_path(f".{name}.lock")
        if path is None:
            yield
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path):
            yield


def _serialize(tokens: Tokens) -> bytes:
    fields = {"max_length": tokens.max_length, "truncated_share": tokens.truncated_share}
    columns = {part: _columns(getattr(tokens, part)) for part in PARTS}
    schema = pa.schema(
        [
            pa.field("input_ids", pa.large_list(pa.int32())),
            pa.field("token_type_ids", pa.large_list(pa.int8())),
            pa.field("label", pa.int64()),
        ],
        metadata={_METADATA_KEY: json.dumps(fields)},
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        for part in PARTS:
            writer.write_batch(pa.record_batch(columns[part], schema=schema))
    return bytes(sink.getvalue())


def _columns(split: TokenSplit) -> list[pa.Array]:
    none = pa.nulls(len(split), pa.large_list(pa.int8()))
    return [
        pa.LargeListArray.from_arrays(split.offsets, split.ids),
        none
        if split.segments is None
        else pa.LargeListArray.from_arrays(split.offsets, split.segments),
        pa.array(split.labels),
    ]


def _deserialize(content: bytes) -> Tokens:
    with pa.ipc.open_file(content) as reader:
        fields: Mapping[str, Any] = json.loads(reader.schema.metadata[_METADATA_KEY])
        train, validation, test = (_split(reader.get_batch(index)) for index in range(len(PARTS)))
    return Tokens(train=train, validation=validation, test=test, **fields)


def _split(batch: pa.RecordBatch) -> TokenSplit:
    ids, segments = batch.column("input_ids"), batch.column("token_type_ids")
    return TokenSplit(
        ids=ids.values.to_numpy(),
        segments=None if segments.null_count else segments.values.to_numpy(),
        offsets=np.asarray(ids.offsets.to_numpy()),
        labels=batch.column("label").to_numpy(),
    )

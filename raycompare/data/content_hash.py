"""Hash of the texts and labels of all splits, which identifies the data of a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from json.encoder import encode_basestring_ascii

from datasets import Dataset

from raycompare.data.columns import values

_NO_TEXT = ("label", "example_id")


def hash_of_content(splits: Mapping[str, Dataset], label_names: tuple[str, ...]) -> str:
    """Return a hash of all texts, labels and label names: 16 hexadecimal digits.

    Each row counts as `json.dumps([part, *texts, label])`, written faster here.
    """
    digest = hashlib.sha256(json.dumps(label_names).encode())
    for part, split in splits.items():
        for rows in _rows(part, split):
            digest.update("".join(rows).encode())
    return digest.hexdigest()[:16]


def _rows(part: str, split: Dataset) -> Iterator[list[str]]:
    """Yield the rows of a split, as many at once as are in a chunk of its texts."""
    names = [name for name in split.column_names if name not in _NO_TEXT]
    chunks = zip(*(values(split, name).chunks for name in names), strict=True)
    labels, at = values(split, "label").to_numpy().tolist(), 0
    for texts in chunks:
        columns = [map(encode_basestring_ascii, text.to_pylist()) for text in texts]
        rows = columns[0] if len(columns) == 1 else map(", ".join, zip(*columns, strict=True))
        own = labels[at : at + len(texts[0])]
        yield [f'["{part}", {row}, {label}]' for row, label in zip(rows, own, strict=True)]
        at += len(own)

"""Tokenised texts for trials, in flat arrays that all workers of a node share.

The layout is that of Arrow's list columns: the concatenated token ids of all rows, and the offset
of each row. Ray's object store holds the arrays once per node; trials read them without copying.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, TypedDict

import numpy as np
import torch
from torch.utils.data import Dataset

Ints = np.ndarray[Any, np.dtype[np.signedinteger[Any]]]


class Row(TypedDict):
    """One text: its token ids, its segments if the model uses them, and its label."""

    input_ids: Ints
    token_type_ids: Ints | None
    labels: int


@dataclass(frozen=True, eq=False)
class TokenSplit(Dataset[Row]):
    """The rows of one split, truncated but not padded."""

    ids: Ints
    """Concatenated token ids of all rows: int32, [tokens]."""
    segments: Ints | None
    """token_type_ids of the same tokens: int8, [tokens]; None if all are 0, the default."""
    offsets: Ints
    """Start of each row in `ids`, and the end of the last: int64, [rows + 1]."""
    labels: Ints
    """Label ids: int64, [rows]."""

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.labels)

    def __getitem__(self, row: int) -> Row:
        """Return views of the row's tokens."""
        part = slice(self.offsets[row], self.offsets[row + 1])
        return {
            "input_ids": self.ids[part],
            "token_type_ids": None if self.segments is None else self.segments[part],
            "labels": int(self.labels[row]),
        }

    @property
    def lengths(self) -> Ints:
        """Number of tokens of each row."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class Padding:
    """The padding of a tokenizer: its token, segment and side."""

    token: int
    segment: int
    side: Literal["left", "right"]
    to: int | None = None
    """Length that every batch is padded to; None pads to the longest row."""

    def collate(self, rows: Sequence[Row], with_segments: bool = True) -> dict[str, torch.Tensor]:
        """Return the inputs of a model: int64 tensors of shape [rows, tokens], labels [rows].

        Set `with_segments` to False for models that don't accept token_type_ids.
        """
        longest = self.to or max(len(row["input_ids"]) for row in rows)
        batch = {
            "input_ids": self._pad_rows([row["input_ids"] for row in rows], longest, self.token),
            "attention_mask": self._pad_rows(
                [np.ones_like(row["input_ids"]) for row in rows], longest, 0
            ),
            "labels": torch.tensor([row["labels"] for row in rows]),
        }
        segments = [row["token_type_ids"] for row in rows if row["token_type_ids"] is not None]
        if segments and with_segments:
            batch["token_type_ids"] = self._pad_rows(segments, longest, self.segment)
        return batch

    def _pad_rows(self, rows: Sequence[Ints], longest: int, filler: int) -> torch.Tensor:
        filled = np.full((len(rows), longest), filler, dtype=np.int64)
        for target, row in zip(filled, rows, strict=True):
            if self.side == "right":
                target[: len(row)] = row
            else:
                target[longest - len(row) :] = row
        return torch.from_numpy(filled)


@dataclass(frozen=True, eq=False)
class Tokens:
    """The tokens of all three splits from one tokenizer, as kept in the token store."""

    train: TokenSplit
    validation: TokenSplit
    test: TokenSplit
    max_length: int
    truncated_share: float


@dataclass(frozen=True, eq=False)
class SearchData:
    """Data that trials of one tokenizer are trained and selected on, without the test split."""

    train: TokenSplit
    validation: TokenSplit
    padding: Padding
    max_length: int
    truncated_share: float
    """Share of the rows of all splits that were truncated to `max_length` tokens."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The test split, which only finalists receive, once."""

    split: TokenSplit
    example_ids: Ints
    """Example id of each row of the test split."""


@dataclass(frozen=True, eq=False)
class TokenizedData(SearchData):
    """All data for one tokenizer, including the test split, as finalists read it."""

    test: TokenSplit
    example_ids: Ints
    """Example id of each row of the test split."""

    @classmethod
    def of(cls, data: SearchData, held: HeldOut) -> Self:
        """Add the test split to the others."""
        return cls(**_for_search(data), test=held.split, example_ids=held.example_ids)

    @property
    def for_search(self) -> SearchData:
        """The part of the data that trials of the search may see."""
        return SearchData(**_for_search(self))

    @property
    def held_out(self) -> HeldOut:
        """The part of the data that only finalists may see."""
        return HeldOut(self.test, self.example_ids)


def _for_search(data: SearchData) -> dict[str, Any]:
    return {field.name: getattr(data, field.name) for field in fields(SearchData)}

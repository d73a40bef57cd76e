"""Tokenised texts as trials read them: flat arrays that every worker of a node shares, and batches.

Arrow's own layout of a list column: all token ids one after another, and where each row begins. In
Ray's object store the arrays of a split lie once per node, and trials read them without a copy.
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
    """One text: its token ids, their segments where the model has use for them, and its label."""

    input_ids: Ints
    token_type_ids: Ints | None
    labels: int


@dataclass(frozen=True, eq=False)
class TokenSplit(Dataset[Row]):
    """The rows of one split, cut but not padded."""

    ids: Ints
    """Token ids of all rows, one row after another: int32, [tokens]."""
    segments: Ints | None
    """token_type_ids of the same tokens, int8; None where all are 0, which models assume."""
    offsets: Ints
    """Row r has the tokens from offsets[r] to offsets[r + 1]: int64, [rows + 1]."""
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
        """Tokens of each row."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class Padding:
    """How a tokenizer fills the rows of a batch up to one length."""

    token: int
    segment: int
    side: Literal["left", "right"]
    to: int | None = None
    """Pad every batch to this many tokens; None pads to its longest row."""

    def collate(self, rows: Sequence[Row], with_segments: bool = True) -> dict[str, torch.Tensor]:
        """Return the inputs of a model: int64 tensors of [rows, tokens], and labels of [rows].

        Not every model takes token_type_ids; `with_segments` says whether this one does.
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
    """What a tokenizer makes of the three splits; what the token store keeps."""

    train: TokenSplit
    validation: TokenSplit
    test: TokenSplit
    max_length: int
    truncated_share: float


@dataclass(frozen=True, eq=False)
class SearchData:
    """What trials of one tokenizer are trained and chosen on: no row of the test split is in it."""

    train: TokenSplit
    validation: TokenSplit
    padding: Padding
    max_length: int
    truncated_share: float
    """Of the rows of all splits, those that were cut to `max_length` tokens."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The test split, which finalists alone are given, once."""

    split: TokenSplit
    example_ids: Ints
    """Of its rows, in its order."""


@dataclass(frozen=True, eq=False)
class TokenizedData(SearchData):
    """All that there is for one tokenizer; what finalists read."""

    test: TokenSplit
    example_ids: Ints
    """Of the test split's rows, in its order."""

    @classmethod
    def of(cls, data: SearchData, held: HeldOut) -> Self:
        """Put the test split beside the others."""
        return cls(**_for_search(data), test=held.split, example_ids=held.example_ids)

    @property
    def for_search(self) -> SearchData:
        """What a trial that is no finalist may see."""
        return SearchData(**_for_search(self))

    @property
    def held_out(self) -> HeldOut:
        """What it may not see."""
        return HeldOut(self.test, self.example_ids)


def _for_search(data: SearchData) -> dict[str, Any]:
    return {field.name: getattr(data, field.name) for field in fields(SearchData)}

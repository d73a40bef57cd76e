"""Survey of a data set: rows, labels, duplicates, and the lengths of its texts in tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter


@dataclass(frozen=True, kw_only=True)
class SplitSurvey:
    """Rows and labels of one split."""

    split: str
    rows: int
    labels: dict[str, int]
    """Number of rows, keyed by label in id order."""
    repeated: int
    """Number of rows that duplicate the text of an earlier row of the split."""
    also_in: dict[str, int]
    """Number of rows whose text is also in an earlier split, keyed by that split."""


@dataclass(frozen=True, kw_only=True)
class LengthCost:
    """Effect of truncating the training texts to a length."""

    max_length: int
    cut: float
    """Share of the texts that are truncated."""
    tokens: float
    """Mean tokens per text, without padding."""
    in_batches: float
    """Mean tokens per text in random batches, each padded to its longest text."""


@dataclass(frozen=True, kw_only=True)
class TokenSurvey:
    """Lengths of the training texts for one tokenizer, in tokens, including special ones.

    A percentile is the smallest occurring length that this share of the texts does not exceed.
    """

    models: tuple[str, ...]
    """Names of the models that use this tokenizer."""
    texts: int
    """Number of texts measured; a seeded sample of a large data set."""
    median: int
    p95: int
    p99: int
    longest: int
    limit: int | None
    """Longest text that the models accept, according to the tokenizer."""
    unknown: float
    """Share of unknown tokens, such as [UNK], among all tokens."""
    with_unknown: float
    """Share of the texts with at least one unknown token."""
    without_tokens: int
    """Number of texts that have no tokens, such as those of control characters only."""
    costs: tuple[LengthCost, ...]
    """Costs of the current max_length, the proposed one and others, shortest first."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Survey of a data set, made before training."""

    dataset: str
    splits: tuple[SplitSurvey, ...]
    contradictory_texts: int
    """Number of texts that occur with more than one label, over all splits."""
    contradictory_rows: int
    """Number of rows with such a text."""
    asked: int | str
    """The max_length of the experiment: tokens, or a percentile such as p99."""
    batch: int
    """Batch size that `LengthCost.in_batches` assumes."""
    tokenizers: tuple[TokenSurvey, ...]
    proposed: int | None
    """Proposed max_length; None without a tokenizer."""
    notes: tuple[str, ...] = ()
    """Remarks about labels and splits, for the reader."""

    @cached_property
    def train(self) -> SplitSurvey:
        """The training split."""
        return next(split for split in self.splits if split.split == "train")

    def to_plain(self) -> dict[str, Any]:
        """Return the survey in plain JSON values, for a manifest."""
        return asdict(self)

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> Survey:
        """Restore a survey from the values of `to_plain`."""
        return _ADAPTER.validate_python(content)


_ADAPTER = TypeAdapter(Survey)

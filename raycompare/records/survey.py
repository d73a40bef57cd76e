"""What a data set is like: rows, labels, copies, and what each tokenizer makes of its texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter


@dataclass(frozen=True, kw_only=True)
class SplitSurvey:
    """One split as it is used."""

    split: str
    rows: int
    labels: dict[str, int]
    """Rows by label, in the order of the labels' ids."""
    repeated: int
    """Rows whose text stands in an earlier row of the split."""
    also_in: dict[str, int]
    """Rows whose text stands in another split too, by that split; of each pair the later one."""


@dataclass(frozen=True, kw_only=True)
class LengthCost:
    """What it means to cut the training texts to a length; tokens are those of a text, the mean."""

    max_length: int
    cut: float
    """The share of the texts that are longer."""
    tokens: float
    """Without padding."""
    in_batches: float
    """In random batches, each padded to its longest text."""


@dataclass(frozen=True, kw_only=True)
class TokenSurvey:
    """What one tokenizer makes of the training texts; lengths are in tokens, special ones counted.

    Percentiles are lengths that occur: the least that so many texts do not exceed.
    """

    models: tuple[str, ...]
    """That have this tokenizer."""
    texts: int
    """That were measured, a seeded sample where there are very many."""
    median: int
    p95: int
    p99: int
    longest: int
    limit: int | None
    """The longest text that the tokenizer says its models take."""
    unknown: float
    """The share of all tokens that stand for what the vocabulary lacks."""
    with_unknown: float
    """The share of the texts that have such a token."""
    without_tokens: int
    """Texts of which nothing is left, such as one of control characters."""
    costs: tuple[LengthCost, ...]
    """Of the present max_length, of the proposed one and of others, shortest first."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What is known of a data set before anything is trained."""

    dataset: str
    splits: tuple[SplitSurvey, ...]
    contradictory_texts: int
    """Texts that stand somewhere in the data with more than one label."""
    contradictory_rows: int
    """Their rows."""
    asked: int | str
    """The max_length of the experiment: tokens, or a percentile such as p99."""
    batch: int
    """Texts in a batch, for `LengthCost.in_batches`."""
    tokenizers: tuple[TokenSurvey, ...]
    proposed: int | None
    """For max_length; None without a tokenizer."""
    notes: tuple[str, ...] = ()
    """What was noticed when labels were read and splits were drawn."""

    @cached_property
    def train(self) -> SplitSurvey:
        """The training split."""
        return next(split for split in self.splits if split.split == "train")

    def to_plain(self) -> dict[str, Any]:
        """Return plain values, as a manifest keeps them."""
        return asdict(self)

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> Survey:
        """Read what `to_plain` has returned, perhaps through JSON."""
        return _ADAPTER.validate_python(content)


_ADAPTER = TypeAdapter(Survey)

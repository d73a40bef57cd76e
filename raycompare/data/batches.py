"""Batches without much padding: one batch in parts of like length, or batches of like length.

Padding AG News to 256 tokens computes 4.8 times its useful tokens, random batches of 16 padded to
their longest text 1.8 times. In parts, the same random batches take 1.06 times, and the gradient is
that of the whole batch. Batches of like length take 1.05 times, but are no random samples: training
starts more slowly with them (docs/decisions/0004-batches-in-parts.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler

from raycompare.data.tokens import Ints

POOL = 50
"""Batches whose texts are sorted together: enough to leave little padding, few enough to mix a
text with others in every epoch. transformers' LengthGroupedSampler takes as many."""


def parts_by_length(lengths: Ints, overhead: int) -> list[Ints]:
    """Divide the rows of a batch into parts of like length, at the least cost.

    A part costs its rows times its longest one, in tokens, and `overhead` tokens for being a part.
    Exact: of rows in the order of their length the best parts are runs, and the best division of
    the first n rows ends in a run after the best division of those before.
    """
    order = np.argsort(-lengths, kind="stable")
    sizes = lengths[order].tolist()
    least, starts = [0.0], [0]
    for end in range(1, len(sizes) + 1):
        costs = [least[start] + (end - start) * sizes[start] + overhead for start in range(end)]
        least.append(min(costs))
        starts.append(costs.index(least[-1]))
    parts, end = [], len(sizes)
    while end:
        parts.append(order[starts[end] : end])
        end = starts[end]
    return parts[::-1]


@dataclass(frozen=True, kw_only=True)
class BatchSize:
    """How much goes into one batch: a number of texts, or as many as fit into `tokens`."""

    texts: int
    tokens: int | None = None
    """Texts in a batch times the tokens of its longest; over-rides `texts`."""


class LengthBatches(Sampler[list[int]]):
    """The rows of each batch, for a DataLoader's `batch_sampler`; every epoch another order.

    The number of batches is the same in all epochs. By `texts`, pools of `POOL` batches are drawn
    at random and sorted by length. By `tokens`, all texts are sorted, those of equal length in
    random order, so that the batches always number the same.
    """

    def __init__(self, lengths: Ints, size: BatchSize, seed: int, drop_last: bool = False) -> None:
        """Draw with `seed`; `drop_last` leaves out the batch that is not full."""
        self._lengths, self._size, self._seed, self._drop = lengths, size, seed, drop_last
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Name the epoch that is iterated next, from 0."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Count the batches of an epoch."""
        return len(self._batches(np.random.default_rng(0)))

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the row numbers of each batch."""
        random = np.random.default_rng([self._seed, self._epoch])
        batches = self._batches(random)
        for index in random.permutation(len(batches)):
            yield batches[index].tolist()

    def _batches(self, random: np.random.Generator) -> list[Ints]:
        order = random.permutation(len(self._lengths))
        if self._size.tokens is not None:
            return token_batches(by_length(order, self._lengths), self._lengths, self._size.tokens)
        texts = self._size.texts
        pools = (order[at : at + POOL * texts] for at in range(0, len(order), POOL * texts))
        ordered = np.concatenate([by_length(pool, self._lengths) for pool in pools])
        batches = [ordered[at : at + texts] for at in range(0, len(ordered), texts)]
        return batches[:-1] if self._drop and len(batches[-1]) < texts else batches


def by_length(rows: Ints, lengths: Ints) -> Ints:
    """Return the rows with the longest first; equals keep their order."""
    return rows[np.argsort(-lengths[rows], kind="stable")]


def longest_first(lengths: Ints) -> Ints:
    """Return all row numbers, the longest text's first: what can't fit in memory fails at once."""
    return by_length(np.arange(len(lengths)), lengths)


def token_batches(rows: Ints, lengths: Ints, tokens: int) -> list[Ints]:
    """Cut rows that are sorted longest first into batches of at most `tokens`, padding counted.

    A text that is longer than `tokens` makes a batch of its own.
    """
    batches, start = [], 0
    while start < len(rows):
        texts = max(tokens // int(lengths[rows[start]]), 1)
        batches.append(rows[start : start + texts])
        start += texts
    return batches


def count_batches(lengths: Ints, size: BatchSize, drop_last: bool = False) -> int:
    """Count the batches of an epoch, as `LengthBatches` makes them."""
    return len(LengthBatches(lengths, size, seed=0, drop_last=drop_last))

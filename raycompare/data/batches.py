"""Batches with little padding: random batches split by length, or batches of similar length.

On AG News, padding to 256 tokens computes 4.8 times the useful tokens, and padding random batches
of 16 to their longest text 1.8 times. Splitting the same random batches into parts of similar
length takes 1.06 times and keeps the gradient of the whole batch. Batches of similar length take
1.05 times but are not random samples, so training starts more slowly
(docs/decisions/0004-batches-in-parts.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler

from raycompare.data.tokens import Ints

POOL = 50
"""Number of batches whose texts are sorted together: enough to leave little padding, few enough to
mix texts differently in every epoch. transformers' LengthGroupedSampler uses the same number."""


def parts_by_length(lengths: Ints, overhead: int) -> list[Ints]:
    """Split the rows of a batch into parts of similar length, at the lowest total cost.

    A part costs its number of rows times its longest row in tokens, plus `overhead` tokens. The
    result is optimal: parts are contiguous in rows sorted by length, so dynamic programming over
    the end of the last part finds the best split.
    """
    order = np.argsort(-lengths, kind="stable")
    sizes = lengths[order].tolist()
    lowest, starts = [0.0], [0]
    for end in range(1, len(sizes) + 1):
        costs = [lowest[start] + (end - start) * sizes[start] + overhead for start in range(end)]
        lowest.append(min(costs))
        starts.append(costs.index(lowest[-1]))
    parts, end = [], len(sizes)
    while end:
        parts.append(order[starts[end] : end])
        end = starts[end]
    return parts[::-1]


@dataclass(frozen=True, kw_only=True)
class BatchSize:
    """Size of a batch: a number of texts, or as many texts as fit into `tokens`."""

    texts: int
    tokens: int | None = None
    """Limit for the number of texts times the tokens of the longest one; overrides `texts`."""


class LengthBatches(Sampler[list[int]]):
    """A `batch_sampler` for a DataLoader; the order differs in every epoch.

    The number of batches is the same in all epochs. With `texts`, pools of `POOL` batches are drawn
    at random and sorted by length. With `tokens`, all texts are sorted by length, with texts of
    equal length in random order, so that the number of batches doesn't change.
    """

    def __init__(self, lengths: Ints, size: BatchSize, seed: int, drop_last: bool = False) -> None:
        """Draw with `seed`; `drop_last` drops a batch that is not full."""
        self._lengths, self._size, self._seed, self._drop = lengths, size, seed, drop_last
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the next epoch, from 0."""
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
            return token_batches(_by_length(order, self._lengths), self._lengths, self._size.tokens)
        texts = self._size.texts
        pools = (order[at : at + POOL * texts] for at in range(0, len(order), POOL * texts))
        ordered = np.concatenate([_by_length(pool, self._lengths) for pool in pools])
        batches = [ordered[at : at + texts] for at in range(0, len(ordered), texts)]
        return batches[:-1] if self._drop and len(batches[-1]) < texts else batches


def _by_length(rows: Ints, lengths: Ints) -> Ints:
    return rows[np.argsort(-lengths[rows], kind="stable")]


def longest_first(lengths: Ints) -> Ints:
    """Return all row numbers, longest text first, so that running out of memory happens at once."""
    return _by_length(np.arange(len(lengths)), lengths)


def token_batches(rows: Ints, lengths: Ints, tokens: int) -> list[Ints]:
    """Split rows, sorted longest first, into batches of at most `tokens`, including padding.

    A text longer than `tokens` is a batch by itself.
    """
    batches, start = [], 0
    while start < len(rows):
        texts = max(tokens // int(lengths[rows[start]]), 1)
        batches.append(rows[start : start + texts])
        start += texts
    return batches


def count_batches(lengths: Ints, size: BatchSize, drop_last: bool = False) -> int:
    """Count the batches of an epoch of `LengthBatches`."""
    if size.tokens is None:
        return len(lengths) // size.texts if drop_last else -(-len(lengths) // size.texts)
    return len(LengthBatches(lengths, size, seed=0, drop_last=drop_last))

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from raycompare.data.batches import (
    BatchSize,
    LengthBatches,
    count_batches,
    longest_first,
    parts_by_length,
)
from raycompare.data.tokens import Ints, Padding, Row

lengths_of_texts = st.lists(st.integers(1, 60), min_size=1, max_size=400).map(np.array)
sizes = st.one_of(
    st.integers(1, 40).map(lambda texts: BatchSize(texts=texts)),
    st.integers(1, 500).map(lambda tokens: BatchSize(texts=8, tokens=tokens)),
)


def epoch(lengths: Ints, size: BatchSize, number: int = 0, seed: int = 1) -> list[list[int]]:
    batches = LengthBatches(lengths, size, seed)
    batches.set_epoch(number)
    return list(batches)


@given(lengths_of_texts, sizes, st.integers(0, 5))
def test_every_text_is_in_one_batch_and_epochs_are_equally_long(
    lengths: Ints, size: BatchSize, number: int
) -> None:
    batches = epoch(lengths, size, number)
    assert sorted(row for batch in batches for row in batch) == [*range(len(lengths))]
    assert len(batches) == count_batches(lengths, size)


@given(lengths_of_texts, st.integers(1, 500))
def test_no_batch_takes_more_tokens_than_allowed(lengths: Ints, tokens: int) -> None:
    for batch in epoch(lengths, BatchSize(texts=1, tokens=tokens)):
        assert len(batch) * lengths[batch].max() <= tokens or len(batch) == 1


def test_batches_hold_as_many_texts_as_asked() -> None:
    batches = epoch(np.arange(1, 101), BatchSize(texts=8))
    assert sorted(map(len, batches)) == [4, *[8] * 12]
    whole = list(LengthBatches(np.arange(1, 101), BatchSize(texts=8), seed=1, drop_last=True))
    assert [len(batch) for batch in whole] == [8] * 12


def test_little_is_padded() -> None:
    lengths = np.random.default_rng(0).lognormal(3.9, 0.5, 4000).astype(int).clip(5, 256)
    batches = epoch(lengths, BatchSize(texts=16))
    computed = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert computed < 1.1 * lengths.sum()


def test_the_order_is_random_between_batches_and_epochs_and_follows_the_seed() -> None:
    lengths = np.arange(1, 1001) % 50
    size = BatchSize(texts=16)
    first = epoch(lengths, size)
    assert first == epoch(lengths, size)
    assert first != epoch(lengths, size, number=1)
    assert first != epoch(lengths, size, seed=2)
    means = [lengths[batch].mean() for batch in first]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.3, "no order by length remains"
    together = {frozenset(batch) for batch in first}
    again = {frozenset(batch) for batch in epoch(lengths, size, number=1)}
    assert len(together & again) < 5, "texts meet others in every epoch"


def cost(parts: list[Ints], lengths: Ints, overhead: int) -> int:
    return sum(len(part) * int(lengths[part].max()) + overhead for part in parts)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=7).map(np.array), st.integers(0, 80))
def test_a_batch_is_divided_at_the_least_cost(lengths: Ints, overhead: int) -> None:
    parts = parts_by_length(lengths, overhead)
    assert sorted(row for part in parts for row in part) == [*range(len(lengths))]
    ordered = np.argsort(-lengths, kind="stable")
    cuts = range(1, len(lengths))
    divisions = (c for n in range(len(lengths)) for c in combinations(cuts, n))
    least = min(cost(np.split(ordered, c), lengths, overhead) for c in divisions)
    assert cost(parts, lengths, overhead) == least


def test_parts_leave_little_padding_of_a_random_batch() -> None:
    random = np.random.default_rng(0)
    batches = random.lognormal(3.9, 0.5, (200, 16)).astype(int).clip(5, 256)
    whole = sum(16 * batch.max() for batch in batches)
    in_parts = sum(cost(parts_by_length(batch, 16), batch, 0) for batch in batches)
    assert whole > 1.8 * batches.sum()
    assert in_parts < 1.1 * batches.sum()


def test_evaluation_takes_the_longest_first() -> None:
    assert longest_first(np.array([3, 9, 1, 9])).tolist() == [1, 3, 0, 2]


def row(length: int, segments: bool = False) -> Row:
    ids = np.arange(1, length + 1, dtype=np.int32)
    return {
        "input_ids": ids,
        "token_type_ids": (ids % 2).astype(np.int8) if segments else None,
        "labels": length,
    }


@pytest.mark.parametrize(
    ("side", "expected"), [("right", [[1, 2, 7], [1, 2, 3]]), ("left", [[7, 1, 2], [1, 2, 3]])]
)
def test_rows_are_padded_to_the_longest_on_their_side(side: str, expected: list[list[int]]) -> None:
    padding = Padding(token=7, segment=5, side="left" if side == "left" else "right")
    batch = padding.collate([row(2), row(3)])
    assert batch["input_ids"].tolist() == expected
    assert batch["attention_mask"].sum(dim=1).tolist() == [2, 3]
    assert batch["labels"].tolist() == [2, 3]
    assert "token_type_ids" not in batch
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


def test_rows_are_padded_to_a_fixed_length_if_asked() -> None:
    batch = Padding(token=7, segment=5, side="right", to=6).collate([row(2, True), row(3, True)])
    assert {key: tuple(tensor.shape) for key, tensor in batch.items() if key != "labels"} == {
        "input_ids": (2, 6),
        "attention_mask": (2, 6),
        "token_type_ids": (2, 6),
    }
    assert batch["token_type_ids"][0].tolist() == [1, 0, 5, 5, 5, 5]
    without = Padding(token=7, segment=5, side="right").collate([row(2, True)], with_segments=False)
    assert "token_type_ids" not in without


def test_a_loader_takes_the_batches() -> None:
    rows = [row(length) for length in range(1, 30)]
    batches = LengthBatches(np.arange(1, 30), BatchSize(texts=4), seed=0)
    loader: DataLoader[Row] = DataLoader(
        rows,  # type: ignore[arg-type]
        batch_sampler=batches,
        collate_fn=Padding(token=0, segment=0, side="right").collate,
    )
    assert len(loader) == 8
    assert sum(len(batch["labels"]) for batch in loader) == 29

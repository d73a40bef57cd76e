from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest
from ray import cloudpickle
from transformers import PreTrainedTokenizerBase

from raycompare.data import LabelledData, tokenize
from raycompare.sources import DataProblems
from tests.splits import LABELS, Load, parts, rows
from tests.tiny import FILLER, SPECIAL, tokenizer_for


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    """Words are tokens; 64 at most, two of them special, three for pairs."""
    made = tokenizer_for([*SPECIAL, *FILLER])
    made.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    return made


def sentences(lengths: list[int]) -> dict[str, list[Any]]:
    texts = [" ".join(["old"] * length) for length in lengths]
    return {"text": texts, "label": ["a", "b"] * (len(lengths) // 2)}


@pytest.fixture
def long_and_short(load: Load) -> LabelledData:
    short = sentences([1, 8])
    return load(train=sentences([*range(1, 101)]), validation=short, test=short)


def test_tokens_are_cut_and_not_padded(
    long_and_short: LabelledData, tokenizer: PreTrainedTokenizerBase
) -> None:
    tokens = tokenize(long_and_short, tokenizer, 10)
    assert [len(ids) for ids in tokens.train["input_ids"]] == [*range(3, 10), *[10] * 93]
    assert tokens.max_length == 10
    assert tokens.truncated_share == 92 / 104
    assert tokens.test[0] == {
        "input_ids": tokenizer("old")["input_ids"],
        "token_type_ids": [0, 0, 0],
        "attention_mask": [1, 1, 1],
        "labels": 0,
    }
    assert tokens.train["labels"][:] == long_and_short.train["label"][:]
    assert tokens.example_ids == (0, 1)


@pytest.mark.parametrize(
    ("asked", "resolved"), [("p1", 4), ("p50", 53), ("p99", 64), (64, 64), (65, 64), (10**6, 64)]
)
def test_max_length(
    long_and_short: LabelledData,
    tokenizer: PreTrainedTokenizerBase,
    asked: int | str,
    resolved: int,
) -> None:
    assert tokenize(long_and_short, tokenizer, asked).max_length == resolved


def test_percentiles_are_those_of_the_training_texts(
    load: Load, tokenizer: PreTrainedTokenizerBase
) -> None:
    other = sentences([30] * 4)
    data = load(train=sentences([3, 5, 4, 6]), validation=other, test=other)
    tokens = tokenize(data, tokenizer, "p100")
    assert (tokens.max_length, tokens.truncated_share) == (8, 8 / 12)


def test_max_length_needs_room_beside_the_special_tokens(
    load: Load, tokenizer: PreTrainedTokenizerBase
) -> None:
    pairs = rows(pair=["near"] * len(LABELS))
    assert tokenize(load(train=pairs), tokenizer, 3).max_length == 3
    with pytest.raises(DataProblems, match=r"data\.max_length\n.*3\n.*more than the 3 special"):
        tokenize(load({"text": ("text", "pair")}, train=pairs), tokenizer, 3)


def test_tokens_of_pairs(load: Load, tokenizer: PreTrainedTokenizerBase) -> None:
    pairs = {"text": ["old", "small"], "label": ["a", "b"], "pair": ["far", "near here"]}
    data = load({"text": ("text", "pair")}, train=pairs, validation=pairs, test=pairs)
    tokens = tokenize(data, tokenizer, 16)
    assert tokens.test["input_ids"][:] == tokenizer(pairs["text"], pairs["pair"])["input_ids"]
    assert tokens.test["token_type_ids"][1] == [0, 0, 0, 1, 1, 1]


def test_tokens_are_in_memory_and_survive_pickling(
    load: Load, tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    tokens = tokenize(load(train=sentences([*range(1, 51)] * 40)), tokenizer, 16)
    pickled = cloudpickle.dumps(tokens)
    assert str(tmp_path).encode() not in pickled
    assert all(split.cache_files == [] for split in parts(tokens).values())
    again = cloudpickle.loads(pickled)
    for part, split in parts(tokens).items():
        assert parts(again)[part][:] == split[:]
    assert (again.max_length, again.example_ids) == (tokens.max_length, tokens.example_ids)
    assert sum(map(len, parts(again).values())) == 2000


def test_tokenizing_prints_nothing_and_leaves_progress_bars_on(
    long_and_short: LabelledData,
    tokenizer: PreTrainedTokenizerBase,
    capfd: pytest.CaptureFixture[str],
) -> None:
    tokenize(long_and_short, tokenizer, "p99")
    assert capfd.readouterr() == ("", "")
    assert not datasets.are_progress_bars_disabled()

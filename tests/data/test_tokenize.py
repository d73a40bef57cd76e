from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ray import cloudpickle
from transformers import PreTrainedTokenizerBase

from raycompare.data.problems import DataProblems
from raycompare.data.splits import LabelledData
from raycompare.data.tokenize import add_padding, token_key, tokenize
from raycompare.data.tokens import Tokens, TokenSplit
from raycompare.experiment.spec import DataSpec
from tests.splits import LABELS, Load, rows
from tests.tiny import FILLER, SPECIAL, tokenizer_for

SEGMENTS = ["input_ids", "token_type_ids", "attention_mask"]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    """A tokenizer of words, with at most 64 tokens: two of them special, three for pairs."""
    made = tokenizer_for([*SPECIAL, *FILLER])
    made.model_input_names = SEGMENTS
    return made


def spec(**settings: Any) -> DataSpec:
    return DataSpec(dataset="unused", **settings)


def cut(data: LabelledData, tokenizer: PreTrainedTokenizerBase, max_length: int | str) -> Tokens:
    return tokenize(data, tokenizer, spec(max_length=max_length))


def splits_of(tokens: Tokens) -> list[TokenSplit]:
    return [tokens.train, tokens.validation, tokens.test]


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
    tokens = cut(long_and_short, tokenizer, 10)
    assert tokens.train.lengths.tolist() == [*range(3, 10), *[10] * 93]
    assert tokens.max_length == 10
    assert tokens.truncated_share == 92 / 104
    assert tokens.test[0]["input_ids"].tolist() == tokenizer("old")["input_ids"]
    assert tokens.train.labels.tolist() == long_and_short.train["label"][:]
    assert tokens.train.segments is None, "all are 0, the default"


def test_trials_know_the_rows_of_the_source(
    long_and_short: LabelledData, tokenizer: PreTrainedTokenizerBase
) -> None:
    tokens = cut(long_and_short, tokenizer, 10)
    data = add_padding(tokens, long_and_short, tokenizer, spec(padding="max_length"))
    assert data.example_ids.tolist() == [0, 1]
    assert data.padding.to == 10
    assert add_padding(tokens, long_and_short, tokenizer, spec()).padding.to is None


@pytest.mark.parametrize(
    ("asked", "resolved"), [("p1", 4), ("p50", 53), ("p99", 64), (64, 64), (65, 64), (10**6, 64)]
)
def test_max_length(
    long_and_short: LabelledData,
    tokenizer: PreTrainedTokenizerBase,
    asked: int | str,
    resolved: int,
) -> None:
    assert cut(long_and_short, tokenizer, asked).max_length == resolved


def test_percentiles_are_those_of_the_training_texts(
    load: Load, tokenizer: PreTrainedTokenizerBase
) -> None:
    other = sentences([30] * 4)
    data = load(train=sentences([3, 5, 4, 6]), validation=other, test=other)
    tokens = cut(data, tokenizer, "p100")
    assert (tokens.max_length, tokens.truncated_share) == (8, 8 / 12)


def test_max_length_needs_room_beside_the_special_tokens(
    load: Load, tokenizer: PreTrainedTokenizerBase
) -> None:
    pairs = rows(pair=["near"] * len(LABELS))
    assert cut(load(train=pairs), tokenizer, 3).max_length == 3
    with pytest.raises(DataProblems, match=r"data\.max_length\n.*3\n.*more than the 3 special"):
        cut(load({"text": ("text", "pair")}, train=pairs), tokenizer, 3)


def test_tokens_of_pairs(load: Load, tokenizer: PreTrainedTokenizerBase) -> None:
    pairs = {"text": ["old", "small"], "label": ["a", "b"], "pair": ["far", "near here"]}
    data = load({"text": ("text", "pair")}, train=pairs, validation=pairs, test=pairs)
    tokens = cut(data, tokenizer, 16)
    whole = tokenizer(pairs["text"], pairs["pair"])["input_ids"]
    assert [row["input_ids"].tolist() for row in tokens.test] == whole
    segments = tokens.test[1]["token_type_ids"]
    assert segments is not None
    assert segments.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_tokenizer_in_python_counts_the_same_as_cut(
    long_and_short: LabelledData,
    tokenizer: PreTrainedTokenizerBase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fast = cut(long_and_short, tokenizer, 10).truncated_share
    monkeypatch.setattr("transformers.BatchEncoding.encodings", None)
    assert cut(long_and_short, tokenizer, 10).truncated_share == fast


def test_tokens_survive_pickling_without_their_source(
    load: Load, tokenizer: PreTrainedTokenizerBase, tmp_path: object
) -> None:
    tokens = cut(load(train=sentences([*range(1, 51)] * 40)), tokenizer, 16)
    pickled = cloudpickle.dumps(tokens)
    assert str(tmp_path).encode() not in pickled
    again = cloudpickle.loads(pickled)
    for before, after in zip(splits_of(tokens), splits_of(again), strict=True):
        assert np.array_equal(after.ids, before.ids)
        assert np.array_equal(after.offsets, before.offsets)
    assert sum(map(len, splits_of(again))) == 2000


def test_tokenizing_prints_nothing(
    long_and_short: LabelledData,
    tokenizer: PreTrainedTokenizerBase,
    capfd: pytest.CaptureFixture[str],
) -> None:
    cut(long_and_short, tokenizer, "p99")
    assert capfd.readouterr() == ("", "")


def test_tokenizers_that_work_alike_have_one_key(
    long_and_short: LabelledData, tokenizer: PreTrainedTokenizerBase, tmp_path: Any
) -> None:
    tokenizer.save_pretrained(tmp_path / "elsewhere")
    other = type(tokenizer).from_pretrained(tmp_path / "elsewhere")
    other.model_input_names = SEGMENTS
    key = token_key(long_and_short, tokenizer, spec())
    tokenizer("old", truncation=True, max_length=4)  # which the tokenizer remembers
    assert token_key(long_and_short, other, spec()) == key
    assert token_key(long_and_short, tokenizer, spec()) == key


def test_a_key_changes_with_all_that_tokens_depend_on(
    load: Load, long_and_short: LabelledData, tokenizer: PreTrainedTokenizerBase
) -> None:
    cased = tokenizer_for([*SPECIAL, *reversed(FILLER)])
    left = tokenizer_for([*SPECIAL, *FILLER])
    left.padding_side = "left"
    other = load(train=sentences([2] * 50))
    keys = {
        token_key(long_and_short, tokenizer, spec()),
        token_key(long_and_short, tokenizer, spec(max_length=10)),
        token_key(long_and_short, tokenizer, spec(max_length="p99")),
        token_key(long_and_short, cased, spec()),
        token_key(long_and_short, left, spec()),
        token_key(other, tokenizer, spec()),
    }
    assert len(keys) == 6
    same = spec(max_length=64), spec(max_length=500)
    assert len({token_key(long_and_short, tokenizer, each) for each in same}) == 1


def test_a_tokenizer_in_python_has_a_key_of_its_files(
    long_and_short: LabelledData, tokenizer: PreTrainedTokenizerBase, monkeypatch: Any
) -> None:
    monkeypatch.setattr(type(tokenizer), "is_fast", False)
    first = token_key(long_and_short, tokenizer, spec())
    assert token_key(long_and_short, tokenizer, spec()) == first
    assert token_key(long_and_short, tokenizer_for([*SPECIAL, "other"]), spec()) != first

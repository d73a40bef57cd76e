"""Very long texts: the tokens that a model reads are those of the whole text."""

from __future__ import annotations

from random import Random

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from raycompare.serving.long_texts import SHORTEST, shorten
from tests.architectures import TOKENIZERS

LENGTH = 64
WORDS = [
    *("Stocks", "rose", "on", "Monday,", "na\u00efve", "caf\u00e9!", "12,345", "unbelievably"),
    *("\u65e5\u672c\u8a9e", "e\u0301", "\u200b", "...", "#tag"),
]


def long_text(seed: int) -> str:
    random = Random(seed)
    return " ".join(random.choice(WORDS) * random.randint(1, 3) for _ in range(6_000))


TEXTS = {
    "words": long_text(0),
    "one word": "ab" * 15_000,
    "one letter": "x" * 30_000,
    "spaces before": " " * 30_000 + long_text(1)[:1000],
    "spaces after": "a cat" + " " * 30_000,
    "unknown": "\U0001f600" * 10_000,
    "lines": "\n".join(long_text(2).split()),
    "no letters": "?!" * 15_000,
}


@pytest.mark.skipif(not TOKENIZERS.is_dir(), reason="no genuine tokenizers here")
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("name", ["bert-base-uncased", "roberta-base", "xlnet-base-cased"])
def test_the_tokens_are_those_of_the_whole_text(name: str, side: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(TOKENIZERS / name)
    tokenizer.truncation_side = side
    for kind, text in TEXTS.items():
        (short,) = shorten((text,), tokenizer, LENGTH)
        assert tokens(tokenizer, short) == tokens(tokenizer, text), kind
    assert len(shorten((TEXTS["words"],), tokenizer, LENGTH)[0]) <= SHORTEST


def tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, truncation=True, max_length=LENGTH)["input_ids"]
    return ids


@pytest.mark.skipif(not TOKENIZERS.is_dir(), reason="no genuine tokenizers here")
def test_texts_of_usual_length_and_short_sides_of_pairs_stay_as_they_are() -> None:
    tokenizer = AutoTokenizer.from_pretrained(TOKENIZERS / "bert-base-uncased")
    usual = TEXTS["words"][:SHORTEST]
    assert shorten((usual,), tokenizer, LENGTH) == (usual,)
    first, second = shorten(("a cat", TEXTS["words"]), tokenizer, LENGTH)
    assert first == "a cat"
    assert len(second) <= SHORTEST
    pair = tokenizer("a cat", TEXTS["words"], truncation=True, max_length=LENGTH)
    assert tokenizer(first, second, truncation=True, max_length=LENGTH) == pair

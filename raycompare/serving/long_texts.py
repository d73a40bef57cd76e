"""Cuts very long texts before they are tokenised, which takes seconds for a text of 1 MB."""

from __future__ import annotations

import re

from transformers import PreTrainedTokenizerBase

CHARACTERS_PER_TOKEN = 20
SHORTEST = 4096
"""Texts of fewer characters are not cut."""
GROWTH = 4
_SPACE = re.compile(r"\s")


def shorten(
    texts: tuple[str, ...], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> tuple[str, ...]:
    """Return a text, or both of a pair, without what is far beyond the tokens that are kept.

    A part of whole words is kept that has at least twice as many tokens as the model reads, so that
    the cut can't change those that it reads. Tokens in a very long word depend on its other end, so
    words are not cut.
    """
    return tuple(_shorten(text, tokenizer, max_length) for text in texts)


def _shorten(text: str, tokenizer: PreTrainedTokenizerBase, max_length: int) -> str:
    size = max(SHORTEST, CHARACTERS_PER_TOKEN * max_length)
    while size < len(text):
        part = _whole_words(text, size, tokenizer.truncation_side)
        tokens = tokenizer(part, add_special_tokens=False, truncation=False, verbose=False)
        if len(tokens["input_ids"]) >= 2 * max_length:
            return part
        size *= GROWTH
    return text


def _whole_words(text: str, size: int, truncated_side: str) -> str:
    """Return at most `size` characters from the end that is kept, up to white space."""
    if truncated_side == "left":
        first = _SPACE.search(text, len(text) - size)
        return text[first.start() :] if first else ""
    spaces = [match.start() for match in _SPACE.finditer(text, size // 2, size)]
    return text[: spaces[-1]] if spaces else ""

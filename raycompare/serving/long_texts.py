"""Cuts very long texts before they are tokenised, which takes seconds for a text of 1 MB."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

CHARACTERS_PER_TOKEN = 20
SHORTEST = 4096
"""Texts of fewer characters are not cut."""
GROWTH = 4


def shorten(
    texts: tuple[str, ...], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> tuple[str, ...]:
    """Return a text, or both of a pair, without what is far beyond the tokens that are kept.

    A part is kept that has at least twice as many tokens as the model reads, so that the cut can't
    change those that it reads: a tokenizer splits texts into words, and words from one end.
    """
    return tuple(_shorten(text, tokenizer, max_length) for text in texts)


def _shorten(text: str, tokenizer: PreTrainedTokenizerBase, max_length: int) -> str:
    size = max(SHORTEST, CHARACTERS_PER_TOKEN * max_length)
    while size < len(text):
        part = text[-size:] if tokenizer.truncation_side == "left" else text[:size]
        tokens = tokenizer(part, add_special_tokens=False, truncation=False, verbose=False)
        if len(tokens["input_ids"]) >= 2 * max_length:
            return part
        size *= GROWTH
    return text

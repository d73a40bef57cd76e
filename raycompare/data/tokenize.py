"""Tokenises labelled texts, once for each tokenizer and data set."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import numpy as np
import tokenizers
from datasets import Dataset
from transformers import BatchEncoding, PreTrainedTokenizerBase

from raycompare.data.problems import DataProblems, mistake
from raycompare.data.splits import PARTS, LabelledData, text_columns
from raycompare.data.tokens import Ints, Padding, TokenizedData, Tokens, TokenSplit
from raycompare.experiment.spec import UNLIMITED, DataSpec

BATCH = 1000
"""Texts per call of a tokenizer, which distributes them over all cores."""


def tokenize(data: LabelledData, tokenizer: PreTrainedTokenizerBase, spec: DataSpec) -> Tokens:
    """Tokenise texts, truncated to `spec.max_length` or to a percentile of the training lengths.

    Raises:
        DataProblems: `max_length` leaves no room for text besides the special tokens.
    """
    limit = min(_max_length(data, tokenizer, spec.max_length), tokenizer.model_max_length)
    special = tokenizer.num_special_tokens_to_add(pair="text_pair" in data.train.column_names)
    if limit <= special:
        allowed = f"more than the {special} special tokens of every text"
        raise DataProblems([mistake("data.max_length", str(limit), allowed)])
    parts = {part: _encode(getattr(data, part), tokenizer, limit) for part in PARTS}
    rows = sum(len(split) for split, _ in parts.values())
    truncated = sum(count for _, count in parts.values())
    splits = {part: split for part, (split, _) in parts.items()}
    return Tokens(**splits, max_length=limit, truncated_share=truncated / rows)


def add_padding(
    tokens: Tokens, data: LabelledData, tokenizer: PreTrainedTokenizerBase, spec: DataSpec
) -> TokenizedData:
    """Add the padding and the ids of the test examples to tokens, as trials need them."""
    return TokenizedData(
        train=tokens.train,
        validation=tokens.validation,
        test=tokens.test,
        padding=padding_of(tokenizer, tokens.max_length if spec.padding == "max_length" else None),
        max_length=tokens.max_length,
        truncated_share=tokens.truncated_share,
        example_ids=np.asarray(data.test["example_id"][:], dtype=np.int64),
    )


def token_key(data: LabelledData, tokenizer: PreTrainedTokenizerBase, spec: DataSpec) -> str:
    """Return a key for the content of tokens: 16 hexadecimal digits.

    Checkpoints with equivalent tokenizers have the same key, wherever they are stored.
    """
    limit = min(tokenizer.model_max_length, UNLIMITED)
    length = spec.max_length
    cut = min(length, limit) if isinstance(length, int) else [length, limit]
    facts = [data.content_hash, cut, tokenizers.__version__, tokenizer.truncation_side]
    text = json.dumps([*facts, asdict(padding_of(tokenizer))])
    return hashlib.sha256(text.encode() + _serialize(tokenizer)).hexdigest()[:16]


def padding_of(tokenizer: PreTrainedTokenizerBase, to: int | None = None) -> Padding:
    """Return the padding of a tokenizer, to the longest row of a batch or `to` a fixed length."""
    return Padding(
        token=tokenizer.pad_token_id or 0,
        segment=tokenizer.pad_token_type_id,
        side="left" if tokenizer.padding_side == "left" else "right",
        to=to,
    )


def _serialize(tokenizer: PreTrainedTokenizerBase) -> bytes:
    """Return everything that determines the tokens of a text."""
    if tokenizer.is_fast:
        settings = json.loads(tokenizer.backend_tokenizer.to_str())
        # These are settings of the latest call, not of the tokenizer.
        settings |= {"truncation": None, "padding": None}
        inputs = tokenizer.model_input_names
        return json.dumps([settings, inputs], sort_keys=True).encode()
    with tempfile.TemporaryDirectory() as folder:
        files = sorted(map(Path, tokenizer.save_pretrained(folder)))
        return b"".join(file.read_bytes() for file in files)


def _max_length(
    data: LabelledData, tokenizer: PreTrainedTokenizerBase, max_length: int | str
) -> int:
    if isinstance(max_length, int):
        return max_length
    encoded = (tokenizer(*texts, verbose=False) for texts in _batches(data.train))
    lengths = [len(ids) for batch in encoded for ids in batch["input_ids"]]
    return resolve_length(max_length, np.asarray(lengths))


def resolve_length(max_length: int | str, lengths: Ints) -> int:
    """Return a `max_length` in tokens; a value such as p99 is that percentile of the lengths."""
    if isinstance(max_length, int):
        return max_length
    percentile = int(max_length.removeprefix("p"))
    return int(np.percentile(lengths, percentile, method="higher"))


def _batches(split: Dataset) -> Iterator[list[list[str]]]:
    columns = text_columns(split)
    return ([batch[column] for column in columns] for batch in split.iter(batch_size=BATCH))


def _encode(split: Dataset, tokenizer: PreTrainedTokenizerBase, cut: int) -> tuple[TokenSplit, int]:
    """Return the tokens of a split, and how many of its texts were truncated."""
    ids: list[Ints] = []
    segments: list[Ints] = []
    lengths: list[int] = []
    truncated = 0
    for texts in _batches(split):
        batch = tokenizer(*texts, truncation=True, max_length=cut)
        lengths += map(len, batch["input_ids"])
        ids.append(_flat(batch["input_ids"], np.int32))
        segments.append(_flat(batch.get("token_type_ids", []), np.int8))
        truncated += _count_truncated(batch, texts, tokenizer, cut)
    flat = np.concatenate(segments)
    tokens = TokenSplit(
        ids=np.concatenate(ids),
        segments=flat if flat.any() else None,
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        labels=np.asarray(split["label"][:], dtype=np.int64),
    )
    return tokens, truncated


def _flat(rows: list[list[int]], kind: type[np.signedinteger]) -> Ints:
    return np.fromiter(chain.from_iterable(rows), dtype=kind)


def _count_truncated(
    batch: BatchEncoding, texts: list[list[str]], tokenizer: PreTrainedTokenizerBase, cut: int
) -> int:
    if batch.encodings is not None:  # a tokenizer in Rust keeps the tokens that it cut off
        return sum(bool(encoding.overflowing) for encoding in batch.encodings)
    full = [row for row, ids in enumerate(batch["input_ids"]) if len(ids) == cut]
    if not full:
        return 0
    whole = tokenizer(*([column[row] for row in full] for column in texts), verbose=False)
    return sum(len(ids) > cut for ids in whole["input_ids"])

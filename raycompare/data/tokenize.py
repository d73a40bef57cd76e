"""From labelled texts to tokens, once per tokenizer and data set."""

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
"""Texts that are handed to a tokenizer at once; it spreads them over all cores."""


def tokenize(data: LabelledData, tokenizer: PreTrainedTokenizerBase, spec: DataSpec) -> Tokens:
    """Turn texts into tokens, cut to `spec.max_length` or to a percentile of the training texts.

    Raises:
        DataProblems: `max_length` leaves no room for text beside the special tokens.
    """
    cut = min(_asked_length(data, tokenizer, spec.max_length), tokenizer.model_max_length)
    special = tokenizer.num_special_tokens_to_add(pair="text_pair" in data.train.column_names)
    if cut <= special:
        allowed = f"more than the {special} special tokens of every text"
        raise DataProblems([mistake("data.max_length", str(cut), allowed)])
    parts = {part: _encode(getattr(data, part), tokenizer, cut) for part in PARTS}
    rows = sum(len(split) for split, _ in parts.values())
    longer = sum(count for _, count in parts.values())
    splits = {part: split for part, (split, _) in parts.items()}
    return Tokens(**splits, max_length=cut, truncated_share=longer / rows)


def add_padding(
    tokens: Tokens, data: LabelledData, tokenizer: PreTrainedTokenizerBase, spec: DataSpec
) -> TokenizedData:
    """Add to tokens what trials need beside them: how to pad, and which examples are tested."""
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
    """Name the tokens by their content: 16 hexadecimal digits.

    Checkpoints whose tokenizers work alike have one key, wherever they are stored.
    """
    limit = min(tokenizer.model_max_length, UNLIMITED)
    asked = spec.max_length
    cut = min(asked, limit) if isinstance(asked, int) else [asked, limit]
    about = [data.content_hash, cut, tokenizers.__version__, tokenizer.truncation_side]
    told = json.dumps([*about, asdict(padding_of(tokenizer))])
    return hashlib.sha256(told.encode() + _description(tokenizer)).hexdigest()[:16]


def padding_of(tokenizer: PreTrainedTokenizerBase, to: int | None = None) -> Padding:
    """Say how a tokenizer fills the rows of a batch: up to the longest, or `to` so many tokens."""
    return Padding(
        token=tokenizer.pad_token_id or 0,
        segment=tokenizer.pad_token_type_id,
        side="left" if tokenizer.padding_side == "left" else "right",
        to=to,
    )


def _description(tokenizer: PreTrainedTokenizerBase) -> bytes:
    """Everything that decides which tokens a text has."""
    if tokenizer.is_fast:
        described = json.loads(tokenizer.backend_tokenizer.to_str())
        # The settings of the latest call, not of the tokenizer.
        described |= {"truncation": None, "padding": None}
        inputs = tokenizer.model_input_names
        return json.dumps([described, inputs], sort_keys=True).encode()
    with tempfile.TemporaryDirectory() as folder:
        files = sorted(map(Path, tokenizer.save_pretrained(folder)))
        return b"".join(file.read_bytes() for file in files)


def _asked_length(
    data: LabelledData, tokenizer: PreTrainedTokenizerBase, max_length: int | str
) -> int:
    if isinstance(max_length, int):
        return max_length
    encoded = (tokenizer(*texts, verbose=False) for texts in _batches(data.train))
    lengths = [len(ids) for batch in encoded for ids in batch["input_ids"]]
    return resolve_length(max_length, np.asarray(lengths))


def resolve_length(max_length: int | str, lengths: Ints) -> int:
    """Return a `max_length` in tokens; one such as p99 is that percentile of the lengths."""
    if isinstance(max_length, int):
        return max_length
    percentile = int(max_length.removeprefix("p"))
    return int(np.percentile(lengths, percentile, method="higher"))


def _batches(split: Dataset) -> Iterator[list[list[str]]]:
    columns = text_columns(split)
    return ([batch[column] for column in columns] for batch in split.iter(batch_size=BATCH))


def _encode(split: Dataset, tokenizer: PreTrainedTokenizerBase, cut: int) -> tuple[TokenSplit, int]:
    """Return the tokens of a split, and how many of its texts were cut."""
    ids: list[Ints] = []
    segments: list[Ints] = []
    lengths: list[int] = []
    longer = 0
    for texts in _batches(split):
        batch = tokenizer(*texts, truncation=True, max_length=cut)
        lengths += map(len, batch["input_ids"])
        ids.append(_flat(batch["input_ids"], np.int32))
        segments.append(_flat(batch.get("token_type_ids", []), np.int8))
        longer += _count_cut(batch, texts, tokenizer, cut)
    flat = np.concatenate(segments)
    tokens = TokenSplit(
        ids=np.concatenate(ids),
        segments=flat if flat.any() else None,
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        labels=np.asarray(split["label"][:], dtype=np.int64),
    )
    return tokens, longer


def _flat(rows: list[list[int]], kind: type[np.signedinteger]) -> Ints:
    return np.fromiter(chain.from_iterable(rows), dtype=kind)


def _count_cut(
    batch: BatchEncoding,
    texts: list[list[str]],
    tokenizer: PreTrainedTokenizerBase,
    cut: int,
) -> int:
    if batch.encodings is not None:  # a tokenizer in Rust keeps what it has cut off
        return sum(bool(encoding.overflowing) for encoding in batch.encodings)
    full = [row for row, ids in enumerate(batch["input_ids"]) if len(ids) == cut]
    if not full:
        return 0
    whole = tokenizer(*([column[row] for row in full] for column in texts), verbose=False)
    return sum(len(ids) > cut for ids in whole["input_ids"])

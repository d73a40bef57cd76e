"""Padding compared with that of transformers, for the tokenizers of eight checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer, DataCollatorWithPadding

from raycompare.data.splits import load_splits
from raycompare.data.tokenize import add_padding, tokenize
from raycompare.experiment.spec import DataSpec
from tests import SHARED
from tests.tiny import rows

TOKENIZERS = SHARED / "tokenizers"
NAMES = [
    "bert-base-cased",
    "bert-base-uncased",
    "roberta-base",
    "distilbert-base-uncased",
    "distilroberta-base",
    "xlnet-base-cased",
    "bert-base-multilingual-cased",
    "distilbert-base-multilingual-cased",
]
pytestmark = pytest.mark.skipif(not TOKENIZERS.is_dir(), reason=f"no tokenizers in {TOKENIZERS}")


@pytest.mark.parametrize("pairs", [False, True], ids=["texts", "pairs"])
@pytest.mark.parametrize("name", NAMES)
def test_batches_are_those_of_the_tokenizer(name: str, pairs: bool, tmp_path: Path) -> None:
    made = rows(40, seed=1)
    made["other"] = rows(40, seed=2)["text"]
    made.to_csv(tmp_path / "train.csv", index=False)
    columns = ("text", "other") if pairs else ("text",)
    spec = DataSpec(dataset=str(tmp_path), text=columns, max_length=14)
    data = load_splits(spec, seed=0)
    tokenizer = AutoTokenizer.from_pretrained(TOKENIZERS / name)
    ours = add_padding(tokenize(data, tokenizer, spec), data, tokenizer, spec)

    texts = [data.train[column][:] for column in ("text", "text_pair")[: len(columns)]]
    encoded = [
        tokenizer(*text, truncation=True, max_length=14) for text in zip(*texts, strict=True)
    ]
    labelled = [
        {**row, "labels": label} for row, label in zip(encoded, data.train["label"], strict=True)
    ]
    theirs = DataCollatorWithPadding(tokenizer)(labelled)
    batch = ours.padding.collate([ours.train[row] for row in range(len(ours.train))])
    assert set(theirs) >= set(batch)
    for key, tensor in batch.items():
        assert np.array_equal(tensor, theirs[key]), key
    left_out = set(theirs) - set(batch)
    assert all(not theirs[key].any() for key in left_out), "segments of 0 are what models assume"

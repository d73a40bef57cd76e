"""A model and a data set small enough to train in a second, made from nothing."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pandas as pd
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

WORDS = {
    "animals": ["cat", "dog", "horse", "cow", "hen"],
    "plants": ["oak", "rose", "moss", "fern", "elm"],
    "rocks": ["granite", "basalt", "slate", "marble", "chalk"],
}
FILLER = ["the", "a", "old", "small", "is", "here", "and", "there", "near", "far"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def save_tiny_bert(folder: Path) -> str:
    vocabulary = [*SPECIAL, *FILLER, *(word for words in WORDS.values() for word in words)]
    tokenizer_for(vocabulary).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return str(folder)


def tokenizer_for(vocabulary: list[str]) -> PreTrainedTokenizerFast:
    ids = {word: index for index, word in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
    )


def rows(count: int, seed: int) -> pd.DataFrame:
    """Make labelled sentences; the class shows in one word of three to twelve."""
    random = Random(seed)
    labels = [list(WORDS)[index % len(WORDS)] for index in range(count)]
    texts = []
    for label in labels:
        words = random.choices(FILLER, k=random.randint(2, 11))
        words.insert(random.randint(0, len(words)), random.choice(WORDS[label]))
        texts.append(" ".join(words))
    return pd.DataFrame({"text": texts, "label": labels})


def write_tiny_data(folder: Path) -> str:
    for seed, (split, count) in enumerate({"train": 120, "validation": 45, "test": 60}.items()):
        rows(count, seed).to_csv(folder / f"{split}.csv", index=False)
    return str(folder)

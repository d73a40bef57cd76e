"""Small models of every architecture with random weights, and the tokenizers they read with."""

from __future__ import annotations

from typing import Any

from tests import SHARED

TOKENIZERS = SHARED / "tokenizers"
"""Genuine tokenizers, without weights: a folder for each checkpoint."""

SIZE: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
WIDE: dict[str, Any] = {**SIZE, "intermediate_size": 32}
BERT: dict[str, Any] = {"model_type": "bert", **WIDE}
ROBERTA: dict[str, Any] = {"model_type": "roberta", **WIDE}
DISTILBERT: dict[str, Any] = {"model_type": "distilbert", **SIZE, "hidden_dim": 32}

ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert-base-cased": ("bert-base-cased", BERT),
    "bert-base-uncased": ("bert-base-uncased", BERT),
    "roberta-base": ("roberta-base", ROBERTA),
    "distilbert-base-uncased": ("distilbert-base-uncased", DISTILBERT),
    "distilroberta-base": ("distilroberta-base", ROBERTA),
    "xlnet-base-cased": (
        "xlnet-base-cased",
        {"model_type": "xlnet", **SIZE, "d_inner": 32},
    ),
    "bert-base-multilingual-cased": ("bert-base-multilingual-cased", BERT),
    "distilbert-base-multilingual-cased": ("distilbert-base-multilingual-cased", DISTILBERT),
    # No genuine tokenizer is at hand for these: BERT's WordPiece stands for those that end texts in
    # [SEP], RoBERTa's byte-level BPE for the others.
    "albert": ("bert-base-uncased", {"model_type": "albert", **WIDE, "embedding_size": 8}),
    "electra": ("bert-base-uncased", {"model_type": "electra", **WIDE, "embedding_size": 8}),
    "mpnet": ("bert-base-uncased", {"model_type": "mpnet", **WIDE}),
    "deberta-v3": (
        "bert-base-cased",
        {
            "model_type": "deberta-v2",
            **WIDE,
            "relative_attention": True,
            "position_buckets": 8,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
        },
    ),
    "modernbert": ("roberta-base", {"model_type": "modernbert", **WIDE}),
    "xlm-roberta": ("roberta-base", {"model_type": "xlm-roberta", **WIDE}),
    "t5": (
        "roberta-base",
        {"model_type": "t5", "d_model": 16, "num_layers": 2, "num_heads": 2, "d_kv": 8, "d_ff": 32},
    ),
    "bart": (
        "roberta-base",
        {
            "model_type": "bart",
            "d_model": 16,
            **{f"{side}_layers": 2 for side in ("encoder", "decoder")},
            **{f"{side}_attention_heads": 2 for side in ("encoder", "decoder")},
            **{f"{side}_ffn_dim": 32 for side in ("encoder", "decoder")},
        },
    ),
    "gpt2": ("roberta-base", {"model_type": "gpt2", **SIZE}),
    "llama": ("roberta-base", {"model_type": "llama", **WIDE, "num_key_value_heads": 2}),
    "qwen2": ("roberta-base", {"model_type": "qwen2", **WIDE, "num_key_value_heads": 2}),
}
"""By what the tests call them: the folder of the tokenizer, and the config."""


def random_model(name: str, **fields: Any) -> dict[str, Any]:
    """Return a model as an experiment file has it."""
    folder, config = ARCHITECTURES[name]
    checkpoint = str(TOKENIZERS / folder)
    return {"name": name, "checkpoint": checkpoint, "init": "random", "config": config, **fields}

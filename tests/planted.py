"""Mistakes in hyperparameters to plant in a file that is right otherwise."""

from __future__ import annotations

from typing import Any

UNIFORM = {"uniform": [0.0, 0.3]}

# key to set, value to set it to, where the message must point, what it must say
HYPERPARAMETERS: dict[str, tuple[str, Any, str, str]] = {
    "a list, not a range": (
        "search_space.weight_decay",
        [0.1, 0.2],
        "search_space.weight_decay",
        "{choice: [a, b]}",
    ),
    "a constant of a wrong value": (
        "search_space.weight_decay",
        -0.1,
        "search_space.weight_decay",
        ">= 0",
    ),
    "a constant nothing reads": (
        "search_space.wieght_decay",
        0.1,
        "search_space.wieght_decay",
        "did you mean 'weight_decay'?",
    ),
    "a field of the config without its prefix": (
        "search_space.hidden_dropout_prob",
        UNIFORM,
        "search_space.hidden_dropout_prob",
        "config.hidden_dropout_prob",
    ),
    "a field the config lacks": (
        "search_space",
        {"config.hiden_dropout_prob": UNIFORM},
        "search_space.config.hiden_dropout_prob",
        "did you mean 'hidden_dropout_prob'?",
    ),
    "a field that only another model has": (
        "search_space",
        {"config.seq_classif_dropout": UNIFORM},
        "search_space.config.seq_classif_dropout",
        "which BertConfig of tiny does not have",
    ),
    "a field of one model": (
        "models.0.search_space",
        {"config.seq_classif_dropout": UNIFORM},
        "models.0.search_space.config.seq_classif_dropout",
        "BertConfig of tiny",
    ),
    "a field settled elsewhere": (
        "training",
        {"config.num_labels": 3},
        "training.config.num_labels",
        "data.label_names",
    ),
    "a field of the tokenizer": (
        "models.0.config",
        {"vocab_size": 7},
        "models.0.config.vocab_size",
        "tokenizer",
    ),
    "a field of another type": (
        "search_space",
        {"config.hidden_dropout_prob": {"choice": [0.1, "high"]}},
        "search_space.config.hidden_dropout_prob",
        "of the same type as its default 0.1",
    ),
    "a field without a value takes numbers": (
        "search_space",
        {"config.classifier_dropout": "high"},
        "search_space.config.classifier_dropout",
        "a number",
    ),
    "a field of another type of one model": (
        "models.0.config",
        {"num_hidden_layers": "two"},
        "models.0.config.num_hidden_layers",
        "of the same type as its default 2",
    ),
    "a field out of its range": (
        "search_space",
        {"config.hidden_dropout_prob": {"uniform": [0, 1.5]}},
        "search_space.config.hidden_dropout_prob",
        "dropout probability",
    ),
    "fields that do not go together": (
        "search_space",
        {"config.hidden_dropout_prob": 0.2, "config.num_attention_heads": {"randint": [1, 5]}},
        "search_space.config.num_attention_heads",
        "config.num_attention_heads = 3",
    ),
    "a field that replaces the pretrained weights": (
        "search_space",
        {"config.hidden_size": {"choice": [16, 32]}},
        "search_space.config.hidden_size",
        "pretrained weights would be random",
    ),
    "layers that are not pretrained": (
        "models.0.config",
        {"num_hidden_layers": 3},
        "models.0.config.num_hidden_layers",
        "pretrained weights would be random",
    ),
    "more frozen layers than there are": (
        "search_space.freeze_layers",
        {"randint": [0, 4]},
        "search_space.freeze_layers",
        "from 0 to 2",
    ),
    "more frozen layers than there are left": (
        "search_space",
        {
            "config.num_hidden_layers": {"choice": [1, 2]},
            "freeze_layers": {"choice": [0, 2]},
        },
        "search_space.freeze_layers",
        "freeze_layers = 2, config.num_hidden_layers = 1",
    ),
    "fewer than no layers": ("training.freeze_layers", -1, "training.freeze_layers", ">= 0"),
    "half a layer": (
        "search_space.freeze_layers",
        UNIFORM,
        "search_space.freeze_layers",
        "integer",
    ),
    "unknown pooling": (
        "search_space.pooling",
        {"choice": ["cls", "maen"]},
        "search_space.pooling",
        "did you mean 'mean'?",
    ),
    "any length of texts": (
        "search_space.max_length",
        {"randint": [16, 64]},
        "search_space.max_length",
        "tokenised once for each",
    ),
    "a length of no text": (
        "search_space.max_length",
        {"choice": [2, 16]},
        "search_space.max_length",
        ">= 3",
    ),
    "a search over logging": (
        "search_space.logging_steps",
        {"randint": [1, 9]},
        "search_space.logging_steps",
        "records every evaluation",
    ),
    "a search over saving": (
        "search_space.save_only_model",
        {"choice": [True, False]},
        "search_space.save_only_model",
        "keeps the best checkpoint",
    ),
    "epochs beside steps": (
        "search_space",
        {"num_train_epochs": {"choice": [1, 2]}, "max_steps": 20},
        "search_space.num_train_epochs",
        "max_steps is 20",
    ),
    "moments that sgd does not have": (
        "search_space",
        {"adam_beta2": UNIFORM, "optim": {"choice": ["sgd", "adafactor"]}},
        "search_space.adam_beta2",
        "optim is sgd or adafactor",
    ),
    "an epsilon that adafactor does not have": (
        "search_space",
        {"adam_epsilon": {"uniform": [1e-9, 1e-6]}, "optim": "adafactor"},
        "search_space.adam_epsilon",
        "optim is adafactor",
    ),
    "warmup to a constant rate": (
        "search_space",
        {"warmup_steps": {"randint": [0, 9]}, "lr_scheduler_type": "constant"},
        "search_space.warmup_steps",
        "lr_scheduler_type is constant",
    ),
    "settings of a schedule that has none": (
        "search_space",
        {
            "lr_scheduler_kwargs": {"choice": [{"num_cycles": 1}, {"num_cycles": 2}]},
            "lr_scheduler_type": "constant_with_warmup",
        },
        "search_space.lr_scheduler_kwargs",
        "lr_scheduler_type is constant_with_warmup",
    ),
    "a threshold without patience": (
        "training.early_stopping_threshold",
        0.1,
        "training.early_stopping_threshold",
        "without early_stopping_patience",
    ),
}

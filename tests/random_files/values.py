"""Values for the keys of random experiment files: those that work, and odd ones that may not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Values(NamedTuple):
    """What a key is set to."""

    plain: tuple[Any, ...]
    """Values that work, unless another key contradicts them."""
    odd: tuple[Any, ...] = ()
    """Values that `check` may refuse; if it doesn't, they must work too."""
    ranges: tuple[dict[str, Any], ...] = ()
    """Ranges to search."""


TRAINING: Mapping[str, Values] = {
    "num_train_epochs": Values((0.4, 1, 1.7), (0, 0.01), ({"uniform": [0.5, 1.5]},)),
    "max_steps": Values((3, 5, 8), (1, 0, -2), ({"randint": [3, 9]}, {"qrandint": [2, 8, 2]})),
    "per_device_train_batch_size": Values(
        (8, 16, 40, 7), (500, 1, 0), ({"choice": [8, 16, 32]}, {"qlograndint": [8, 32, 8]})
    ),
    "per_device_train_batch_tokens": Values((100, 250), (20, 5000), ({"choice": [150, 300]},)),
    "per_device_eval_batch_size": Values((7, 64), (1000, 0), ()),
    "gradient_accumulation_steps": Values((1, 2), (7, 100, 0), ({"choice": [1, 2]},)),
    "eval_accumulation_steps": Values((1, 3, None), (0,), ()),
    "learning_rate": Values(
        (1e-3, 5e-4), (0, -1e-3, 50), ({"loguniform": [1e-4, 1e-2]}, {"normal": [1e-2, 1e-3]})
    ),
    "weight_decay": Values((0, 0.1), (-1, 5), ({"quniform": [0, 0.4, 0.1]}, {"grid": [0, 0.1]})),
    "warmup_steps": Values((0, 2, 0.25), (0.99, 2.5, 10**6), ({"uniform": [0, 0.5]},)),
    "max_grad_norm": Values((0.5, 1), (0, 1e-9), ({"lograndint": [1, 4]},)),
    "adam_beta1": Values((0.8, 0.9), (0, 1), ({"uniform": [0.8, 0.95]},)),
    "adam_beta2": Values((0.99,), (1.0,), ()),
    "adam_epsilon": Values((1e-8, 1e-6), (0, 1), ()),
    "optim": Values(
        ("adamw_torch", "adamw_torch_fused", "sgd", "adagrad", "rmsprop", "adafactor"),
        ("lion_8bit", "stable_adamw", "lomo", "adam", "galore_adamw"),
        ({"choice": ["adamw_torch", "adafactor"]},),
    ),
    "optim_args": Values(("",), ("momentum=0.9", "nesterov=true", "eps=0.1", "alpha=2", "junk")),
    "lr_scheduler_type": Values(
        ("linear", "cosine", "constant", "constant_with_warmup", "inverse_sqrt", "polynomial"),
        (
            *("cosine_with_min_lr", "warmup_stable_decay", "reduce_lr_on_plateau", "greedy"),
            *("cosine_with_restarts", "cosine_warmup_with_min_lr", "step"),
        ),
        ({"choice": ["linear", "cosine"]},),
    ),
    "lr_scheduler_kwargs": Values(
        ({},),
        (
            *({"num_cycles": 2}, {"num_cycles": -1}, {"lr_end": 1e-9}, {"power": 0}, {"foo": 1}),
            *({"min_lr": 1e-6}, {"min_lr_rate": 0.1}, {"min_lr_rate": 2, "min_lr": 1}),
            *({"num_decay_steps": 2}, {"num_decay_steps": 50}, {"timescale": 0}, "x.json"),
        ),
    ),
    "label_smoothing_factor": Values((0, 0.1), (0.99, 1), ({"uniform": [0, 0.2]},)),
    "neftune_noise_alpha": Values((None, 5.0), (0,), ()),
    "full_determinism": Values((True, False)),
    "bf16": Values((False,), (True,)),
    "fp16": Values((False,), (True,)),
    "tf32": Values((False, None), (True,)),
    "use_cpu": Values((True,)),
    "gradient_checkpointing": Values((True, False)),
    "gradient_checkpointing_kwargs": Values((None,), ({}, {"use_reentrant": True}, {"foo": 1})),
    "activation_checkpointing": Values((True, False, None)),
    "activation_checkpointing_kwargs": Values(
        ({},), ({"use_reentrant": True}, {"every_n_layers": 0}, {"offload": True}, {"foo": 1}, "x")
    ),
    "torch_empty_cache_steps": Values((None, 1, 5), (0,)),
    "eval_strategy": Values(("steps", "epoch"), ("no", "never")),
    "eval_steps": Values((1, 2, 0.5), (1.0, 0.001, 50, 0), ()),
    "eval_delay": Values((0, 1), (3.5, 100), ()),
    "train_sampling_strategy": Values(
        ("random", "sequential", "group_by_length"), ("batch_rebalance", "sorted"), ()
    ),
    "dataloader_drop_last": Values((True, False)),
    "dataloader_pin_memory": Values((False,), (True,)),
    "dataloader_prefetch_factor": Values((None,), (2,)),
    "class_weights": Values(
        ("balanced", "none"), ("inverse",), ({"choice": ["balanced", "none"]},)
    ),
    "freeze_layers": Values((0, 1), (2, 5), ({"randint": [0, 2]},)),
    "pooling": Values(("cls", "mean", "max"), ("last",), ({"choice": ["cls", "mean"]},)),
    "max_length": Values((8, 16), (3, 2, 100), ({"choice": [8, 16]},)),
    "early_stopping_patience": Values((1, 3), (0, 1.5), ()),
    "early_stopping_threshold": Values((0, 0.1), (-1,), ()),
    "config.hidden_dropout_prob": Values((0.0, 0.2), (2,), ({"uniform": [0, 0.3]},)),
    "config.num_hidden_layers": Values((1, 2), (3, 0), ({"randint": [1, 3]},)),
    "warmup_ratio": Values((), (0.1,)),
    "output_dir": Values((), ("x",)),
    "learning_rte": Values((), (0.1,)),
}

SEARCH: Mapping[str, Values] = {
    "scheduler": Values(
        ("asha", "pooled-asha", "pasha", "top-k-after-first-rung", "median", "fifo"), ("hyperband",)
    ),
    "search_alg": Values(("random", "grid", "optuna"), ("hyperopt",)),
}

TUNE: Mapping[str, Values] = {
    "num_samples": Values((3, 4), (1, 0)),
    "metric": Values(("matthews_correlation", "accuracy", "macro_f1", "loss"), ("auc", "f1")),
    "time_attr": Values(("steps", "examples"), ("epochs",)),
    "grace_period": Values((1, 2), (0, 16, 10**6)),
    "reduction_factor": Values((2, 3), (1,)),
    "top_k": Values((1, 2), (0,)),
    "max_concurrent_trials": Values((1, 2), (0,)),
    "min_trials_per_model": Values((1, 2), (0,)),
    "max_trials": Values((4, 6), (0, 1)),
    "time_budget_s": Values((3600,), (0,)),
    "max_usd": Values((), (5,)),
}

OTHER: Mapping[str, Values] = {
    "seed": Values((0, 7), (-1,)),
    "confirm": Values(
        ({"seeds": [1]}, {"seeds": [1, 2]}, {"seeds": "auto", "most": 3}, {"margin": 0.02}),
        ({"seeds": []}, {"seeds": [1, 1]}, {"first": 5, "most": 3, "seeds": "auto"}),
    ),
    "screen": Values(({"keep": 1},), ({"keep": 0}, {"keep": 9})),
    "baselines": Values(([], ["tf-idf"]), (["bow"],)),
    "inference": Values(({"measure": False}, {"texts": 5}), ({"texts": 0},)),
    "failure": Values(({"checkpoint_every_s": 1}, {"max_failures": 0}), ({"max_failures": -1},)),
    "cost": Values(({"usd_per_hour": 2}, {"instance": "g5.xlarge"}), ({"instance": "g5.huge"},)),
    "report": Values(({"texts": True},), ({"texts": "yes"},)),
    "trackers": Values(([], ["tensorboard"]), (["comet"],)),
    "resources": Values(({"cpu": 1}, {"cpu": 2}, "auto", {"gpu": 0}), ({"gpu": 2}, {"cpu": 0})),
}

DATA: Mapping[str, Values] = {
    "max_length": Values((16, 32, "p90"), (3, 2, "p0", 65)),
    "padding": Values(("longest", "max_length"), ("left",)),
    "limit": Values(({"train": 60}, {"test": 30, "validation": 20}), ({"train": 4}, {"train": 1})),
    "label_map": Values(({"rocks": "stones"},), ({"rocks": "plants"}, {"sand": "rocks"})),
}

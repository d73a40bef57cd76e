"""What becomes of each field of transformers' TrainingArguments in a trial.

Every field of the installed transformers is in `FIELDS`, so that none is accepted unread: a trial
uses it, raycompare sets it, or it is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from raycompare.experiment.hyperparameters import MAX_LENGTH, PATIENCE
from raycompare.experiment.spec import SHORTEST
from raycompare.models.heads import FREEZE
from raycompare.training.arguments import TEXTS, THRESHOLD, TOKENS


class Fate(Enum):
    """What becomes of a field."""

    USED = "used"
    """Trials use it; it can be set and searched."""
    SETTLED = "settled"
    """raycompare decides it, or it would break something that trials rely on."""
    UNREAD = "unread"
    """Nothing in a trial would read it."""


@dataclass(frozen=True)
class FieldUse:
    """What becomes of a field, and what to do instead of setting it."""

    fate: Fate
    instead: str = ""


def _used(*names: str) -> dict[str, FieldUse]:
    return dict.fromkeys(names, FieldUse(Fate.USED))


def _settled(instead: str, *names: str) -> dict[str, FieldUse]:
    return dict.fromkeys(names, FieldUse(Fate.SETTLED, instead))


def _unread(instead: str, *names: str) -> dict[str, FieldUse]:
    return dict.fromkeys(names, FieldUse(Fate.UNREAD, instead))


_ONE_PROCESS = "a trial runs in one process; remove it"
_SAME_END = "a resumed trial must end with the numbers of one that was not interrupted; remove it"

FIELDS: Mapping[str, FieldUse] = {
    **_used("num_train_epochs", "max_steps", "gradient_accumulation_steps"),
    **_used(TEXTS, "per_device_eval_batch_size", "eval_accumulation_steps"),
    **_used("learning_rate", "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps"),
    **_used("optim", "optim_args", "optim_target_modules", "weight_decay", "max_grad_norm"),
    **_used("adam_beta1", "adam_beta2", "adam_epsilon"),
    **_used("label_smoothing_factor", "neftune_noise_alpha", "full_determinism"),
    **_used("bf16", "fp16", "tf32", "use_cpu"),
    **_used("activation_checkpointing", "activation_checkpointing_kwargs"),
    **_used("gradient_checkpointing", "gradient_checkpointing_kwargs"),
    **_used("torch_compile", "torch_compile_backend", "torch_compile_mode"),
    **_used("torch_empty_cache_steps"),
    **_used("eval_strategy", "eval_steps", "eval_delay", "train_sampling_strategy"),
    **_used("dataloader_drop_last", "dataloader_num_workers", "dataloader_pin_memory"),
    **_used("dataloader_prefetch_factor"),
    **_settled("use `raycompare run --out DIR` instead", "output_dir"),
    **_settled(
        "set `seed` (tune stage) and `confirm.seeds` at the top of the file instead",
        *("seed", "data_seed"),
    ),
    **_settled("set `tune.metric` instead", "metric_for_best_model", "greater_is_better"),
    **_settled(
        "raycompare keeps the best checkpoint of each finalist itself, and all that a lost trial "
        "needs to continue (`failure.checkpoint_every_s`); remove it",
        *("load_best_model_at_end", "save_strategy", "save_steps", "save_total_limit"),
        *("save_only_model", "save_on_each_node", "enable_jit_checkpoint"),
    ),
    **_settled(
        "raycompare records every evaluation in the run folder; remove it",
        *("report_to", "run_name", "disable_tqdm", "project"),
        *("trackio_space_id", "trackio_bucket_id", "trackio_static_space_id"),
        *("logging_strategy", "logging_steps", "logging_first_step", "log_level"),
        *("include_num_input_tokens_seen", "skip_memory_metrics"),
    ),
    **_settled(
        "a loss that is not finite ends a trial as diverged; remove it", "logging_nan_inf_filter"
    ),
    **_settled("every trial trains; remove it", "do_train"),
    **_settled("every trial is evaluated; remove it", "do_eval"),
    **_settled("finalists are tested once; remove it", "do_predict"),
    **_settled(
        "the metrics need the predictions of all rows at once; remove it",
        *("prediction_loss_only", "batch_eval_metrics", "eval_do_concat_batches"),
    ),
    **_settled("raycompare selects the columns itself; remove it", "remove_unused_columns"),
    **_settled("use `data.label_names` instead", "label_names"),
    **_settled(
        "raycompare uploads nothing to a hub; upload the winner yourself",
        *("push_to_hub", "hub_token", "hub_model_id", "hub_strategy", "hub_private_repo"),
        *("hub_always_push", "hub_revision"),
    ),
    **_settled("use `raycompare run --resume RUN_DIR` instead", "resume_from_checkpoint"),
    **_settled(
        _SAME_END,
        *("ignore_data_skip", "restore_callback_states_from_checkpoint"),
        *("dataloader_persistent_workers", "dataloader_in_order"),
    ),
    **_settled(
        "a trial is first evaluated after it has trained; remove it, and see `eval_steps` for "
        "early evaluations",
        "eval_on_start",
    ),
    **_settled(
        "if memory runs out, fewer texts are computed at once, with the same effective batch; "
        "remove it",
        "auto_find_batch_size",
    ),
    **_settled(
        "evaluations are computed as in training; use `bf16` or `fp16` instead",
        *("bf16_full_eval", "fp16_full_eval"),
    ),
    **_settled(
        "a worker trains several models one after another, and this changes the code of all of "
        "them; remove it",
        *("use_liger_kernel", "liger_kernel_config"),
    ),
    **_settled("it stops a single training to debug it by hand; remove it", "debug"),
    **_settled(
        "it changes how many texts a step has, or is meant for several processes; remove it",
        "accelerator_config",
    ),
    **_unread(
        _ONE_PROCESS,
        *("deepspeed", "fsdp", "fsdp_config", "local_rank", "parallelism_config"),
        *("ddp_find_unused_parameters", "ddp_bucket_cap_mb", "ddp_broadcast_buffers"),
        *("ddp_static_graph", "ddp_backend", "ddp_timeout", "average_tokens_across_devices"),
        *("eval_use_gather_object", "log_on_each_node", "log_level_replica"),
    ),
    **_unread("the metrics are computed from predictions and labels", "include_for_metrics"),
    **_unread("a classifier reads each text once; remove it", "use_cache"),
    **_unread("lengths are counted from the tokens; remove it", "length_column_name"),
    **_unread(
        "the texts are in memory, and the default works; remove it",
        "dataloader_multiprocessing_context",
    ),
}
"""Every field of TrainingArguments."""

_BY_EVALUATIONS = (
    "a schedule that depends on the step alone, such as linear or cosine: this one depends on when "
    "a trial is evaluated, which differs between the tune and the confirm stage"
)
_EACH_BACKWARD = (
    "an optimizer that takes one step for each batch: this one changes the weights in each "
    "backward pass, and a batch may be computed in several parts"
)
REFUSED_VALUES: Mapping[tuple[str, str], str] = {
    ("lr_scheduler_type", "reduce_lr_on_plateau"): _BY_EVALUATIONS,
    ("lr_scheduler_type", "greedy"): _BY_EVALUATIONS,
    ("optim", "lomo"): _EACH_BACKWARD,
    ("optim", "adalomo"): _EACH_BACKWARD,
    ("optim", "galore_adamw_layerwise"): _EACH_BACKWARD,
    ("optim", "galore_adamw_8bit_layerwise"): _EACH_BACKWARD,
    ("optim", "galore_adafactor_layerwise"): _EACH_BACKWARD,
    ("optim", "apollo_adamw_layerwise"): _EACH_BACKWARD,
    ("eval_strategy", "no"): "steps or epoch: trials without evaluations can't be compared",
    ("train_sampling_strategy", "batch_rebalance"): (
        "random, sequential or group_by_length: this one balances several processes, and a trial "
        "runs in one"
    ),
}
"""Values of used fields that transformers knows but trials can't work with; what is allowed."""

CHOICES: Mapping[str, tuple[str, ...]] = {
    "torch_compile_backend": ("inductor", "eager", "aot_eager"),
    "torch_compile_mode": (
        *("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"),
    ),
}
"""Values of fields that transformers takes any text for, without those that need a package."""

OPTIM_ARGS: Mapping[str, tuple[str, ...]] = {
    "sgd": ("momentum", "dampening", "weight_decay", "nesterov"),
    "adagrad": ("lr_decay", "weight_decay", "eps"),
    "rmsprop": ("momentum", "alpha", "eps", "weight_decay", "centered"),
}
"""Keys of `optim_args` that transformers reads for an optimizer; it ignores others."""

_LOGGED = "remove it; raycompare records every evaluation in the run folder"
RENAMED: Mapping[str, str] = {
    **dict.fromkeys(("evaluation_strategy", "evaluate_during_training"), "use eval_strategy"),
    "group_by_length": "use train_sampling_strategy: group_by_length",
    "warmup_ratio": "use warmup_steps; a number below 1 is a share of all steps",
    **dict.fromkeys(("no_cuda", "use_cuda", "device"), "use use_cpu: true to train without a GPU"),
    **dict.fromkeys(("adafactor", "optimizer"), "use optim, such as optim: adafactor"),
    **dict.fromkeys(("lr", "rate"), "use learning_rate"),
    **dict.fromkeys(("lr_scheduler", "scheduler", "schedule"), "use lr_scheduler_type"),
    **dict.fromkeys(("epochs", "num_epochs", "max_epochs", "n_epochs"), "use num_train_epochs"),
    **dict.fromkeys(("steps", "num_steps", "num_train_steps"), "use max_steps"),
    **dict.fromkeys(("batch_size", "train_batch_size", "per_gpu_train_batch_size"), f"use {TEXTS}"),
    **dict.fromkeys(
        ("eval_batch_size", "per_gpu_eval_batch_size"), "use per_device_eval_batch_size"
    ),
    **dict.fromkeys(("patience", "early_stopping"), f"use {PATIENCE}"),
    **dict.fromkeys(("clip_grad_norm", "gradient_clipping", "grad_clip"), "use max_grad_norm"),
    **dict.fromkeys(("accumulate_grad_batches",), "use gradient_accumulation_steps"),
    **dict.fromkeys(
        ("fp16_backend", "half_precision_backend", "fp16_opt_level", "mixed_precision"),
        "use bf16 or fp16",
    ),
    "torchdynamo": "use torch_compile_backend",
    **dict.fromkeys(
        ("logging_dir", "eval_accumulation", "include_tokens_per_second", "prediction_loss"),
        _LOGGED,
    ),
    **dict.fromkeys(
        ("overwrite_output_dir", "save_safetensors"),
        "remove it; every run has its own folder, with safetensors",
    ),
    "past_index": "remove it; a classifier reads each text once",
    "include_inputs_for_metrics": "remove it; metrics are computed from predictions and labels",
    **dict.fromkeys(
        (
            *("jit_mode_eval", "use_ipex", "use_mps_device", "mp_parameters", "ray_scope"),
            *("tpu_num_cores", "tpu_metrics_debug", "sharded_ddp", "xpu_backend"),
            *("fsdp_min_num_params", "fsdp_transformer_layer_cls_to_wrap"),
            *("dispatch_batches", "split_batches", "use_legacy_prediction_loop"),
        ),
        "remove it; transformers no longer has it, and a trial runs in one process",
    ),
    **dict.fromkeys(
        ("push_to_hub_model_id", "push_to_hub_organization", "push_to_hub_token"),
        "remove it; raycompare uploads nothing to a hub",
    ),
}
"""Names that TrainingArguments once had, or that other libraries use, with what to do instead."""


@dataclass(frozen=True)
class Limit:
    """The numbers that a hyperparameter can be."""

    words: str
    allows: Callable[[float], bool]


_ABOVE_ZERO = Limit("a number above 0", lambda value: value > 0)
_NOT_BELOW_ZERO = Limit("a number >= 0", lambda value: value >= 0)
_SHARE = Limit("a number from 0 to below 1", lambda value: 0 <= value < 1)
_STEPS = "a share of all steps below 1, or a whole number of steps"

LIMITS: Mapping[str, Limit] = {
    **dict.fromkeys(("learning_rate", "num_train_epochs", TEXTS, TOKENS), _ABOVE_ZERO),
    **dict.fromkeys(("per_device_eval_batch_size", "gradient_accumulation_steps"), _ABOVE_ZERO),
    **dict.fromkeys(("eval_accumulation_steps", "torch_empty_cache_steps"), _ABOVE_ZERO),
    **dict.fromkeys(("dataloader_prefetch_factor", "adam_epsilon", PATIENCE), _ABOVE_ZERO),
    **dict.fromkeys(("weight_decay", "max_grad_norm"), _NOT_BELOW_ZERO),
    **dict.fromkeys(("neftune_noise_alpha", "eval_delay"), _NOT_BELOW_ZERO),
    **dict.fromkeys(("dataloader_num_workers", THRESHOLD, FREEZE), _NOT_BELOW_ZERO),
    **dict.fromkeys(("adam_beta1", "adam_beta2", "label_smoothing_factor"), _SHARE),
    "max_steps": Limit(
        "a number above 0, or -1 for num_train_epochs", lambda value: value > 0 or value == -1
    ),
    "warmup_steps": Limit(f"{_STEPS}, from 0", lambda value: value >= 0 and _is_steps(value)),
    "eval_steps": Limit(f"{_STEPS}, above 0", lambda value: value > 0 and _is_steps(value)),
    MAX_LENGTH: Limit(f"a number of tokens >= {SHORTEST}", lambda value: value >= SHORTEST),
}
"""Limits of numbers that their types do not have."""


def _is_steps(value: float) -> bool:
    return value < 1 or float(value).is_integer()

"""Checks of `training` and `search_space` before anything starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from functools import cache
from typing import Any, get_args, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from transformers import TrainingArguments

from raycompare.errors import Problem, near, one_of
from raycompare.experiment.hyperparameters import MAX_LENGTH
from raycompare.experiment.space import CONFIG, Domain, SearchSpace
from raycompare.experiment.spec import SHORTEST, Arguments
from raycompare.models.heads import FREEZE, POOLING, POOLINGS, SETTLED
from raycompare.training.arguments import OWN, TEXTS, TOKENS, _is_ours
from raycompare.training.class_weights import CLASS_WEIGHTS, WEIGHTINGS

_SEED = "set `seed` (tune stage) and `confirm.seeds` at the top of the file instead"
_METRIC = "set `tune.metric` instead"
_KEPT = "raycompare keeps the best checkpoint of each finalist itself; remove it"
_LOGGED = "raycompare records every evaluation in the run folder; remove it"
_HUB = "raycompare uploads nothing to a hub; upload the winner yourself"

RESERVED: Mapping[str, str] = {
    "output_dir": "use `raycompare run --out DIR` instead",
    "seed": _SEED,
    "data_seed": _SEED,
    "metric_for_best_model": _METRIC,
    "greater_is_better": _METRIC,
    "load_best_model_at_end": _KEPT,
    "save_strategy": _KEPT,
    "save_steps": _KEPT,
    "save_total_limit": _KEPT,
    "report_to": _LOGGED,
    "run_name": _LOGGED,
    "disable_tqdm": _LOGGED,
    "do_train": "every trial trains; remove it",
    "do_eval": "every trial is evaluated; remove it",
    "do_predict": "finalists are tested once; remove it",
    "prediction_loss_only": "the metrics need the predictions; remove it",
    "remove_unused_columns": "raycompare selects the columns itself; remove it",
    "label_names": "use `data.label_names` instead",
    "push_to_hub": _HUB,
    "hub_token": _HUB,
    "hub_model_id": _HUB,
    "resume_from_checkpoint": "use `raycompare run --resume RUN_DIR` instead",
    "deepspeed": "a trial runs in one process; remove it",
    "fsdp": "a trial runs in one process; remove it",
    "local_rank": "a trial runs in one process; remove it",
}
"""Fields that can't be set, and what to do instead."""

UNTRAINED = ("hub_", "log_", "logging_", "save_", "trackio_")
"""Prefixes of fields for logs, files and hubs, which can't be searched."""
UNTRAINED_TOO = (
    *("enable_jit_checkpoint", "include_num_input_tokens_seen", "project"),
    *("restore_callback_states_from_checkpoint", "skip_memory_metrics"),
)

ABOVE_ZERO = (
    "learning_rate",
    "num_train_epochs",
    TEXTS,
    TOKENS,
    "per_device_eval_batch_size",
    "gradient_accumulation_steps",
    "eval_steps",
)
NOT_BELOW_ZERO = (
    *("weight_decay", "warmup_steps", "max_grad_norm", "label_smoothing_factor"),
    FREEZE,
)


def argument_problems(where: str, arguments: Arguments) -> list[Problem]:
    """Find the mistakes in a `training` section at the dotted path `where`."""
    found = (
        _name_problem(f"{where}.{key}", key) or _value_problem(f"{where}.{key}", key, value)
        for key, value in arguments.items()
    )
    return [problem for problem in found if problem]


def space_problems(where: str, space: SearchSpace) -> list[Problem]:
    """Find unknown names and invalid values in a `search_space` section."""
    problems = []
    for key, domain in space.items():
        here = f"{where}.{key}"
        checks = (_value_problem(here, key, value) for value in domain.examples)
        names = _name_problem(here, key) or _range_problem(here, key, domain)
        found = names or next(filter(None, checks), None)
        problems += [found] if found else []
    return problems


def _range_problem(where: str, key: str, domain: Domain) -> Problem | None:
    if domain.is_constant:
        return None
    if key.startswith(UNTRAINED) or key in UNTRAINED_TOO:
        found, allowed = f"a search over {key}", "hyperparameters that change what a trial learns"
        return Problem(where=where, found=found, allowed=allowed, hint="remove it")
    if key == MAX_LENGTH and not domain.is_listed:
        allowed = "choice, grid or one value, because texts are tokenised once for each length"
        return Problem(where=where, found=domain.kind, allowed=allowed)
    return None


def _name_problem(where: str, key: str) -> Problem | None:
    settled = RESERVED.get(key) or SETTLED.get(key)
    if settled:
        return Problem(where=where, found=key, allowed=settled)
    if _is_ours(key) or key in _types():
        return None
    return Problem(
        where=where,
        found=f"{key!r}, which no part of the run reads",
        allowed=f"a field of transformers.TrainingArguments, {', '.join(OWN)}",
        hint=near(key, [*_types(), *OWN])
        or f"for a field of the model's config, use {CONFIG}{key}",
    )


def _value_problem(where: str, key: str, value: object) -> Problem | None:
    if key.startswith(CONFIG):
        return None  # checked against the model's config instead
    choices = _choices(key)
    if choices:
        wrong = value not in choices
        allowed, hint = one_of(choices), near(str(value), choices)
    else:
        allowed, hint = _fault(key, value), None
        wrong = bool(allowed)
    return Problem(where=where, found=repr(value), allowed=allowed, hint=hint) if wrong else None


def _fault(key: str, value: object) -> str:
    """Return what is allowed if `value` is not allowed, else an empty string."""
    try:
        _adapter(key).validate_python(value)
    except ValidationError as error:
        words = (fault["msg"].replace("Input should be ", "") for fault in error.errors())
        return " or ".join(dict.fromkeys(words))
    if key in ABOVE_ZERO and not _over(value, 0):
        return "a number above 0"
    if key in NOT_BELOW_ZERO and isinstance(value, int | float) and value < 0:
        return "a number >= 0"
    if key == MAX_LENGTH and not _over(value, SHORTEST - 1):
        return f"a number of tokens >= {SHORTEST}"
    return ""


def _over(value: object, bound: float) -> bool:
    return isinstance(value, int | float) and value > bound


@cache
def _types() -> dict[str, Any]:
    fields = TrainingArguments.__dataclass_fields__
    hints = get_type_hints(TrainingArguments)
    return {name: hints[name] for name, field in fields.items() if field.init}


@cache
def _adapter(key: str) -> TypeAdapter[Any]:
    kind = OWN.get(key) or _types()[key]
    return TypeAdapter(kind, config=ConfigDict(strict=True, arbitrary_types_allowed=True))


def _choices(key: str) -> list[str]:
    """Return the values of an enumerated field, which transformers annotates as `Enum | str`."""
    if key in OWN:
        return list({POOLING: POOLINGS, CLASS_WEIGHTS: WEIGHTINGS}.get(key, ()))
    if key == "eval_strategy":
        return ["steps", "epoch"]  # trials without evaluations can't be compared
    kind = _types()[key]
    members: Iterable[Any] = (kind, *get_args(kind))
    enums = [part for part in members if isinstance(part, type) and issubclass(part, Enum)]
    return [str(member.value) for enum in enums for member in enum]

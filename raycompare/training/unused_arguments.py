"""Finds hyperparameters that have no effect because another one overrides them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from transformers import TrainingArguments

from raycompare.errors import Problem, one_of
from raycompare.experiment.hyperparameters import PATIENCE, ModelSettings
from raycompare.experiment.settings import TuneSpec
from raycompare.training.arguments import BY_LENGTH, ORDER, TEXTS, THRESHOLD, TOKENS
from raycompare.training.fields import OPTIM_ARGS

_LIONS = ("lion_8bit", "lion_32bit", "paged_lion_8bit", "paged_lion_32bit")
_NOT_ADAM = (
    *("adafactor", "adagrad", "grokadamw", "schedule_free_sgd", "sgd"),
    *("rmsprop", "rmsprop_bnb", "rmsprop_bnb_8bit", "rmsprop_bnb_32bit"),
    *("galore_adamw", "galore_adamw_8bit", "galore_adafactor"),
)
"""Values of `optim` that ignore adam_beta1, adam_beta2 and adam_epsilon
(transformers 5.23, trainer_optimizer.py)."""
_WITHOUT_ARGS = (
    *("adamw_torch", "adamw_torch_fused", "adamw_torch_xla", "adamw_torch_npu_fused"),
    *("adafactor", "adamw_bnb_8bit", "adamw_8bit", "paged_adamw_32bit", "paged_adamw_8bit"),
    *_LIONS,
)
"""Values of `optim` that ignore optim_args."""
_WITH_TARGETS = ("galore_adamw", "galore_adamw_8bit", "galore_adafactor", "apollo_adamw")
_WITHOUT_WARMUP = ("constant",)
_WITHOUT_SETTINGS = ("constant", "constant_with_warmup")
_DEFAULTS: Mapping[str, tuple[str, ...]] = {
    "optim": (str(TrainingArguments.__dataclass_fields__["optim"].default),)
}
"""Values that trials have where the file sets none."""


@dataclass(frozen=True)
class _ArgumentRule:
    """`name` has no effect if `by` has a value for which `decides` is true."""

    name: str
    by: str
    decides: Callable[[object], bool]
    also_fixed: bool = False
    """Whether it is a mistake to set the argument, and not only to search over it."""


OPTUNA_KINDS = (
    "uniform",
    "quniform",
    "loguniform",
    "randint",
    "qrandint",
    "lograndint",
    "choice",
)
"""Ray's OptunaSearch (2.60) refuses grids and normals, and drops a step on a logarithmic scale."""


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and value > 0


_RULES = (
    _ArgumentRule("num_train_epochs", "max_steps", _positive),
    _ArgumentRule("adam_beta1", "optim", _NOT_ADAM.__contains__),
    _ArgumentRule("adam_beta2", "optim", _NOT_ADAM.__contains__),
    _ArgumentRule("adam_epsilon", "optim", (*_NOT_ADAM, *_LIONS).__contains__),
    _ArgumentRule("optim_target_modules", "optim", lambda value: value not in _WITH_TARGETS, True),
    _ArgumentRule("eval_steps", "eval_strategy", "epoch".__eq__, True),
    _ArgumentRule("lr_scheduler_kwargs", "lr_scheduler_type", _WITHOUT_SETTINGS.__contains__, True),
    _ArgumentRule("warmup_steps", "lr_scheduler_type", _WITHOUT_WARMUP.__contains__),
)


def unread_problems(settings: ModelSettings, tune: TuneSpec) -> list[Problem]:
    """Find settings without effect, and ranges that the search algorithm doesn't support."""
    return [
        *_batch_problems(settings),
        *_decided_problems(settings),
        *_optim_args_problems(settings),
        *_patience_problems(settings),
        *_range_problems(settings, tune),
    ]


def _batch_problems(settings: ModelSettings) -> Iterator[Problem]:
    if not settings.values(TOKENS):
        return
    where, name = settings.place(TOKENS), settings.name
    if settings.values(TEXTS):
        allowed = "one of the two: batches are measured in texts or in tokens"
        yield Problem(where=where, found=f"also {TEXTS} for {name}", allowed=allowed)
    orders = settings.values(ORDER) or ("random",)
    other = [order for order in orders if order != BY_LENGTH]
    if other:
        found = f"{ORDER}: {other[0]} for {name}, which counts texts"
        yield Problem(where=where, found=found, allowed=f"{ORDER}: {BY_LENGTH}")


def _decided_problems(settings: ModelSettings) -> Iterator[Problem]:
    for rule in _RULES:
        values = settings.values(rule.by) or _DEFAULTS.get(rule.by, ())
        is_fixed = rule.also_fixed and bool(settings.fixed.get(rule.name))
        is_set = is_fixed or rule.name in settings.space
        if is_set and values and all(map(rule.decides, values)):
            if rule.name == "warmup_steps" and _is_schedule_free(settings):
                continue
            search = "a search over " if rule.name in settings.space else ""
            yield Problem(
                where=settings.place(rule.name),
                found=f"{search}{rule.name}, which has no effect for {settings.name}: "
                f"{rule.by} is {' or '.join(map(str, values))}",
                allowed="hyperparameters that change what a trial learns",
                hint=f"remove {rule.name} or {rule.by}",
            )


def _optim_args_problems(settings: ModelSettings) -> Iterator[Problem]:
    """Find keys of `optim_args` that none of the optimizers reads."""
    optims = [*map(str, settings.all_values("optim") or _DEFAULTS["optim"])]
    read = {**dict.fromkeys(_WITHOUT_ARGS, ()), **OPTIM_ARGS}
    texts = [text for text in settings.all_values("optim_args") if isinstance(text, str)]
    keys = [pair.partition("=")[0].strip() for text in texts for pair in text.split(",") if pair]
    unread = [key for key in keys if all(key not in read.get(optim, keys) for optim in optims)]
    if unread:
        known = [key for optim in optims for key in read.get(optim, ())]
        yield Problem(
            where=settings.place("optim_args"),
            found=f"{unread[0]}, which {' or '.join(optims)} of {settings.name} does not read",
            allowed=one_of(dict.fromkeys(known)) if known else "another optim, or no optim_args",
        )


def _is_schedule_free(settings: ModelSettings) -> bool:
    """Return whether the optimizer has its own warm-up."""
    return any(str(value).startswith("schedule_free") for value in settings.values("optim"))


def _patience_problems(settings: ModelSettings) -> Iterator[Problem]:
    if settings.values(THRESHOLD) and not settings.values(PATIENCE):
        yield Problem(
            where=settings.place(THRESHOLD),
            found=f"{THRESHOLD}, which has no effect for {settings.name} without {PATIENCE}",
            allowed=f"both {PATIENCE} and {THRESHOLD}, or neither",
        )


def _range_problems(settings: ModelSettings, tune: TuneSpec) -> Iterator[Problem]:
    for name, domain in settings.space.items():
        if tune.search_alg == "grid" and not domain.is_listed:
            allowed, hint = "grid or choice, because tune.search_alg is grid", "list the values"
        elif tune.search_alg == "optuna" and domain.kind not in OPTUNA_KINDS:
            allowed = f"a range that optuna supports: {', '.join(OPTUNA_KINDS)}"
            hint = "use choice" if domain.kind == "grid" else "use another kind of range"
        else:
            continue
        yield Problem(where=settings.place(name), found=domain.kind, allowed=allowed, hint=hint)

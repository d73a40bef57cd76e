"""Finds training arguments that a trial's optimizer and schedule can't be built with.

They are built as the Trainer does it, for a model whose weights have one element each.
"""

from __future__ import annotations

import inspect
import json
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import combinations, islice, product
from typing import Any

import torch
from accelerate.state import AcceleratorState, PartialState
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel, Trainer, TrainingArguments
from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION
from transformers.trainer_utils import SchedulerType

from raycompare.cluster.requirements import is_installed
from raycompare.errors import Problem, UserError, summarize
from raycompare.experiment.hyperparameters import DEFAULTS, ModelSettings, hint_at
from raycompare.experiment.spec import Arguments
from raycompare.models.pretrained import build_without_weights, load_config
from raycompare.training.argument_checks import is_allowed
from raycompare.training.arguments import training_arguments
from raycompare.training.fields import FIELDS

MOST_CASES = 200
"""Most combinations of values that are built for a model."""
STEPS = 20
"""Optimizer steps of the schedule that is built."""
_OF_THE_MODEL = (
    *("activation_checkpointing", "activation_checkpointing_kwargs"),
    *("gradient_checkpointing", "gradient_checkpointing_kwargs", "neftune_noise_alpha"),
)
"""Arguments that change the model, and that no optimizer or schedule depends on."""
_TARGETS = "optim_target_modules"
_OF_THE_MACHINE = ("tf32", "torch_compile", "torch_compile_backend", "torch_compile_mode")
"""Arguments for which TrainingArguments would look at the GPUs."""
_ERRORS = (
    *(ArithmeticError, AssertionError, AttributeError, ImportError, LookupError),
    *(NameError, OSError, RuntimeError, TypeError, ValueError),
)
"""Raised by arguments that don't work."""
TYPE, KWARGS = _SCHEDULE = ("lr_scheduler_type", "lr_scheduler_kwargs")
_CHECKPOINTED = ("every_n_layers", "offload")
"""Keys of `activation_checkpointing_kwargs` that transformers reads itself."""
_GIVEN = ("optimizer", "num_warmup_steps", "num_training_steps", "last_epoch")
"""Parameters of a schedule that do not come from `lr_scheduler_kwargs`."""


@dataclass
class ArgumentBuilds:
    """Builds optimizers and schedules; remembers outcomes, which many models share."""

    _outcomes: dict[str, str | None] = field(default_factory=dict)
    _models: dict[str, nn.Module] = field(default_factory=dict)

    def problems(self, settings: ModelSettings) -> Iterator[Problem]:
        """Yield the arguments of a model that can't be built, each once."""
        wrong: set[str] = set()
        for case in islice(_cases(settings), MOST_CASES):
            arguments = {name: value for name, value in case.items() if name not in wrong}
            while error := self._error(settings, arguments):
                name = self._culprit(settings, arguments, error)
                yield _problem(settings, name, arguments, error)
                if name is None:
                    return
                together = {*_SCHEDULE} if name in _SCHEDULE else {name}
                wrong |= together
                arguments = {k: v for k, v in arguments.items() if k not in together}

    def _error(self, settings: ModelSettings, arguments: Arguments) -> str | None:
        """Return why the arguments can't be built, or None."""
        if arguments.get(_TARGETS):
            return self._outcome(settings, arguments)
        of_model = {name: value for name, value in arguments.items() if name in _OF_THE_MODEL}
        others = {name: value for name, value in arguments.items() if name not in _OF_THE_MODEL}
        error = self._outcome(None, others)
        return error or (self._outcome(settings, of_model) if any(of_model.values()) else None)

    def _outcome(self, settings: ModelSettings | None, arguments: Arguments) -> str | None:
        owner = settings.name if settings else ""
        key = json.dumps([owner, arguments], sort_keys=True)
        if owner not in self._models:
            self._models[owner] = _small_model(settings)
        if key not in self._outcomes:
            self._outcomes[key] = _try(arguments, self._models[owner])
        return self._outcomes[key]

    def _culprit(self, settings: ModelSettings, arguments: Arguments, error: str) -> str | None:
        """Return an argument without which there is no error, or else not this one."""
        errors: dict[str, str | None] = {}
        for name in arguments:
            rest = {other: value for other, value in arguments.items() if other != name}
            errors[name] = self._error(settings, rest)
        names = [name for name in errors if errors[name] is None]
        names.sort(key=lambda name: not name.endswith("args"))  # the settings of another argument
        names += [name for name in errors if errors[name] != error]
        if names and names[0] in _SCHEDULE and arguments.get(KWARGS):
            return KWARGS
        return names[0] if names else None


def _cases(settings: ModelSettings) -> Iterator[Arguments]:
    """Yield the untuned default, then searched trials with every pair of examples."""
    fixed = {name: value for name, value in settings.training.items() if _is_built(name, value)}
    yield fixed
    examples = {
        name: [value for value in domain.examples if _is_built(name, value)]
        for name, domain in settings.space.items()
    }
    searched = {name: values for name, values in examples.items() if values}
    first = {**fixed, **{name: values[0] for name, values in searched.items()}}
    for name, values in searched.items():
        yield from ({**first, name: value} for value in values)
    for one, other in combinations(searched, 2):
        for pair in product(searched[one], searched[other]):
            yield {**first, one: pair[0], other: pair[1]}


def _is_built(name: str, value: object) -> bool:
    """Return whether an argument can be tried here; other mistakes in it are reported elsewhere."""
    if name not in FIELDS or not is_allowed(name, value):
        return False
    return name != "optim" or is_installed(str(value))


class _AnyModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        with torch.device("meta"):
            self.layer, self.norm = nn.Linear(1, 1), nn.LayerNorm(1)


def _small_model(settings: ModelSettings | None) -> nn.Module:
    """Return the model with weights of one element, or any model if it can't be built."""
    model: nn.Module = _AnyModel()
    if settings is not None:
        with suppress(UserError, *_ERRORS):  # reported by the checks of models
            model = build_without_weights(settings.model, load_config(settings.model))
    for module in model.modules():
        for name, weight in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(torch.zeros([1] * weight.dim())))
    return model


@contextmanager
def _keep_accelerate() -> Iterator[None]:
    """Restore the state of accelerate, which TrainingArguments replace, for Trainers outside."""
    states = AcceleratorState._shared_state, PartialState._shared_state
    before = [dict(state) for state in states]
    try:
        yield
    finally:
        for state, content in zip(states, before, strict=True):
            state.clear()
            state.update(content)


def _try(arguments: Arguments, model: nn.Module) -> str | None:
    with warnings.catch_warnings(), _keep_accelerate():
        warnings.simplefilter("ignore")
        try:
            _build(arguments, model)
        except _ERRORS as error:
            return summarize(error)
    return None


def _build(arguments: Arguments, model: nn.Module) -> None:
    """Build everything that depends on the arguments, on the CPU."""
    portable = {name: value for name, value in arguments.items() if name not in _OF_THE_MACHINE}
    args = training_arguments({**DEFAULTS, **portable, "use_cpu": True}, "trainer", seed=0)
    if isinstance(model, PreTrainedModel):
        _change_model(args, model)
    trainer = Trainer.__new__(Trainer)  # its __init__ would set seeds and look for GPUs
    trainer.args, trainer.model, trainer.optimizer_cls_and_kwargs = args, model, None
    trainer.optimizer = trainer.lr_scheduler = None
    optimizer = trainer.create_optimizer()
    schedule = trainer.create_scheduler(STEPS)
    for _ in range(STEPS):
        schedule.step()
        rates = [group["lr"] for group in optimizer.param_groups]
        if not all(math.isfinite(rate) and rate >= 0 for rate in rates):
            raise ValueError(f"the learning rate becomes {min(rates)}")


def compute_layer(values: torch.Tensor) -> torch.Tensor:
    """Stand for a layer whose activations are computed again."""
    return -values


def _change_model(args: TrainingArguments, model: PreTrainedModel) -> None:
    """Change the model as the Trainer does before the first step."""
    if args.activation_checkpointing:
        kwargs: dict[str, Any] = dict(args.activation_checkpointing_kwargs or {})  # type: ignore[arg-type]
        parts = {name: kwargs.pop(name) for name in _CHECKPOINTED if name in kwargs}
        model.activation_checkpointing_enable(kwargs or None, **parts)
        checkpoint(compute_layer, torch.zeros(1), **{"use_reentrant": False, **kwargs})
    if args.neftune_noise_alpha is not None:
        assert isinstance(model.get_input_embeddings(), nn.Module), "it has no input embeddings"


def _problem(
    settings: ModelSettings, name: str | None, arguments: Arguments, error: str
) -> Problem:
    if name is None:
        where, found = f"{settings.section}.training", f"arguments of {settings.name}: {error}"
    else:
        where, found = settings.place(name), f"{name} = {arguments[name]}: {error}"
    schedule = str(arguments.get(TYPE, "linear"))
    hint = _schedule_hint(schedule) if name in _SCHEDULE else None
    return Problem(
        where=where,
        found=found,
        allowed="arguments that an optimizer and a schedule can be built with",
        hint=hint_at(where, hint),
    )


def _schedule_hint(schedule: str) -> str:
    function: Any = TYPE_TO_SCHEDULER_FUNCTION[SchedulerType(schedule)]
    names = [
        f"{name} (required)" if parameter.default is parameter.empty else name
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in _GIVEN
    ]
    settings = f"lr_scheduler_kwargs with {', '.join(names)}" if names else "no lr_scheduler_kwargs"
    return f"{schedule} takes {settings}"

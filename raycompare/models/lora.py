"""LoRA with peft: adds adapters to a model's layers and merges them back.

Adapters are injected into the model itself, so it is trained, checkpointed and restored like any
other. All weights of the new head are trained; peft does so only for heads with certain names.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from raycompare.errors import Problem, near
from raycompare.experiment.hyperparameters import ModelSettings, hint_at
from raycompare.experiment.settings import ALL_LINEAR, PeftSpec
from raycompare.experiment.spec import Arguments
from raycompare.models.frozen import make_whole

SEARCHED = tuple(name for name in PeftSpec.model_fields if name.startswith("lora_"))
"""Fields of `peft` that are also allowed in `training` and `search_space`."""


def _linear_layers(model: PreTrainedModel) -> dict[str, nn.Module]:
    """Return the linear layers below the head, keyed by name."""
    below = {id(module) for module in model.base_model.modules()}
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and id(module) in below
    }


def _targets(spec: PeftSpec, model_type: str) -> tuple[str, ...] | str | None:
    """Return suffixes of layer names, `all-linear`, or None if neither file nor peft has any."""
    if spec.target_modules is not None:
        return spec.target_modules
    from peft.utils import (  # noqa: PLC0415 - an extra
        TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as DEFAULTS,
    )

    return tuple(DEFAULTS[model_type]) if model_type in DEFAULTS else None


def target_names(model: PreTrainedModel, spec: PeftSpec) -> list[str]:
    """Return the names of the layers below the head that get adapters."""
    layers, ends = _linear_layers(model), _targets(spec, model.config.model_type)
    if ends is None:
        return []
    if ends == ALL_LINEAR:
        return list(layers)
    return [name for name in layers if any(_ends_with(name, end) for end in ends)]


def _ends_with(name: str, end: str) -> bool:
    return name == end or name.endswith(f".{end}")


def add_lora(model: PreTrainedModel, spec: PeftSpec, arguments: Arguments) -> None:
    """Freeze all layers except the head and add adapters, whose initial weights depend on the seed.

    A trial's arguments in `SEARCHED` override those of `spec`.
    """
    from peft import LoraConfig, inject_adapter_in_model  # noqa: PLC0415 - an extra

    names = target_names(model, spec)
    settings = {name: arguments.get(name, getattr(spec, name)) for name in SEARCHED}
    config = LoraConfig(
        r=settings["lora_r"],
        lora_alpha=settings["lora_alpha"],
        lora_dropout=settings["lora_dropout"],
        target_modules=names,
        fan_in_fan_out=isinstance(_linear_layers(model)[names[0]], Conv1D),
    )
    head = list(head_weights(model))
    inject_adapter_in_model(config, model)
    for weight in head:
        weight.requires_grad_(True)


def head_weights(model: PreTrainedModel) -> Iterator[nn.Parameter]:
    """Return the weights outside of the base model; none if the class has no base model."""
    below = {id(weight) for weight in model.base_model.parameters()}
    return (weight for weight in model.parameters() if id(weight) not in below)


def merge_lora(model: PreTrainedModel) -> None:
    """Merge adapters into the layers' own weights, which leaves a plain transformers model.

    Does the same as peft's `merge_and_unload`. A model without LoRA is not changed.
    """
    if not hasattr(model, "peft_config"):
        return
    from peft.tuners.tuners_utils import BaseTunerLayer  # noqa: PLC0415 - an extra

    make_whole(model)
    for name, layer in list(model.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            layer.merge(safe_merge=True)
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, layer.get_base_layer())
    del model.peft_config


def trained_parameters(model: PreTrainedModel) -> int:
    """Count the weights that are trained."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


def lora_problems(where: str, spec: PeftSpec, model: PreTrainedModel) -> Iterator[Problem]:
    """Find what prevents LoRA from being added to a model that was built without weights."""
    if find_spec("peft") is None:
        return  # a problem that is reported with those of all packages
    if not list(head_weights(model)):
        yield Problem(
            where=where,
            found=f"{type(model).__name__}, which doesn't separate its head from its base model",
            allowed="a class whose base_model_prefix names the part below the head",
        )
        return
    yield from _target_problems(f"{where}.target_modules", spec, model)


def _target_problems(where: str, spec: PeftSpec, model: PreTrainedModel) -> Iterator[Problem]:
    ends, layers = _targets(spec, model.config.model_type), _linear_layers(model)
    names = list(dict.fromkeys(name.rpartition(".")[2] for name in layers))
    allowed = f"{ALL_LINEAR}, or suffixes of layer names: {', '.join(names)}"
    if not ends:
        none = f"no layers, and peft has no default for the type {model.config.model_type!r}"
        yield Problem(where=where, found=none, allowed=allowed)
    elif ends != ALL_LINEAR:
        for end in ends:
            if not any(_ends_with(name, end) for name in layers):
                unmatched = f"{end!r}, which no name of a linear layer below the head ends in"
                yield Problem(where=where, found=unmatched, allowed=allowed, hint=near(end, names))
    elif not layers:
        none = f"{type(model).__name__}, which has no linear layers below its head"
        yield Problem(where=where, found=none, allowed="a model without peft")


def unread_lora_problems(settings: ModelSettings) -> Iterator[Problem]:
    """Find settings of LoRA for a model that is trained without it."""
    if settings.model.peft is not None:
        return
    for name in SEARCHED:
        if settings.all_values(name):
            where = settings.place(name)
            yield Problem(
                where=where,
                found=f"{name}, which has no effect on {settings.name}, a model without peft",
                allowed=f"{name} for models with LoRA",
                hint=hint_at(where, "set `peft: {}` for the model"),
            )

"""LoRA through peft: which layers get the small matrices, and how they become part of them again.

The matrices are put into the model itself, so that it trains, is checkpointed and is restored as
any other. The head is new, and is trained whole, which peft does only for heads of some names.
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

SEARCHED = tuple(name for name in PeftSpec.model_fields if name.startswith("lora_"))
"""Fields of `peft` that `training` and `search_space` may have too."""


def is_installed() -> bool:
    """Say whether peft is here."""
    return find_spec("peft") is not None


def linear_layers(model: PreTrainedModel) -> dict[str, nn.Module]:
    """Return the linear layers below the head by their names."""
    below = {id(module) for module in model.base_model.modules()}
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and id(module) in below
    }


def targets(spec: PeftSpec, model_type: str) -> tuple[str, ...] | str | None:
    """Return the ends of the names of the layers, `all-linear`, or None if nobody names any."""
    if spec.target_modules is not None:
        return spec.target_modules
    from peft.utils import (  # noqa: PLC0415 - an extra
        TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN,
    )

    found = KNOWN.get(model_type)
    return None if found is None else tuple(found)


def target_names(model: PreTrainedModel, spec: PeftSpec) -> list[str]:
    """Return the names of the layers that get matrices, without those of the head."""
    layers, ends = linear_layers(model), targets(spec, model.config.model_type)
    if ends is None:
        return []
    if ends == ALL_LINEAR:
        return list(layers)
    return [name for name in layers if any(ends_with(name, end) for end in ends)]


def ends_with(name: str, end: str) -> bool:
    """Say whether the last parts of a dotted name are those of `end`."""
    return name == end or name.endswith(f".{end}")


def add_lora(model: PreTrainedModel, spec: PeftSpec, arguments: Arguments) -> None:
    """Freeze all but the head, and put trained matrices beside the layers; they draw on the seed.

    What a trial's arguments have of `SEARCHED` counts more than `spec`.
    """
    from peft import LoraConfig, inject_adapter_in_model  # noqa: PLC0415 - an extra

    names = target_names(model, spec)
    settings = {name: arguments.get(name, getattr(spec, name)) for name in SEARCHED}
    config = LoraConfig(
        r=settings["lora_r"],
        lora_alpha=settings["lora_alpha"],
        lora_dropout=settings["lora_dropout"],
        target_modules=names,
        fan_in_fan_out=isinstance(linear_layers(model)[names[0]], Conv1D),
    )
    head = list(head_weights(model))
    inject_adapter_in_model(config, model)
    for weight in head:
        weight.requires_grad_(True)


def head_weights(model: PreTrainedModel) -> Iterator[nn.Parameter]:
    """Yield what is above the base model; nothing if the class does not tell them apart."""
    below = {id(weight) for weight in model.base_model.parameters()}
    return (weight for weight in model.parameters() if id(weight) not in below)


def merge_lora(model: PreTrainedModel) -> None:
    """Add the matrices to the layers' own weights; the model is one of transformers again.

    The same steps as peft's `merge_and_unload`. A model without LoRA stays as it is.
    """
    if not hasattr(model, "peft_config"):
        return
    from peft.tuners.tuners_utils import BaseTunerLayer  # noqa: PLC0415 - an extra

    for name, layer in list(model.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            layer.merge(safe_merge=True)
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, layer.get_base_layer())
    del model.peft_config


def trained_parameters(model: PreTrainedModel) -> int:
    """Count the weights that a trial changes."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


def lora_problems(where: str, spec: PeftSpec, model: PreTrainedModel) -> Iterator[Problem]:
    """Find what keeps LoRA from being put into a model, which has no weights here."""
    if not is_installed():
        yield Problem(
            where=where,
            found="the package peft is not installed here",
            allowed="LoRA where peft is, on every machine of the cluster",
            hint="pip install 'raycompare[peft]'",
        )
        return
    if not list(head_weights(model)):
        yield Problem(
            where=where,
            found=f"{type(model).__name__}, whose head can't be told from what is below it",
            allowed="a class whose base_model_prefix names the part below the head",
        )
        return
    yield from _target_problems(f"{where}.target_modules", spec, model)


def _target_problems(where: str, spec: PeftSpec, model: PreTrainedModel) -> Iterator[Problem]:
    ends, layers = targets(spec, model.config.model_type), linear_layers(model)
    known = list(dict.fromkeys(name.rpartition(".")[2] for name in layers))
    allowed = f"{ALL_LINEAR}, or ends of names such as: {', '.join(known)}"
    if not ends:
        found = f"nothing, and peft has no layers of its own for {model.config.model_type!r}"
        yield Problem(where=where, found=found, allowed=allowed)
    elif ends != ALL_LINEAR:
        for end in ends:
            if not any(ends_with(name, end) for name in layers):
                found = f"{end!r}, which no linear layer below the head is called"
                yield Problem(where=where, found=found, allowed=allowed, hint=near(end, known))
    elif not layers:
        found = f"{type(model).__name__}, which has no linear layers below its head"
        yield Problem(where=where, found=found, allowed="a model without peft")


def unread_lora_problems(settings: ModelSettings) -> Iterator[Problem]:
    """Find sizes of LoRA for a model that is trained without it."""
    if settings.model.peft is not None:
        return
    for name in SEARCHED:
        if settings.all_values(name):
            where = settings.place(name)
            yield Problem(
                where=where,
                found=f"{name}, which nothing reads for {settings.name}: it has no peft",
                allowed=f"{name} of models with LoRA",
                hint=hint_at(where, "write `peft: {}` under the model"),
            )

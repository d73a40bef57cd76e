"""What is wrong with a model's `peft`, found without its weights."""

from __future__ import annotations

from collections.abc import Iterator

from transformers import PreTrainedModel

from raycompare.errors import Problem, near
from raycompare.given import Given, hint_at
from raycompare.lora import (
    SEARCHED,
    ends_with,
    head_weights,
    is_installed,
    linear_layers,
    targets,
)
from raycompare.settings import ALL_LINEAR, PeftSpec


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


def unread_lora_problems(given: Given) -> Iterator[Problem]:
    """Find sizes of LoRA for a model that is trained without it."""
    if given.model.peft is not None:
        return
    for name in SEARCHED:
        if given.all_values(name):
            where = given.place(name)
            yield Problem(
                where=where,
                found=f"{name}, which nothing reads for {given.model.name}: it has no peft",
                allowed=f"{name} of models with LoRA",
                hint=hint_at(where, "write `peft: {}` under the model"),
            )

"""Hyperparameters of the model itself: fields of its config, and frozen layers."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from transformers import PreTrainedModel

from raycompare.experiment.space import CONFIG
from raycompare.experiment.spec import Arguments
from raycompare.models.architectures import SPECIAL

FREEZE = "freeze_layers"
POOLING = "pooling"

_LABELS = "labels come from the data; use `data.label_names` to name them"
_SETTLED_FIELDS = {
    **dict.fromkeys(("num_labels", "id2label", "label2id"), _LABELS),
    "problem_type": "every text has one label; remove it",
    "classifier_pooling": f"use `{POOLING}` instead",
    **dict.fromkeys(("dtype", "torch_dtype"), "use `bf16` or `fp16` instead"),
    **dict.fromkeys(
        ("vocab_size", "type_vocab_size", *SPECIAL), "it comes from the tokenizer; remove it"
    ),
    **dict.fromkeys(
        (
            *("add_cross_attention", "architectures", "chunk_size_feed_forward", "is_decoder"),
            *("is_encoder_decoder", "model_type", "name_or_path", "output_attentions"),
            *("output_hidden_states", "return_dict", "tie_word_embeddings"),
            *("transformers_version", "use_cache", "use_return_dict"),
        ),
        "it does not change what a classifier learns; remove it",
    ),
}
SETTLED = {f"{CONFIG}{field}": reason for field, reason in _SETTLED_FIELDS.items()}
"""Config fields that can't be set, each with the reason or what to use instead."""


def config_fields(arguments: Arguments) -> Arguments:
    """Return the config fields among a trial's arguments, keyed by their names in the config."""
    return {
        name.removeprefix(CONFIG): value
        for name, value in arguments.items()
        if name.startswith(CONFIG)
    }


def freeze(model: PreTrainedModel, layers: int) -> None:
    """Freeze the embeddings and the lowest `layers` encoder layers; 0 freezes nothing.

    The embeddings include all modules before the layers in the base model. `encoder_layers` must
    find at least `layers` layers.
    """
    if layers == 0:
        return
    stack = encoder_layers(model)
    assert stack is not None
    assert layers <= len(stack)
    lowest = stack[:layers]
    for module in (model.get_input_embeddings(), *_before(stack, model.base_model), lowest):
        module.requires_grad_(False)


def encoder_layers(model: PreTrainedModel) -> nn.ModuleList | None:
    """Return the list of the `num_hidden_layers` encoder layers, or None.

    Models that share layers, such as ALBERT, or have two stacks, such as T5, have no such list.
    """
    count = getattr(model.config, "num_hidden_layers", None)
    lists = (module for module in model.base_model.modules() if isinstance(module, nn.ModuleList))
    stacks = [stack for stack in lists if len(stack) == count]
    return stacks[0] if len(stacks) == 1 else None


def _before(stack: nn.ModuleList, base: nn.Module) -> Iterator[nn.Module]:
    for child in base.children():
        if any(module is stack for module in child.modules()):
            return
        yield child

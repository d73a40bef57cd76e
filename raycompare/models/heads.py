"""Hyperparameters of the model itself: the pooling of tokens for its head, and frozen layers.

For a head that reads the first token, hooks replace that token with the mean or maximum of all
tokens. The model's weights, code and saved files don't change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from inspect import signature
from typing import Any, Literal

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput

from raycompare.experiment.space import CONFIG
from raycompare.experiment.spec import Arguments
from raycompare.models.architectures import SPECIAL

FREEZE = "freeze_layers"
POOLING = "pooling"

CLS, MEAN, MAX = "cls", "mean", "max"
POOLINGS = (CLS, MEAN, MAX)

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

_READERS: Mapping[str, tuple[str, Literal["input", "output"]]] = {
    "albert": ("albert.encoder", "output"),
    "bert": ("bert.pooler", "input"),
    "camembert": ("classifier", "input"),
    "deberta": ("pooler", "input"),
    "deberta-v2": ("pooler", "input"),
    "distilbert": ("distilbert.transformer", "output"),
    "electra": ("classifier", "input"),
    "mpnet": ("classifier", "input"),
    "roberta": ("classifier", "input"),
    "xlm-roberta": ("classifier", "input"),
}
"""Modules whose input or output contains all tokens, of which the head reads only the first, keyed
by model type (transformers 5.23)."""

_BY_CONFIG = "modernbert"
"""The type with a config field for pooling, `classifier_pooling`, which has no maximum."""

POOLED_TYPES = (*_READERS, _BY_CONFIG)
"""Model types whose pooling can be changed."""


def config_fields(arguments: Arguments) -> Arguments:
    """Return the config fields among a trial's arguments, keyed by their names in the config."""
    return {
        name.removeprefix(CONFIG): value
        for name, value in arguments.items()
        if name.startswith(CONFIG)
    }


def poolings(model_type: str) -> tuple[str, ...]:
    """Return the values of `pooling` that a type of model supports."""
    if model_type in _READERS:
        return POOLINGS
    return (CLS, MEAN) if model_type == _BY_CONFIG else (CLS,)


def is_plain(model_type: str, how: str | None) -> bool:
    """Return whether the model's own class computes a pooling; None means no `pooling` was set."""
    return how in (None, CLS) or model_type == _BY_CONFIG


def pool(model: PreTrainedModel, how: str) -> None:
    """Let the model's head read the first token, or the mean or maximum of all real tokens.

    `cls` is the model's default. The pretrained pooling layer of BERT and ALBERT stays between the
    tokens and the head. `how` must be in `poolings` of the model's type.
    """
    model_type = model.config.model_type
    assert how in poolings(model_type)
    if model_type == _BY_CONFIG:
        model.config.classifier_pooling = how
    elif how != CLS:
        place, side = _READERS[model_type]
        _Pooling(model, how).attach(model.get_submodule(place), side)


class _Pooling:
    """Two hooks of one model: one reads its attention mask, the other replaces the tokens."""

    def __init__(self, model: PreTrainedModel, how: str) -> None:
        self._how = how
        self._inputs = signature(model.forward)
        self._mask: torch.Tensor | None = None
        model.register_forward_pre_hook(self._take_mask, with_kwargs=True)

    def attach(self, reader: nn.Module, side: Literal["input", "output"]) -> None:
        if side == "input":
            reader.register_forward_pre_hook(self._change_input)
        else:
            reader.register_forward_hook(self._change_output)

    def _take_mask(self, _: nn.Module, args: Any, kwargs: Any) -> None:
        self._mask = self._inputs.bind_partial(*args, **kwargs).arguments.get("attention_mask")

    def _change_input(self, _: nn.Module, args: Any) -> Any:
        return (self._pool(args[0]), *args[1:])

    def _change_output(self, _: nn.Module, __: Any, output: Any) -> Any:
        assert isinstance(output, ModelOutput)
        output["last_hidden_state"] = self._pool(output["last_hidden_state"])
        return output

    def _pool(self, tokens: torch.Tensor) -> torch.Tensor:
        mask = self._mask if self._mask is not None else torch.ones_like(tokens[:, :, 0])
        return pool_tokens(tokens, mask, self._how).unsqueeze(1)


def pool_tokens(tokens: torch.Tensor, mask: torch.Tensor, how: str) -> torch.Tensor:
    """Return the mean or the maximum over the tokens whose mask is not 0.

    `tokens` has shape [rows, tokens, size], `mask` [rows, tokens], and the result [rows, size].
    """
    padding = (mask == 0).unsqueeze(-1)
    if how == MAX:
        return tokens.masked_fill(padding, -torch.inf).amax(dim=1)
    # In float32: bf16 can't count the tokens of a long text.
    total = tokens.masked_fill(padding, 0).sum(dim=1, dtype=torch.float32)
    return (total / (~padding).sum(dim=1)).to(tokens.dtype)


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

"""Hyperparameters of the model itself: what its head sees of the tokens, which layers are trained.

A head that reads the first token is given the mean or the maximum of all tokens in its place, by
hooks: the model's weights, its code and what it is saved as stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from inspect import signature
from typing import Any, Literal

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput

from raycompare.experiment.hyperparameters import CONFIG
from raycompare.experiment.spec import Arguments

FREEZE = "freeze_layers"
POOLING = "pooling"

CLS, MEAN, MAX = "cls", "mean", "max"
POOLINGS = (CLS, MEAN, MAX)

_LABELS = "the labels are those of the data; use `data.label_names` for their names"
_TOKENIZER = "it is that of the tokenizer; leave it out"
_PRECISION = "use `bf16` or `fp16` instead"
_CODE = "it does not change what a classifier learns; leave it out"

_SETTLED_FIELDS = {
    "num_labels": _LABELS,
    "id2label": _LABELS,
    "label2id": _LABELS,
    "problem_type": "every text has one label; leave it out",
    "classifier_pooling": f"use `{POOLING}` instead",
    "dtype": _PRECISION,
    "torch_dtype": _PRECISION,
    "vocab_size": _TOKENIZER,
    "type_vocab_size": _TOKENIZER,
    "pad_token_id": _TOKENIZER,
    "bos_token_id": _TOKENIZER,
    "eos_token_id": _TOKENIZER,
    "cls_token_id": _TOKENIZER,
    "sep_token_id": _TOKENIZER,
    "add_cross_attention": _CODE,
    "architectures": _CODE,
    "chunk_size_feed_forward": _CODE,
    "is_decoder": _CODE,
    "is_encoder_decoder": _CODE,
    "model_type": _CODE,
    "name_or_path": _CODE,
    "output_attentions": _CODE,
    "output_hidden_states": _CODE,
    "return_dict": _CODE,
    "tie_word_embeddings": _CODE,
    "transformers_version": _CODE,
    "use_cache": _CODE,
    "use_return_dict": _CODE,
}
SETTLED = {f"{CONFIG}{field}": why for field, why in _SETTLED_FIELDS.items()}
"""Fields of configs that are settled elsewhere, and where."""

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
"""By model type, the module whose input, or whose output, has the tokens of which only the first is
read after it (transformers 5.23)."""

_BY_CONFIG = "modernbert"
"""The type whose config has a field for it, `classifier_pooling`, without a maximum."""

POOLED_TYPES = (*_READERS, _BY_CONFIG)
"""Model types that can be pooled otherwise than they are."""


def config_fields(arguments: Arguments) -> Arguments:
    """Return the fields of the config among a trial's arguments, by their names in the config."""
    return {
        name.removeprefix(CONFIG): value
        for name, value in arguments.items()
        if name.startswith(CONFIG)
    }


def poolings(model_type: str) -> tuple[str, ...]:
    """Return what `pooling` may be for a type of model."""
    if model_type in _READERS:
        return POOLINGS
    return (CLS, MEAN) if model_type == _BY_CONFIG else (CLS,)


def is_plain(model_type: str, how: str | None) -> bool:
    """Say whether the library's own class computes a pooling; None is a model without one."""
    return how in (None, CLS) or model_type == _BY_CONFIG


def pool(model: PreTrainedModel, how: str) -> None:
    """Have the model's head see the first token, or the mean or maximum of all real tokens.

    `cls` is what the model does by itself. BERT's and ALBERT's pretrained pooling layer stays
    between the tokens and the head. `how` must be one of `poolings` of the model's type.
    """
    model_type = model.config.model_type
    assert how in poolings(model_type)
    if model_type == _BY_CONFIG:
        model.config.classifier_pooling = how
    elif how != CLS:
        place, side = _READERS[model_type]
        _Pooling(model, how).attach(model.get_submodule(place), side)


class _Pooling:
    """The hooks of one model: one takes its attention mask, the other puts a vector in place."""

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

    `tokens` is of shape [rows, tokens, size], `mask` of [rows, tokens], the result of [rows, size].
    """
    padding = (mask == 0).unsqueeze(-1)
    if how == MAX:
        return tokens.masked_fill(padding, -torch.inf).amax(dim=1)
    # In float32: bf16 can't count the tokens of a long text.
    total = tokens.masked_fill(padding, 0).sum(dim=1, dtype=torch.float32)
    return (total / (~padding).sum(dim=1)).to(tokens.dtype)


def freeze(model: PreTrainedModel, layers: int) -> None:
    """Leave the embeddings and the lowest `layers` encoder layers as they are; 0 freezes nothing.

    Embeddings are what stands before the layers in the base model. The model must have layers that
    `encoder_layers` finds, and at least so many.
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
    """Return the only list of modules that has `num_hidden_layers`, or None.

    A model that shares its layers, as ALBERT does, or that has two stacks, as T5, has none.
    """
    count = getattr(model.config, "num_hidden_layers", None)
    lists = (module for module in model.base_model.modules() if isinstance(module, nn.ModuleList))
    stacks = [found for found in lists if len(found) == count]
    return stacks[0] if len(stacks) == 1 else None


def _before(stack: nn.ModuleList, base: nn.Module) -> Iterator[nn.Module]:
    for child in base.children():
        if any(module is stack for module in child.modules()):
            return
        yield child

"""The pooling of a model's tokens for its head.

For a head that reads the first token, hooks replace that token with the mean or maximum of all
tokens. The model's weights, code and saved files don't change.

This file is also sent to SageMaker's inference container, so it imports only torch and
transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any, Literal

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput

POOLED_BY = "raycompare_pooling"
"""Field of a saved config with the pooling that `saved.load_model` restores."""
CLS, MEAN, MAX = "cls", "mean", "max"
POOLINGS = (CLS, MEAN, MAX)

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

"""Holds the frozen weights of large layers in the half precision in which they were published.

The layers compute what they did in float32, bit for bit, with half the memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

HALVES = (torch.bfloat16, torch.float16)
_SAMPLE = 1000
"""Values of a weight that are looked at first, since most weights that don't fit differ early."""


class _Product(torch.autograd.Function):
    """`functional.linear` with frozen weights, of which backward needs no copy in float32."""

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, weight: torch.Tensor, bias: Any) -> torch.Tensor:
        ctx.save_for_backward(weight)
        bias = None if bias is None else bias.to(inputs.dtype)
        return functional.linear(inputs, weight.to(inputs.dtype), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        (gradient,), (weight,) = gradients, ctx.saved_tensors
        return gradient @ weight.to(gradient.dtype), None, None


def _multiply(inputs: torch.Tensor, weight: torch.Tensor, bias: Any) -> torch.Tensor:
    kind = inputs.device.type
    if torch.is_autocast_enabled(kind):
        inputs = inputs.to(torch.get_autocast_dtype(kind))
    product: torch.Tensor = _Product.apply(inputs, weight, bias)  # type: ignore[no-untyped-call]
    return product


class _HalfLinear(nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return _multiply(input, self.weight, self.bias)


class _HalfConv1D(Conv1D):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _multiply(x, self.weight.t(), self.bias)


class _HalfEmbedding(nn.Embedding):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input).float()


_HALF: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: _HalfLinear,
    Conv1D: _HalfConv1D,
    nn.Embedding: _HalfEmbedding,
}
"""Only these classes themselves: a class derived from one may compute something else."""
_WHOLE = {half: whole for whole, half in _HALF.items()}


def halve_frozen(model: PreTrainedModel) -> None:
    """Hold frozen weights of large layers in half precision, if nothing is lost by it."""
    for module in _large_layers(model):
        half = _lossless_type(module)
        if half is not None:
            module.weight.data = module.weight.data.to(half)
            module.__class__ = _HALF[type(module)]


def _large_layers(model: PreTrainedModel) -> list[nn.Module]:
    """Return the layers whose weights nothing but the layers themselves reads.

    Code of DeBERTa reads the weights of its relative positions, T5's asks for the type of some.
    """
    uses = Counter(id(weight) for part in model.modules() for weight in part._parameters.values())
    asked = getattr(model, "_keep_in_fp32_modules", None) or ()
    return [
        module
        for name, module in model.named_modules()
        if type(module) in _HALF
        and (type(module) is not nn.Embedding or module is model.get_input_embeddings())
        and uses[id(module.weight)] == 1
        and not {*name.split(".")} & {*asked}
    ]


def _lossless_type(module: nn.Module) -> torch.dtype | None:
    """Return the type that can hold a module's frozen weights as they are, or None."""
    weight = module.weight
    assert isinstance(weight, torch.Tensor)
    if weight.requires_grad or weight.dtype != torch.float32:
        return None
    parts = (weight.flatten()[:_SAMPLE], weight)
    return next((half for half in HALVES if all(_is_kept(part, half) for part in parts)), None)


def _is_kept(values: torch.Tensor, half: torch.dtype) -> bool:
    return torch.equal(values.to(half).float(), values)


def make_whole(model: PreTrainedModel) -> None:
    """Undo `halve_frozen`, on the CPU, because a GPU may not have room for the weights."""
    halved = list(_halved(model))
    if halved:
        model.to("cpu")  # type: ignore[arg-type]
    for module in halved:
        module.weight.data = module.weight.data.float()
        module.__class__ = _WHOLE[type(module)]


def _halved(model: PreTrainedModel) -> Iterator[nn.Module]:
    return (module for module in model.modules() if type(module) in _WHOLE)

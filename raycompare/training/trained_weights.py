"""The weights that training changes: all but the frozen ones, as with LoRA."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch
from torch import nn

Weights = dict[str, torch.Tensor]

TRAINED, WHOLE = "trained.safetensors", "model.safetensors"
"""Files in a trial's checkpoint; those of earlier versions have the whole model."""
_FORMER_NAMES = {"gamma": "weight", "beta": "bias"}
"""Names of LayerNorm in old checkpoints of the hub, which `save_pretrained` keeps."""


def trained_weights(model: nn.Module) -> Weights:
    """Return the weights that are trained and the buffers, by their names in the model."""
    saved = model.state_dict().keys()
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    buffers = {name: value for name, value in model.named_buffers() if name in saved}
    return {name: value.detach() for name, value in {**trained, **buffers}.items()}


def copy_trained(model: nn.Module, into: Weights | None) -> Weights:
    """Copy what is trained to the memory of the host, where `into` has been copied before."""
    weights = trained_weights(model)
    if into is None:
        return {name: value.to("cpu", copy=True) for name, value in weights.items()}
    for name, value in weights.items():
        into[name].copy_(value)
    return into


def set_trained(model: nn.Module, weights: Weights) -> None:
    """Set what `trained_weights` returned; frozen weights stay as they are."""
    missing, unknown = model.load_state_dict(weights, strict=False)
    wrong = [*(trained_weights(model).keys() & {*missing}), *unknown]
    if wrong:
        raise ValueError(f"a checkpoint of another model: {wrong[0]} is only in one of them")


def write_trained(model: nn.Module, folder: Path) -> None:
    """Write what is trained to a trial's checkpoint."""
    weights = {name: value.contiguous() for name, value in trained_weights(model).items()}
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(weights, folder / TRAINED)


def read_trained(model: nn.Module, folder: Path) -> None:
    """Set the weights that are in a trial's checkpoint, which an earlier version may have made."""
    if (folder / TRAINED).exists():
        set_trained(model, safetensors.torch.load_file(folder / TRAINED))
        return
    own = model.state_dict().keys()
    whole = safetensors.torch.load_file(folder / WHOLE)
    named = {name if name in own else _today(name): value for name, value in whole.items()}
    model.load_state_dict(named, strict=False)  # of two names of one weight, it has one


def _today(name: str) -> str:
    stem, _, last = name.rpartition(".")
    return f"{stem}.{_FORMER_NAMES.get(last, last)}"

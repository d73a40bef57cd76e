"""Compares the weights in a checkpoint with those of the model that is built from its config."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import logging

from raycompare.errors import UserError
from raycompare.models.lora import head_weights
from raycompare.models.weight_files import Headers

_POOLER = "pooler"
"""Module of BERT and others that masked language models are published without."""
_DRAWN = "_is_hf_initialized"
"""transformers' mark of what it need not draw."""
_COMPUTED = "Sinusoidal"
"""Part of the names of classes whose weights are computed and not learned, as in RoFormer."""
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")

Shape = tuple[int, ...]


class WeightsError(UserError):
    """The weights of a checkpoint are not those of the model that its config describes."""


class Misfit(NamedTuple):
    """Why weights and model don't belong together, and what to do."""

    found: str
    hint: str


@dataclass(frozen=True)
class Loading:
    """What transformers reports about loading a checkpoint's weights into a model."""

    model: PreTrainedModel
    missing: Set[str]
    """Weights of the model that no file contains."""
    reshaped: Mapping[str, tuple[Shape, Shape]]
    """The shapes in the file and in the model, where they differ."""
    unused: Set[str]
    """Tensors of the files that the model doesn't have."""

    @classmethod
    def of(cls, model: PreTrainedModel, report: Mapping[str, Any]) -> Self:
        """Read the report of `from_pretrained`."""
        return cls(
            model,
            missing=report["missing_keys"],
            reshaped={
                name: (tuple(here), tuple(there)) for name, here, there in report["mismatched_keys"]
            },
            unused=report["unexpected_keys"],
        )

    def misfit(self) -> Misfit | None:
        """Return why pretrained weights would be random, or None if none would be.

        The head is drawn anyway. A class that doesn't separate it from its base model must find
        some of its weights in the checkpoint.
        """
        below = [name for name in _names_below_the_head(self.model) if not self._is_extra(name)]
        lost = [name for name in below if name in self.reshaped or name in self.missing]
        if not lost or (not _has_head(self.model) and len(lost) < len(below)):
            return None
        first = next((name for name in lost if name in self.reshaped), lost[0])
        reason, hint = self._explain(first)
        found = f"{len(lost)} of {len(below)} pretrained weights would be random, including {first}"
        return Misfit(f"{found}, {reason}", hint)

    def _is_extra(self, name: str) -> bool:
        """Return whether a weight that is missing is drawn with the head, or is computed."""
        place, _, _ = name.rpartition(".")
        is_computed = _COMPUTED in type(self.model.get_submodule(place)).__name__
        return name in self.missing and (is_computed or _POOLER in place.split("."))

    def _explain(self, name: str) -> tuple[str, str]:
        if name in self.reshaped:
            here, there = self.reshaped[name]
            return (
                f"whose shape is {list(here)} in the file and {list(there)} in the model",
                "restore the config.json that the weights were saved with",
            )
        other = self._name_in_file(name)
        if other is None:
            return "which is not in the file", "save the whole model with `save_pretrained`"
        return (
            f"which the file calls {other}",
            "save the inner model itself with `save_pretrained`, so that its weights have the "
            "names that transformers uses",
        )

    def _name_in_file(self, name: str) -> str | None:
        """Return the tensor that a weight was probably saved as, such as module.bert.pooler."""
        base = f"{self.model.base_model_prefix}."
        ends = (f".{name}", f".{name.removeprefix(base)}")
        return next((other for other in sorted(self.unused) if other.endswith(ends)), None)

    def surplus(self) -> Misfit | None:
        """Return which layers of the file the model doesn't have, or None if it has them all."""
        prefix = f"{self.model.base_model_prefix}."
        patterns = {_NUMBER.sub("*", name) for name in _names_below_the_head(self.model)}
        patterns |= {pattern.removeprefix(prefix) for pattern in patterns}
        extra = sorted(name for name in self.unused if _NUMBER.sub("*", name) in patterns)
        if not extra:
            return None
        return Misfit(
            f"{len(extra)} weights that would not be used, including {extra[0]}, because the "
            "model has fewer layers than the file",
            "restore the config.json that the weights were saved with; to use only the lowest "
            "layers, set config.num_hidden_layers for the model",
        )


def _names_below_the_head(model: PreTrainedModel) -> list[str]:
    below = {id(weight) for weight in model.base_model.parameters()}
    every = model.named_parameters(remove_duplicate=False)
    return [name for name, weight in every if id(weight) in below]


def _has_head(model: PreTrainedModel) -> bool:
    return next(head_weights(model), None) is not None


def try_loading(built: PreTrainedModel, headers: Headers) -> Loading:
    """Load tensors with shapes but no memory into a new model like `built`.

    transformers finds the weights as it does in a trial, with its rules for their names.
    """
    state = {name: torch.empty(header.shape, device="meta") for name, header in headers.items()}
    with _quiet():
        reader: Any = type(built)
        model, report = reader.from_pretrained(
            None,
            config=built.config,
            state_dict=state,
            device_map="meta",
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    return Loading.of(model, report)


def load_weights(reader: Any, place: str, **settings: Any) -> Loading:
    """Call `from_pretrained` of a class; a head of other shapes is not loaded."""
    with _quiet():
        model, report = reader.from_pretrained(
            place,
            use_safetensors=True,  # pickled weights can run code
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **settings,
        )
    return Loading.of(model, report)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from printing its report, of which raycompare judges each line."""
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def draw_head(loading: Loading) -> None:
    """Draw the weights of the head if the checkpoint has brought some, as if it had brought none.

    transformers keeps those of a checkpoint that was trained for as many labels.
    """
    model, head = loading.model, {id(weight) for weight in head_weights(loading.model)}
    names = {name for name, weight in model.named_parameters() if id(weight) in head}
    if names <= loading.missing | loading.reshaped.keys():
        return
    for module in model.modules():
        own = [weight for weight in module.parameters(recurse=False) if id(weight) in head]
        if own:
            _forget(module, own)
    model.initialize_weights()  # type: ignore[no-untyped-call]


def _forget(module: nn.Module, weights: list[nn.Parameter]) -> None:
    """Let transformers draw weights again, which it does for all without its mark."""
    for marked in (module, *weights):
        setattr(marked, _DRAWN, False)

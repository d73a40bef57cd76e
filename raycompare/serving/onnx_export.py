"""A saved model as ONNX, by torch's own exporter, and how far its answers are from the model's."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from inspect import signature
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import AutoTokenizer, PreTrainedModel

from raycompare.errors import RunError, UserError
from raycompare.models.saved import load_model
from raycompare.records.run_folder import RunFolder
from raycompare.serving.winner import saved_at

ONNX = "model.onnx"
"""The name under which Optimum's ORTModelForSequenceClassification looks for it."""
NEEDED = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-4
"""The most that a probability may differ. Both compute in float32, in another order: differences of
some 1e-6 are usual, and an operator that was translated wrong shows as far more."""
SHAPES = ((1, 1.0), (1, 0.1), (3, 0.5), (8, 0.25), (5, 1.0))
"""Texts, and the share of the longest length, of the batches that are compared: none is the one
that the graph was made with, so that a size that was taken for a constant shows."""
TRACED = (2, 0.75)

Inputs = Mapping[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What was written, and how near its answers are."""

    path: Path
    texts: int
    largest: float
    """Largest difference of a probability."""

    def __str__(self) -> str:
        """Render as one line."""
        return (
            f"{ONNX}: batch and length are free; over {self.texts} texts of random tokens "
            f"onnxruntime's probabilities differ from the model's by {self.largest:.1e} at most, "
            f"allowed {TOLERANCE:.0e}"
        )


class _Logits(nn.Module):
    """A model as a function from named tensors to logits, which is what ONNX has."""

    def __init__(self, model: PreTrainedModel, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self._names = model, names

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(**dict(zip(self._names, tensors, strict=True)))[0]
        return logits


def write_onnx(place: Path) -> Agreement:
    """Write model.onnx beside a saved model, and compare the two with onnxruntime.

    Its inputs are those of the tokenizer, int64 [texts, tokens], its output float32 logits of
    [texts, labels]. Pooling is part of it.

    Raises:
        UserError: the extra is not installed.
        RunError: a probability differs by more than `TOLERANCE`; no ONNX model is left.
    """
    _require_extra()
    model = load_model(place)
    batches = _Batches.of(place, model)
    path = place / ONNX
    _write(_Logits(model, batches.names), batches, path)
    agreement = _compare_answers(model, batches, path)
    if not agreement.largest <= TOLERANCE:  # a nan is no agreement
        path.unlink()
        raise RunError(
            f"the ONNX model does not answer as the model does: probabilities differ by up to "
            f"{agreement.largest:.1e}, allowed {TOLERANCE:.0e}. It was not written; export "
            "without --onnx, and tell the makers of torch.onnx about "
            f"{type(model).__name__}."
        )
    return agreement


def missing() -> list[str]:
    """Name what the extra has and this environment lacks."""
    return [name for name in NEEDED if find_spec(name) is None]


def _require_extra() -> None:
    if lacking := missing():
        raise UserError(
            f"--onnx needs {', '.join(lacking)}, which are not installed here. Install the extra: "
            "pip install 'raycompare[onnx]'"
        )


@dataclass(frozen=True, kw_only=True)
class _Batches:
    """Batches of random tokens, the second half of them padded, as a model takes them."""

    names: tuple[str, ...]
    vocabulary: int
    padding: int
    longest: int

    @classmethod
    def of(cls, place: Path, model: PreTrainedModel) -> _Batches:
        tokenizer = AutoTokenizer.from_pretrained(place)
        taken = signature(model.forward).parameters
        return cls(
            names=tuple(name for name in tokenizer.model_input_names if name in taken),
            vocabulary=min(len(tokenizer), model.config.vocab_size),
            padding=tokenizer.pad_token_id or 0,
            longest=saved_at(RunFolder.at(place)).max_length,
        )

    def batch(self, texts: int, share: float) -> Inputs:
        tokens = max(round(share * self.longest), 4)
        random = torch.Generator().manual_seed(1000 * texts + tokens)
        ids = torch.randint(self.vocabulary, (texts, tokens), generator=random)
        ids = ids.masked_fill(ids == self.padding, (self.padding + 1) % self.vocabulary)
        mask = torch.ones_like(ids)
        mask[texts // 2 + 1 :, tokens // 2 :] = 0
        made = {
            "input_ids": ids.masked_fill(mask == 0, self.padding),
            "attention_mask": mask,
            "token_type_ids": torch.zeros_like(ids),
        }
        return {name: made[name] for name in self.names}

    def for_comparison(self) -> Iterator[Inputs]:
        return (self.batch(texts, share) for texts, share in SHAPES)


def _write(module: _Logits, batches: _Batches, path: Path) -> None:
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own parts, about each other
        torch.onnx.export(
            module.eval(),
            tuple(batches.batch(*TRACED).values()),
            str(path),
            input_names=list(batches.names),
            output_names=["logits"],
            dynamic_shapes=(tuple(free for _ in batches.names),),
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _compare_answers(model: PreTrainedModel, batches: _Batches, path: Path) -> Agreement:
    import onnxruntime  # noqa: PLC0415 - of the extra

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    largest, texts = 0.0, 0
    for inputs in batches.for_comparison():
        with torch.inference_mode():
            expected = model(**inputs)[0].softmax(dim=-1).numpy()
        (logits,) = session.run(["logits"], {name: x.numpy() for name, x in inputs.items()})
        answered = torch.from_numpy(logits).softmax(dim=-1).numpy()
        largest = float(np.maximum(largest, np.abs(answered - expected).max()))
        texts += len(expected)
    return Agreement(path=path, texts=texts, largest=largest)

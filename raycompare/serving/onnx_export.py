"""Exports a saved model to ONNX with torch's exporter, and compares the predictions of the two."""

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
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from raycompare.errors import RunError, UserError
from raycompare.extras import install_command
from raycompare.models.saved import NOTHING, Trust, load_saved
from raycompare.records.run_folder import RunFolder
from raycompare.serving.winner import saved_at

ONNX = "model.onnx"
"""File name expected by Optimum's ORTModelForSequenceClassification."""
AXES = ("batch", "sequence")
"""Names of the dynamic dimensions of the inputs."""
MOST_IN_ONE_FILE = 1_900_000_000
"""Bytes of weights; protobuf allows files of 2 GiB. Larger models get a second file,
model.onnx.data."""
NEEDED = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-4
"""Largest allowed difference of a probability. Both models compute in float32, in different orders:
differences of about 1e-6 are usual, and a wrongly translated operator causes much larger ones."""
SHAPES = ((1, 1.0), (1, 0.1), (3, 0.5), (8, 0.25), (5, 1.0))
"""Number of texts and share of the maximum length of each batch that is compared. None equals
`TRACED`, so a dimension that was exported as a constant is detected."""
TRACED = (2, 0.75)

Inputs = Mapping[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """An ONNX model, and how closely its predictions agree with the original."""

    path: Path
    texts: int
    largest: float
    """Largest difference of a probability."""

    def __str__(self) -> str:
        """Render as one line."""
        return (
            f"{ONNX}: batch size and length are dynamic; over {self.texts} texts of random tokens, "
            f"the probabilities of onnxruntime differ from the model's by at most "
            f"{self.largest:.1e} (allowed: {TOLERANCE:.0e})"
        )


class _Logits(nn.Module):
    """A model as a function from tensors to logits, as ONNX requires."""

    def __init__(self, model: PreTrainedModel, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self._names = model, names

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(**dict(zip(self._names, tensors, strict=True)))[0]
        return logits


def write_onnx(place: Path, trust: Trust = NOTHING) -> Agreement:
    """Write model.onnx to the folder of a saved model, and compare the two with onnxruntime.

    The inputs are those of the tokenizer, int64 of shape [texts, tokens]; the output is float32
    logits of shape [texts, labels]. Pooling is included.

    Raises:
        UserError: the extra is not installed, or the code of the model is not trusted.
        RunError: a probability differs by more than `TOLERANCE`; the ONNX model is removed.
    """
    _require_extra()
    model, tokenizer = load_saved(place, trust)
    batches = _Batches.of(place, model, tokenizer)
    path = place / ONNX
    _write(_Logits(model, batches.names), batches, path)
    agreement = _compare_answers(model, batches, path)
    if not agreement.largest <= TOLERANCE:  # also refuses NaN
        path.unlink()
        path.with_name(f"{ONNX}.data").unlink(missing_ok=True)
        raise RunError(
            f"the ONNX model predicts differently from the model: probabilities differ by up to "
            f"{agreement.largest:.1e} (allowed: {TOLERANCE:.0e}). Nothing was written. Export "
            f"without --onnx, and report {type(model).__name__} to the authors of torch.onnx."
        )
    return agreement


def missing() -> list[str]:
    """Return the packages of the extra that are not installed."""
    return [name for name in NEEDED if find_spec(name) is None]


def _require_extra() -> None:
    if lacking := missing():
        raise UserError(
            f"--onnx needs {', '.join(lacking)}, not installed here. Install the extra: "
            + install_command("onnx")
        )


@dataclass(frozen=True, kw_only=True)
class _Batches:
    """Batches of random tokens, half of them padded, as inputs of a model."""

    names: tuple[str, ...]
    vocabulary: int
    padding: int
    longest: int

    @classmethod
    def of(
        cls, place: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
    ) -> _Batches:
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
    free = dict(enumerate(AXES))  # names make an axis dynamic
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's parts warn about each other
        torch.onnx.export(
            module.eval(),
            tuple(batches.batch(*TRACED).values()),
            str(path),
            input_names=list(batches.names),
            output_names=["logits"],
            dynamic_shapes=(tuple(free for _ in batches.names),),
            dynamo=True,
            external_data=_is_large(module),
            verbose=False,
        )


def _is_large(module: nn.Module) -> bool:
    """Return whether the weights would not fit into one file of protobuf."""
    weights = (*module.parameters(), *module.buffers())
    return sum(weight.nbytes for weight in weights) > MOST_IN_ONE_FILE


def _compare_answers(model: PreTrainedModel, batches: _Batches, path: Path) -> Agreement:
    import onnxruntime  # noqa: PLC0415 - of the extra

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    largest, texts = 0.0, 0
    for inputs in batches.for_comparison():
        with torch.inference_mode():
            expected = model(**inputs)[0].softmax(dim=-1).numpy()
        (logits,) = session.run(["logits"], {name: x.numpy() for name, x in inputs.items()})
        actual = torch.from_numpy(logits).softmax(dim=-1).numpy()
        largest = float(np.maximum(largest, np.abs(actual - expected).max()))
        texts += len(expected)
    return Agreement(path=path, texts=texts, largest=largest)

"""A model with its tokenizer, which turns raw texts into probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Self

import numpy as np
import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from raycompare.data.splits import text_columns
from raycompare.data.tokens import Padding, Row
from raycompare.models.lora import merge_lora
from raycompare.models.pretrained import build_model, load_tokenizer
from raycompare.training.arguments import training_arguments
from raycompare.training.task import TrialTask
from raycompare.training.trainer import precision, with_precision

HALF_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class RawTexts:
    """Raw texts, in random order."""

    columns: tuple[tuple[str, ...], ...]
    """One column, or two for pairs."""

    @classmethod
    def of(cls, split: Dataset, rows: int, seed: int) -> Self:
        """Draw at most `rows` rows of a split with `seed`."""
        order = np.random.default_rng(seed).permutation(len(split))
        drawn = split.select(order[:rows])
        return cls(tuple(tuple(drawn[name]) for name in text_columns(drawn)))

    def __len__(self) -> int:
        """Return the number of texts or pairs."""
        texts, *_ = self.columns
        return len(texts)

    def part(self, rows: Sequence[int]) -> RawTexts:
        """Return the texts with these numbers."""
        return RawTexts(tuple(tuple(column[row] for row in rows) for column in self.columns))

    def by_length(self, rows: int) -> list[int]:
        """Return the numbers of the first `rows` texts, longest in characters first."""
        return sorted(
            range(rows), key=lambda row: -sum(len(column[row]) for column in self.columns)
        )


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A model in evaluation mode, with everything needed to classify raw texts."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    padding: Padding
    max_length: int
    device: torch.device
    precision: str
    """Number format of the forward pass, as in the evaluations of trials."""

    @classmethod
    def of(cls, task: TrialTask) -> Self:
        """Build a finalist's model, on the device and in the precision of its evaluations."""
        arguments = training_arguments(with_precision(task.arguments), "trainer", task.plan.seed)
        model = build_model(task.model, task.label_names, task.arguments)
        merge_lora(model)
        return cls(
            model=model.to(arguments.device),  # type: ignore[arg-type]
            tokenizer=load_tokenizer(task.model),
            padding=task.data.padding,
            max_length=task.data.max_length,
            device=arguments.device,
            precision=precision(arguments),
        )

    @torch.inference_mode()
    def probabilities(self, texts: RawTexts) -> torch.Tensor:
        """Return float32 of shape [texts, labels] on the CPU; copying waits for the GPU."""
        half = HALF_TYPES.get(self.precision)
        batch = self._batch(texts)
        with torch.autocast(self.device.type, half, enabled=half is not None):
            outputs = self.model(**{name: part.to(self.device) for name, part in batch.items()})
        logits: torch.Tensor = outputs[0]
        return logits.float().softmax(dim=-1).cpu()

    def _batch(self, texts: RawTexts) -> dict[str, torch.Tensor]:
        columns = map(list, texts.columns)
        encoded = self.tokenizer(*columns, truncation=True, max_length=self.max_length)
        segments = encoded.get("token_type_ids") or [None] * len(texts)
        rows: list[Row] = [
            {
                "input_ids": np.asarray(ids),
                "token_type_ids": None if kinds is None else np.asarray(kinds),
                "labels": 0,
            }
            for ids, kinds in zip(encoded["input_ids"], segments, strict=True)
        ]
        takes_segments = "token_type_ids" in signature(self.model.forward).parameters
        batch = self.padding.collate(rows, takes_segments)
        del batch["labels"]  # with them a model computes its loss
        return batch

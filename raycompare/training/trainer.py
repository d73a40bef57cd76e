"""The Hugging Face Trainer of one trial, with little padding."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Subset
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    TrainerCallback,
    TrainingArguments,
)

from raycompare.data.batches import BatchSize, LengthBatches, longest_first, parts_by_length
from raycompare.data.tokens import Ints, Row, TokenSplit
from raycompare.experiment.spec import Arguments
from raycompare.training.arguments import BY_LENGTH, batch_size_of, training_arguments
from raycompare.training.class_weights import CLASS_WEIGHTS, NONE, balanced_weights, weighted_loss
from raycompare.training.evaluation import EvaluatingTrainer, logits_of, score
from raycompare.training.task import TrialTask
from raycompare.training.trained_weights import read_trained, write_trained

PRECISIONS = ("bf16", "fp16")


OVERHEAD, OVERHEAD_OF_LOOKUPS = 10, 10
"""Overhead of a part of a batch, in tokens: for the call, and for a gradient of the size of the
embeddings, which weighs more the smaller the rest of the model is. Fitted on 2 layers of MiniLM,
where a part costs 40 tokens."""
PARTS = "parts"
Collate = Callable[[list[Row]], dict[str, torch.Tensor]]


class LengthTrainer(EvaluatingTrainer):
    """A Trainer that avoids padding, and in whose steps every text counts alike.

    It computes a training batch in parts of similar length, which gives the gradient of the whole
    batch. `train_sampling_strategy: group_by_length` makes batches of similar length. Evaluation
    sets must be sorted by length.
    """

    def __init__(
        self,
        *,
        batch_size: BatchSize,
        collate: Collate,
        in_parts: bool,
        halvings: int = 0,
        class_weights: torch.Tensor | None = None,
        **settings: Any,
    ) -> None:
        """Create a Trainer; `settings` are those of `Trainer`.

        With 1, 2, ... `halvings`, a batch is computed in at least 2, 4, ... parts, which takes less
        memory. `class_weights`, of shape [labels], weight the training rows, but not evaluations.
        """
        super().__init__(data_collator=collate, **settings)
        self._size, self._whole, self._halvings = batch_size, collate, halvings
        self._weights, self._weight_of_step = class_weights, 0.0
        assert isinstance(self.model, PreTrainedModel)
        on_cpu = self.args.device.type == "cpu"
        self._overhead = part_overhead(self.model) if on_cpu and in_parts else None
        # transformers 5.23 assumes that the mean loss of a head is already divided by the number of
        # accumulated batches, so k batches would give k times the gradient (transformers#47688).
        self.model_accepts_loss_kwargs = False
        self.label_names = ["labels"]  # found by name only if `forward` lists its parameters

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the training batches, each divided into parts."""
        whole, self.data_collator = self.data_collator, self._in_parts
        try:
            if self.args.train_sampling_strategy == BY_LENGTH:
                return self._batches_by_length()
            return super().get_train_dataloader()
        finally:
            self.data_collator = whole

    def _batches_by_length(self) -> DataLoader[Any]:
        assert isinstance(self.train_dataset, TokenSplit)
        loader: DataLoader[Any] = DataLoader(
            self.train_dataset,
            batch_sampler=LengthBatches(
                self.train_dataset.lengths,
                self._size,
                seed=self.args.data_seed or 0,
                drop_last=self.args.dataloader_drop_last,
            ),
            collate_fn=self.data_collator,
            **self.loading,
        )
        prepared: DataLoader[Any] = self.accelerator.prepare(loader)
        return prepared

    def _in_parts(self, rows: list[Row]) -> dict[str, list[dict[str, torch.Tensor]]]:
        most = math.ceil(len(rows) / 2**self._halvings)
        chosen = [part[at : at + most] for part in self._parts(rows) for at in _starts(part, most)]
        return {PARTS: [self._whole([rows[row] for row in part]) for part in chosen]}

    def _parts(self, rows: list[Row]) -> list[Ints]:
        lengths = np.array([len(row["input_ids"]) for row in rows])
        if self._overhead is not None:
            return parts_by_length(lengths, self._overhead)
        # Padding is free on a GPU that waits for its next kernel.
        return [np.arange(len(rows)) if self._halvings == 0 else longest_first(lengths)]

    def get_batch_samples(self, *args: Any, **settings: Any) -> tuple[list[Any], Any]:
        """Return the batches of one optimizer step, and remember the weight of all their rows."""
        batches, items = super().get_batch_samples(*args, **settings)
        parts = (part for batch in batches for part in batch[PARTS])
        self._weight_of_step = sum(self._weight(part["labels"]) for part in parts)
        return batches, items

    def training_step(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """Add up the gradients of the parts, each weighted by its share of the step's rows.

        With class weights, a part is weighted by its share of the sum of the rows' weights.
        """
        accumulated = self.current_gradient_accumulation_steps
        losses = []
        for part in inputs[PARTS]:
            # Trainer divides the mean loss of a part by this number.
            divisor = self._weight_of_step / self._weight(part["labels"])
            self.current_gradient_accumulation_steps = divisor  # type: ignore[assignment]
            losses.append(super().training_step(model, part, num_items_in_batch))
        self.current_gradient_accumulation_steps = accumulated
        return torch.stack(losses).sum()

    def _weight(self, labels: torch.Tensor) -> float:
        return len(labels) if self._weights is None else float(self._weights[labels.cpu()].sum())

    def compute_loss(
        self, model: torch.nn.Module, inputs: dict[str, Any], *args: Any, **settings: Any
    ) -> Any:
        """Apply class weights, if there are any, to the rows of a part."""
        if self._weights is None or not model.training:
            return super().compute_loss(model, inputs, *args, **settings)
        smoothing = self.args.label_smoothing_factor
        return weighted_loss(logits_of(model, inputs), inputs["labels"], self._weights, smoothing)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Save what is trained; `save_pretrained` could rename it, and would add what is frozen."""
        assert output_dir is not None
        assert self.model is not None
        write_trained(self.model, Path(output_dir))

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: torch.nn.Module | None = None
    ) -> None:
        """Load what `_save` has saved."""
        assert self.model is not None
        read_trained(self.model, Path(resume_from_checkpoint))

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Return 0: the count is not used, and computing it visits all parameters at every step."""
        return 0


def _starts(part: Ints, most: int) -> range:
    return range(0, len(part), most)


def build_trainer(
    task: TrialTask, model: PreTrainedModel, *callbacks: TrainerCallback
) -> LengthTrainer:
    """Build the Trainer of one trial, ready to train."""
    trainer = LengthTrainer(
        halvings=task.halvings,
        class_weights=_class_weights(task),
        batch_size=batch_size_of(task.arguments),
        in_parts=task.data.padding.to is None,  # parts of the same length save nothing
        model=model,
        args=training_arguments(with_precision(task.arguments), "trainer", task.plan.seed),
        train_dataset=task.data.train,
        eval_dataset=sorted_by_length(task.data.validation),
        collate=partial(
            task.data.padding.collate,
            with_segments="token_type_ids" in signature(model.forward).parameters,
        ),
        compute_metrics=score,
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)  # evaluations are reported anyway
    return trainer


def _class_weights(task: TrialTask) -> torch.Tensor | None:
    if task.arguments.get(CLASS_WEIGHTS, NONE) == NONE:
        return None
    return balanced_weights(task.data.train.labels, len(task.label_names))


def part_overhead(model: PreTrainedModel) -> int:
    """Return the overhead of a part of a batch on a CPU, in tokens of this model."""
    lookups = sum(
        module.weight.numel()
        for module in model.modules()
        if isinstance(module, torch.nn.Embedding)
    )
    others = max(model.num_parameters() - lookups, 1)
    return OVERHEAD + round(OVERHEAD_OF_LOOKUPS * lookups / others)


def sorted_by_length(split: TokenSplit) -> Subset[Any]:
    """Return the rows of a split, longest first; `indices` maps them to the split."""
    return Subset(split, longest_first(split.lengths).tolist())


def precision(arguments: TrainingArguments) -> str:
    """Return the number format in which a trial computes."""
    return next((name for name in PRECISIONS if getattr(arguments, name)), "fp32")


def with_precision(arguments: Arguments) -> Arguments:
    """Return the arguments, with bf16 if the GPU supports it and they don't set a precision."""
    if arguments.get("use_cpu") or any(name in arguments for name in PRECISIONS):
        return dict(arguments)
    has_bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return {**arguments, "bf16": True} if has_bf16 else dict(arguments)

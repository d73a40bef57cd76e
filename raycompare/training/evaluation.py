"""The evaluation of a trial: every row, in order, with the plain cross-entropy as its loss."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from transformers import EvalPrediction, Trainer
from transformers.trainer_utils import EvalLoopOutput

from raycompare.metrics import classification_metrics
from raycompare.training.failures import OneTextTooLargeError, is_out_of_memory

Prediction = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""The mean loss of a batch, and its logits and labels."""


class EvaluatingTrainer(Trainer):
    """A Trainer whose evaluations depend on nothing but the weights.

    Arguments for the training batches, such as `dataloader_drop_last`, `train_sampling_strategy`
    and `label_smoothing_factor`, do not apply to them. If memory runs out, fewer rows are computed
    at once from then on.
    """

    _rows_at_once: float = math.inf

    @property
    def loading(self) -> dict[str, Any]:
        """The settings of all data loaders."""
        return {
            "num_workers": self.args.dataloader_num_workers,
            "pin_memory": self.args.dataloader_pin_memory,
            "prefetch_factor": self.args.dataloader_prefetch_factor,
        }

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        """Return the validation rows in order."""
        return self._load_in_order(self.eval_dataset if eval_dataset is None else eval_dataset)

    def get_test_dataloader(self, test_dataset: Any) -> DataLoader[Any]:
        """Return the rows in order."""
        return self._load_in_order(test_dataset)

    def _load_in_order(self, rows: Any) -> DataLoader[Any]:
        loader: DataLoader[Any] = DataLoader(
            rows,
            batch_size=self.args.per_device_eval_batch_size,
            collate_fn=self.data_collator,
            **self.loading,
        )
        prepared: DataLoader[Any] = self.accelerator.prepare(loader)
        return prepared

    def evaluation_loop(self, *args: Any, **settings: Any) -> EvalLoopOutput:
        """Evaluate without affecting the random numbers of the training."""
        device = self.args.device
        with torch.random.fork_rng([] if device.type == "cpu" else [device]):
            output = super().evaluation_loop(*args, **settings)
        assert len(output.predictions) == output.num_samples, "each row has one prediction"
        return output

    def prediction_step(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> Any:
        """Compute a batch, in parts if the memory isn't enough for all of it.

        Raises:
            OneTextTooLargeError: the memory isn't enough for a single row.
        """
        while True:
            prediction = self._predict(model, inputs)
            if prediction is not None:
                return prediction
            self._rows_at_once = math.ceil(min(self._rows_at_once, len(inputs["labels"])) / 2)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _predict(self, model: torch.nn.Module, inputs: dict[str, Any]) -> Prediction | None:
        """Compute a batch; return None if memory ran out and fewer rows may fit."""
        rows, tokens = inputs["input_ids"].shape
        size = int(min(self._rows_at_once, rows))
        compute, parts = super().prediction_step, []
        try:
            for start in range(0, rows, size):
                part = {name: values[start : start + size] for name, values in inputs.items()}
                parts.append(compute(model, part, prediction_loss_only=False))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if size == 1:
                words = f"no memory to evaluate one text of {tokens} tokens: {error}"
                raise OneTextTooLargeError(words) from error
            return None  # outside of the handler, no traceback keeps the tensors alive
        losses, logits, labels = zip(*parts, strict=True)
        shares = [len(part) / rows for part in labels]
        loss = sum(part * share for part, share in zip(losses, shares, strict=True))
        return loss, torch.cat(logits), torch.cat(labels)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Return the loss of a batch, which in evaluations is the cross-entropy of the labels."""
        if model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        logits = logits_of(model, inputs)
        loss = cross_entropy(logits.float(), inputs["labels"])
        return (loss, {"loss": loss, "logits": logits}) if return_outputs else loss


def logits_of(model: torch.nn.Module, inputs: dict[str, Any]) -> torch.Tensor:
    """Return the logits of a batch; without labels, the model doesn't compute its own loss."""
    outputs = model(**{name: value for name, value in inputs.items() if name != "labels"})
    logits: torch.Tensor = outputs["logits"] if isinstance(outputs, dict) else outputs[0]
    return logits


def score(prediction: EvalPrediction) -> dict[str, float]:
    """Return the metrics of an evaluation, without the loss."""
    predicted = np.asarray(prediction.predictions).argmax(axis=-1)
    return classification_metrics(np.asarray(prediction.label_ids), predicted)

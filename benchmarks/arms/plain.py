"""Fine-tuning as a script around the Trainer does it: nothing here is raycompare's but the metrics.

The arguments are the Trainer's defaults, except that nothing is logged to services or drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal

import datasets
import numpy as np
from datasets import Dataset
from transformers import (
    DataCollatorWithPadding,
    EvalPrediction,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    default_data_collator,
)

from raycompare.metrics import classification_metrics

Padding = Literal["max_length", "longest"]
"""Of every text, once, to the maximum; or of each batch to its longest text."""

METRIC = "eval_matthews_correlation"
QUIET: Mapping[str, Any] = {
    "report_to": "none",
    "disable_tqdm": True,
    "dataloader_pin_memory": False,
    "save_strategy": "no",
}


@dataclass(frozen=True, kw_only=True)
class PlainTokens:
    """Tokenised splits as Hugging Face data sets, with the collator that fits."""

    splits: Mapping[str, Dataset]
    collator: Any


def plain_tokens(
    splits: Mapping[str, Dataset],
    tokenizer: PreTrainedTokenizerBase,
    padding: Padding,
    max_length: int,
) -> PlainTokens:
    """Tokenise with `Dataset.map`; the columns are `text` and `label`."""
    datasets.disable_progress_bars()
    pad = padding == "max_length"

    def encode(rows: dict[str, list[str]]) -> Any:
        options: dict[str, Any] = {"padding": "max_length"} if pad else {}
        return tokenizer(rows["text"], truncation=True, max_length=max_length, **options)

    tokens = {name: split.map(encode, batched=True) for name, split in splits.items()}
    collator = default_data_collator if pad else DataCollatorWithPadding(tokenizer)
    return PlainTokens(splits=tokens, collator=collator)


def plain_trainer(
    model: PreTrainedModel,
    tokens: PlainTokens,
    arguments: Mapping[str, Any],
    *callbacks: TrainerCallback,
) -> Trainer:
    """Build a Trainer; `arguments` are over `QUIET` and the Trainer's defaults."""
    trainer = Trainer(
        model=model,
        args=TrainingArguments(**{"output_dir": "trainer", **QUIET, **arguments}),
        train_dataset=tokens.splits["train"],
        eval_dataset=tokens.splits["validation"],
        data_collator=tokens.collator,
        compute_metrics=_metrics,
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _metrics(prediction: EvalPrediction) -> dict[str, float]:
    predicted = np.asarray(prediction.predictions).argmax(axis=-1)
    return classification_metrics(np.asarray(prediction.label_ids), predicted)


class TrainClock(TrainerCallback):
    """Measures what raycompare's own clock measures: from the first step to the last."""

    def __init__(self) -> None:
        """Start with nothing measured."""
        self._began = 0.0
        self.seconds = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock."""
        self._began = perf_counter()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Read the clock."""
        self.seconds = perf_counter() - self._began

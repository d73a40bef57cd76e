"""The fine-tuning script of the study's plain arms: everything from text to Trainer is in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets import Dataset, load_dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    Trainer,
    TrainerCallback,
    set_seed,
)

from benchmarks.ag_news import EVAL_BATCH_SIZE
from benchmarks.arms.plain import METRIC, Padding, plain_tokens, plain_trainer
from benchmarks.arms.request import Request, Trained


def trainer_of(
    request: Request, index: int, padding: Padding, more: dict[str, Any], *calls: TrainerCallback
) -> Trainer:
    """Load rows and model of a configuration, tokenise, and build its Trainer."""
    asked = request.configurations[index]
    set_seed(request.seed)
    model = AutoModelForSequenceClassification.from_pretrained(
        asked.place, num_labels=request.labels, **asked.config
    )
    tokenizer = AutoTokenizer.from_pretrained(asked.place)
    tokens = plain_tokens(_rows(request), tokenizer, padding, request.max_length)
    fixed = {"seed": request.seed, "per_device_eval_batch_size": EVAL_BATCH_SIZE}
    return plain_trainer(model, tokens, {**fixed, **asked.arguments, **more}, *calls)


def _rows(request: Request) -> dict[str, Dataset]:
    files = {part: str(Path(request.data) / f"{part}.parquet") for part in ("train", "validation")}
    return dict(load_dataset("parquet", data_files=files, cache_dir=f"{request.work}/cache"))


def trained(trainer: Trainer, index: int) -> Trained:
    """Sum up a Trainer that has run."""
    values = [row[METRIC] for row in trainer.state.log_history if METRIC in row]
    best = max(values, default=None)
    return Trained(index=index, best=best, steps=trainer.state.global_step)

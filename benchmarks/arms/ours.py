"""raycompare's side of the benchmarks: all that they know of a trial's types is here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from transformers import Trainer, set_seed
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

from raycompare.data.splits import LabelledData, load_splits
from raycompare.data.tokenize import add_padding, tokenize
from raycompare.data.tokens import TokenizedData
from raycompare.experiment.hyperparameters import settings_of
from raycompare.experiment.spec import Arguments, Experiment
from raycompare.metrics import MODES
from raycompare.models.pretrained import build_model, load_tokenizer
from raycompare.records.messages import Message, TrialEnd
from raycompare.training.task import TrialTask
from raycompare.training.trainer import PARTS, build_trainer
from raycompare.training.trial import train_trial
from raycompare.tuning.plans import make_plan


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one fine-tuning run gave."""

    train_seconds: float
    eval_seconds: float
    test_seconds: float
    test_mcc: float


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """An experiment with its data read and tokenised for its first model."""

    experiment: Experiment
    data: LabelledData
    tokens: TokenizedData


def load(experiment: Experiment) -> Loaded:
    """Read and tokenise the data of an experiment whose models share a tokenizer."""
    # Every model says that its weights are being read and that its head is new.
    set_verbosity_error()  # type: ignore[no-untyped-call]
    disable_progress_bar()  # type: ignore[no-untyped-call]
    data = load_splits(experiment.data, experiment.seed)
    tokenizer, spec = load_tokenizer(experiment.models[0]), experiment.data
    tokens = add_padding(tokenize(data, tokenizer, spec), data, tokenizer, spec)
    return Loaded(experiment=experiment, data=data, tokens=tokens)


def finalist(loaded: Loaded, model: str, searched: Arguments, seed: int, threads: int) -> TrialTask:
    """Return the task of a trial of the confirm stage, which is tested too."""
    experiment = loaded.experiment
    settings = settings_of(experiment, model)
    return TrialTask(
        plan=make_plan("confirm", 0, model, searched, seed),
        model=settings.model,
        arguments=settings.arguments(searched),
        data=loaded.tokens,
        label_names=loaded.data.label_names,
        metric=experiment.tune.metric,
        mode=MODES[experiment.tune.metric],
        num_threads=threads,
    )


def train(task: TrialTask) -> Outcome:
    """Train and test one finalist in this process."""
    sink = _Kept()
    train_trial(task, sink)
    end = sink.messages[-1]
    assert isinstance(end, TrialEnd)
    assert end.test_metrics is not None
    assert end.test_seconds is not None
    return Outcome(
        train_seconds=end.train_seconds,
        eval_seconds=end.eval_seconds,
        test_seconds=end.test_seconds,
        test_mcc=end.test_metrics["matthews_correlation"],
    )


@dataclass(frozen=True)
class _Kept:
    messages: list[Message] = field(default_factory=list)

    def report(self, message: Message) -> None:
        self.messages.append(message)

    def save_predictions(self, table: pa.Table) -> None:
        """Nobody reads them here."""

    def save_weights(self, folder: Path) -> None:
        """Nobody loads them here."""

    def save_checkpoint(self, folder: Path) -> None:
        """Nothing is cut off here."""

    def checkpoint(self, scratch: Path) -> Path | None:
        """Nothing goes on here."""
        return None


def fresh_trainer(task: TrialTask) -> Trainer:
    """Return the Trainer that `train_trial` builds, with the same weights to begin with."""
    torch.set_num_threads(task.num_threads)
    set_seed(task.plan.seed)
    return build_trainer(task, build_model(task.model, task.label_names, task.arguments))


def batches(trainer: Trainer) -> Iterator[list[Mapping[str, torch.Tensor]]]:
    """Yield the parts of the batches of all epochs, in the order `trainer.train()` takes them."""
    loader: Any = trainer.get_train_dataloader()
    wrapped = getattr(loader, "batch_sampler", None)
    parts: tuple[Any, ...] = (loader, getattr(wrapped, "batch_sampler", None))
    for epoch in range(int(trainer.args.num_train_epochs)):
        for part in parts:
            if hasattr(part, "set_epoch"):
                part.set_epoch(epoch)
        yield from (batch[PARTS] for batch in loader)

"""Four ways to fine-tune one model on the same rows with the same optimizer settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter

import torch
from transformers import PreTrainedModel, Trainer, TrainingArguments, get_scheduler, set_seed

from benchmarks.ag_news import EVAL_BATCH_SIZE, MAX_LENGTH
from benchmarks.arms import ours
from benchmarks.arms.ours import Loaded, Outcome
from benchmarks.arms.plain import PlainTokens, TrainClock, plain_tokens, plain_trainer
from raycompare.models.pretrained import load_pretrained, load_tokenizer
from raycompare.training.task import TrialTask


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """The rows as each arm reads them."""

    loaded: Loaded
    padded: PlainTokens
    dynamic: PlainTokens
    threads: int

    def task(self, seed: int) -> TrialTask:
        """Return raycompare's task for a seed."""
        model = self.loaded.experiment.models[0].name
        return ours.finalist(self.loaded, model, {}, seed, self.threads)


def prepare(loaded: Loaded, threads: int) -> Prepared:
    """Tokenise the rows for the plain arms as well."""
    data, tokenizer = loaded.data, load_tokenizer(loaded.experiment.models[0])
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    texts = {name: split.remove_columns("example_id") for name, split in splits.items()}
    return Prepared(
        loaded=loaded,
        padded=plain_tokens(texts, tokenizer, "max_length", MAX_LENGTH),
        dynamic=plain_tokens(texts, tokenizer, "longest", MAX_LENGTH),
        threads=threads,
    )


def raycompare(prepared: Prepared, seed: int) -> Outcome:
    """Run a trial of the confirm stage; its own clock says how long it trained."""
    return ours.train(prepared.task(seed))


def padded(prepared: Prepared, seed: int) -> Outcome:
    """Run the Trainer on texts that are all padded to the maximum."""
    return _trainer(prepared, prepared.padded, seed)


def dynamic(prepared: Prepared, seed: int) -> Outcome:
    """Run the Trainer with its defaults: each batch padded to its longest, random order."""
    return _trainer(prepared, prepared.dynamic, seed)


def _trainer(prepared: Prepared, tokens: PlainTokens, seed: int) -> Outcome:
    model = _model(prepared, seed)
    clock = TrainClock()
    training = dict(prepared.loaded.experiment.training)
    arguments = {**training, "seed": seed, "per_device_eval_batch_size": EVAL_BATCH_SIZE}
    trainer = plain_trainer(model, tokens, arguments, clock)
    trainer.train()
    return _outcome(trainer, tokens.splits["test"], clock.seconds)


def _model(prepared: Prepared, seed: int) -> PreTrainedModel:
    torch.set_num_threads(prepared.threads)
    set_seed(seed)
    return load_pretrained(prepared.loaded.experiment.models[0], prepared.loaded.data.label_names)


def _outcome(trainer: Trainer, test: torch.utils.data.Dataset[object], seconds: float) -> Outcome:
    validated = trainer.evaluate()
    tested = trainer.predict(test).metrics
    assert tested is not None
    return Outcome(
        train_seconds=seconds,
        eval_seconds=validated["eval_runtime"],
        test_seconds=tested["test_runtime"],
        test_mcc=tested["test_matthews_correlation"],
    )


def bare(prepared: Prepared, seed: int) -> Outcome:
    """Run a loop of nothing but PyTorch on raycompare's batches, made beforehand, in their parts.

    Its model is tested by raycompare's Trainer.
    """
    task = prepared.task(seed)
    trainer = ours.fresh_trainer(task)
    device = trainer.args.device
    batches = [
        [{name: values.to(device) for name, values in part.items()} for part in batch]
        for batch in ours.batches(trainer)
    ]
    assert isinstance(trainer.model, torch.nn.Module)
    seconds = _bare_loop(trainer.model.to(device), batches, trainer.args)
    return _outcome(trainer, task.tested.test, seconds)


def _bare_loop(
    model: torch.nn.Module, batches: list[list[dict[str, torch.Tensor]]], args: TrainingArguments
) -> float:
    """Train; return the seconds it took."""
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=args.learning_rate,
        betas=(args.adam_beta1, args.adam_beta2),
        eps=args.adam_epsilon,
        weight_decay=args.weight_decay,
        fused=True,
    )
    schedule = get_scheduler(args.lr_scheduler_type, optimizer, 0, len(batches))
    model.train()
    loss = torch.zeros(())
    began = perf_counter()
    for batch in batches:
        rows = sum(len(part["labels"]) for part in batch)
        for part in batch:
            loss = model(**part).loss * (len(part["labels"]) / rows)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), args.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    loss.item()  # waits for the device
    return perf_counter() - began


OURS, BARE = "raycompare", "bare PyTorch loop"
PADDED, DEFAULTS = f"Trainer, padded to {MAX_LENGTH}", "Trainer, defaults"

ARMS: Mapping[str, Callable[[Prepared, int], Outcome]] = {
    OURS: raycompare,
    PADDED: padded,
    DEFAULTS: dynamic,
    BARE: bare,
}

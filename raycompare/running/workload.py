"""Counts the work of an experiment's trials before any of them runs.

A token costs 2 FLOP per parameter forward and twice as much backward, without embeddings, which
are only looked up, and without attention scores, which are a small part in short texts
(Kaplan et al. 2020, arXiv 2001.08361, section 2.1).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from raycompare.data.splits import LabelledData, text_columns
from raycompare.data.tokenize import resolve_length
from raycompare.data.tokens import Ints
from raycompare.experiment.hyperparameters import Length, ModelSettings, all_settings
from raycompare.experiment.spec import Arguments, Experiment, ModelSpec
from raycompare.models.heads import config_fields
from raycompare.models.pretrained import build_without_weights, load_config, load_tokenizer
from raycompare.training.arguments import BY_LENGTH, ORDER, batch_size_of, planned_steps
from raycompare.tuning.plans import FixedProposer, slots_to_search
from raycompare.tuning.schedulers.registry import rung_positions

TRAIN_FLOP, EVAL_FLOP = 6, 2
"""FLOP per parameter and token: forward and backward; forward only."""
SAMPLE = 1000
"""Number of training texts that are tokenised to estimate lengths."""
DEFAULT_EVAL_STEPS = 500
"""The Trainer's default for `eval_steps` with `eval_strategy: steps`."""
DRAWS = 200
"""Number of random batches that are drawn to estimate the length of the longest text."""


@dataclass(frozen=True, kw_only=True)
class TrialWork:
    """The work of a trial with its model's default configuration, trained to the end."""

    steps: int
    """Optimizer steps."""
    tokens: int
    """Tokens of all splits, including padding."""
    flop: float


@dataclass(frozen=True, kw_only=True)
class ModelWork:
    """The work of all trials of a model, as an upper limit."""

    model: str
    tune_trials: int
    confirm_trials: int
    tune: TrialWork
    confirm: TrialWork
    """Includes the evaluation on the test split."""
    width: int
    """Width of a hidden layer."""
    rows: int
    """Number of tokens that a layer computes at once."""


@dataclass(frozen=True)
class _TrialLength:
    steps: int
    epochs: float
    evaluations: int


def workload(experiment: Experiment, data: LabelledData, pads: bool) -> Iterator[ModelWork]:
    """Count the work of each model's trials.

    `pads` says whether batches are padded to their longest text, as on a GPU; on CPUs, a batch is
    computed in parts of similar length.
    """
    counts = FixedProposer(experiment).counts
    turns = [slot.model for slot in slots_to_search(experiment, counts)]
    sampled: dict[tuple[object, Length], Ints] = {}
    for settings in all_settings(experiment):
        length = settings.max_length({})
        key = settings.model.source, length
        if key not in sampled:
            sampled[key] = sample_lengths(load_tokenizer(settings.model), data, length)
        yield _model_work(settings, data, sampled[key], turns.count(settings.name), pads)


def sample_lengths(tokenizer: PreTrainedTokenizerBase, data: LabelledData, length: Length) -> Ints:
    """Count the tokens of some training texts, truncated as in a trial: int64, [texts].

    If `length` is a percentile, it is that of the sample.
    """
    rows = np.random.default_rng(0).permutation(len(data.train))[:SAMPLE]
    texts = data.train.select(np.sort(rows))
    columns = [texts[name][:] for name in text_columns(texts)]
    lengths = np.array([len(ids) for ids in tokenizer(*columns, verbose=False)["input_ids"]])
    most = min(resolve_length(length, lengths), tokenizer.model_max_length)
    cut: Ints = np.minimum(lengths, most)
    return cut


def _model_work(
    settings: ModelSettings, data: LabelledData, lengths: Ints, trials: int, pads: bool
) -> ModelWork:
    arguments = settings.arguments({})
    config = _config(settings.model, arguments, len(data.label_names))
    parameters = multiplying_parameters(build_without_weights(settings.model, config))
    course = _course(arguments, np.resize(lengths, len(data.train)))
    whole = settings.experiment.data.padding == "max_length"
    per_text = float(lengths.max() if whole else lengths.mean())
    trained = per_text
    if pads and not whole and arguments.get(ORDER) != BY_LENGTH:
        trained = longest_of_a_batch(lengths, batch_size_of(arguments).texts)
    train = trained * len(data.train) * course.epochs
    tune = per_text * len(data.validation) * _tune_evaluations(settings, course)
    confirm = per_text * (len(data.validation) * course.evaluations + len(data.test))

    def work(evaluated: float) -> TrialWork:
        flop = parameters * (TRAIN_FLOP * train + EVAL_FLOP * evaluated)
        return TrialWork(steps=course.steps, tokens=round(train + evaluated), flop=flop)

    return ModelWork(
        model=settings.name,
        tune_trials=trials,
        confirm_trials=len(settings.experiment.confirm.all_seeds),
        tune=work(tune),
        confirm=work(confirm),
        width=int(getattr(config, "hidden_size", 0) or getattr(config, "dim", 0) or 768),
        rows=math.ceil(trained * batch_size_of(arguments).texts),
    )


def longest_of_a_batch(lengths: Ints, texts: int) -> float:
    """Return the mean length of the longest text in a random batch, in tokens."""
    drawn = np.random.default_rng(0).choice(lengths, (DRAWS, texts))
    return float(drawn.max(axis=1).mean())


def _course(arguments: Arguments, lengths: Ints) -> _TrialLength:
    steps = planned_steps(arguments, lengths)
    once = {**arguments, "num_train_epochs": 1, "max_steps": -1}
    epochs = steps / max(planned_steps(once, lengths), 1)
    return _TrialLength(steps, epochs, _evaluations(arguments, steps, epochs))


def _evaluations(arguments: Arguments, steps: int, epochs: float) -> int:
    """Count the evaluations of a trial: at the interval of its settings, else once per epoch."""
    if arguments.get("eval_strategy") != "steps":
        return math.ceil(epochs)
    every = arguments.get("eval_steps") or DEFAULT_EVAL_STEPS
    assert isinstance(every, int | float)
    return math.ceil(steps / (every if every >= 1 else max(steps * every, 1)))


def _tune_evaluations(settings: ModelSettings, course: _TrialLength) -> int:
    if settings.sets_evaluation:
        return course.evaluations
    steps, tune = {settings.name: course.steps}, settings.experiment.tune
    tune = tune.model_copy(update={"time_attr": "steps", "grace_period": None})
    return len(rung_positions(tune, steps)[settings.name]) + 1


def _config(model: ModelSpec, arguments: Arguments, labels: int) -> PretrainedConfig:
    fields = {**model.config, **config_fields(arguments)}
    config = load_config(model.model_copy(update={"config": fields}))
    config.num_labels = labels
    return config


def multiplying_parameters(model: PreTrainedModel) -> int:
    """Count the weights that each token is multiplied with; shared layers count once per use."""
    config = model.config
    looked_up = {
        id(weight)
        for module in model.modules()
        if isinstance(module, torch.nn.Embedding)
        for weight in module.parameters()
    }
    multiplied: int = sum(w.numel() for w in model.parameters() if id(w) not in looked_up)
    # ALBERT's layers share their weights in groups.
    groups = getattr(config, "num_hidden_groups", None)
    return multiplied * (config.num_hidden_layers // groups if groups else 1)

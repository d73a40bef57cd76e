"""What a model's trials are given: the length of texts, and steps or examples of a default run."""

from __future__ import annotations

from collections.abc import Mapping

from raycompare.arguments import MAX_LENGTH, arguments_of, batch_size_of, planned_steps
from raycompare.rule_book import rung_positions
from raycompare.spec import Arguments, Experiment, ModelSpec
from raycompare.tokens import Ints

Length = int | str
"""Tokens that texts are cut to, as an experiment says it: a number, or a percentile."""


def max_length_of(experiment: Experiment, model: ModelSpec, searched: Arguments) -> Length:
    """Return what a trial of the model cuts texts to."""
    given = {**experiment.training_of(model), **searched}
    length = given.get(MAX_LENGTH, experiment.data.max_length)
    assert isinstance(length, int | str)
    return length


def lengths_of(experiment: Experiment, model: ModelSpec) -> list[Length]:
    """Return every length that a trial of the model may have; that of its default first."""
    default = max_length_of(experiment, model, {})
    domain = experiment.search_space_of(model).get(MAX_LENGTH)
    searched = [value for value in domain.examples if isinstance(value, int)] if domain else []
    return list(dict.fromkeys([default, *searched]))


def examples_per_step(arguments: Arguments) -> int:
    """Return the texts of one optimizer step on one device, where batches count texts."""
    accumulated = arguments.get("gradient_accumulation_steps", 1)
    assert isinstance(accumulated, int)
    return batch_size_of(arguments).texts * accumulated


def rungs_of(experiment: Experiment, lengths: Mapping[str, Ints]) -> dict[str, tuple[int, ...]]:
    """Return where each model's trials are compared; `lengths` are the tokens of its texts."""
    budgets = {
        model.name: _budget(experiment, model, lengths[model.name]) for model in experiment.models
    }
    return rung_positions(experiment.tune, budgets)


def _budget(experiment: Experiment, model: ModelSpec, lengths: Ints) -> int:
    arguments = arguments_of(experiment, model, {})
    steps = planned_steps(arguments, lengths)
    return steps if experiment.tune.time_attr == "steps" else steps * examples_per_step(arguments)

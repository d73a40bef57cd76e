"""Whether texts are cut to no more tokens than the models have positions for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from raycompare.architectures import position_limit
from raycompare.arguments import MAX_LENGTH
from raycompare.budgets import Length, lengths_of
from raycompare.data import LabelledData
from raycompare.errors import Problem
from raycompare.given import given_to
from raycompare.models import load_config, load_tokenizer, unloaded, vocabulary_of
from raycompare.spec import Experiment, ModelSpec
from raycompare.workload import sample_lengths


def length_problems(experiment: Experiment, data: LabelledData) -> Iterator[Problem]:
    """Find texts that would be longer than a model of known positions can take.

    A tokenizer that names a limit keeps to it. What a percentile comes to is taken from a sample.
    """
    for number, model in enumerate(experiment.models):
        limit = position_limit(unloaded(model, load_config(model)))
        longest = _longest(model, data, lengths_of(experiment, model))
        if limit is not None and longest > limit:
            given = given_to(experiment, model, f"models.{number}")
            is_own = given.all_values(MAX_LENGTH)
            yield Problem(
                where=given.place(MAX_LENGTH) if is_own else f"data.{MAX_LENGTH}",
                found=f"texts of up to {longest:,} tokens for {model.name}",
                allowed=f"{limit:,}, which is how many positions it has",
            )


def _longest(model: ModelSpec, data: LabelledData, lengths: Sequence[Length]) -> int:
    """Return what the texts may have, as far as the tokenizer allows it."""
    numbers = [length for length in lengths if isinstance(length, int)]
    if len(numbers) < len(lengths):
        tokenizer = load_tokenizer(model)
        shares = [length for length in lengths if isinstance(length, str)]
        numbers += [int(sample_lengths(tokenizer, data, share).max()) for share in shares]
    return min(max(numbers), vocabulary_of(model).limit)

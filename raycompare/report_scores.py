"""The sections of the report that say which model is best, and with which hyperparameters."""

from __future__ import annotations

from collections.abc import Sequence

from raycompare.compare import Comparison, Configuration
from raycompare.judgement import Judgement
from raycompare.leaderboard import ModelRow, shown_metrics, spread
from raycompare.markdown import (
    NOTHING,
    change,
    count,
    duration,
    escape,
    listing,
    number_of,
    score,
    setting,
    table,
)
from raycompare.metrics import LABELS, MODES
from raycompare.verdict import bounds

METHODS = "How and why: docs/statistics.md of raycompare."


def leaderboard_section(comparison: Comparison) -> str:
    """Rank the models, and say how to read the ranks."""
    rows = enumerate(comparison.leaderboard, 1)
    parts = [
        "## Leaderboard",
        table(_headers(comparison), [_cells(comparison, *row) for row in rows], left=2),
        _baseline(comparison),
        _unfinished(comparison),
        _how_to_read(comparison),
    ]
    return "\n\n".join(part for part in parts if part)


def _headers(comparison: Comparison) -> list[str]:
    return [
        "#",
        "model",
        *(f"test {LABELS[name]}" for name in shown_metrics(comparison.metric)),
        f"{LABELS[comparison.judgement.metric]}, 95 %",
        "tier",
        "ranks",
        f"validation {LABELS[comparison.metric]}",
        "seeds",
        "parameters",
        "training",
        "evaluation",
        "steps to best",
    ]


def _cells(comparison: Comparison, rank: int, row: ModelRow) -> list[str]:
    tests = [
        spread(row.test[name]) if row.test else NOTHING for name in shown_metrics(comparison.metric)
    ]
    return [
        str(rank) if row.test else NOTHING,
        escape(row.model),
        *tests,
        *_standing(comparison.judgement, row.model),
        score(row.validation),
        f"{row.seeds_done} of {row.seeds_planned}",
        count(row.num_parameters),
        duration(row.train_seconds),
        duration(row.eval_seconds),
        count(row.steps_to_best),
    ]


def _standing(judgement: Judgement, model: str) -> list[str]:
    if model not in judgement.tiers:
        return [NOTHING] * 3
    ranks = judgement.ranks[model]
    return [
        bounds(judgement.intervals[model][judgement.metric]),
        judgement.tiers[model],
        str(ranks.best) if ranks.best == ranks.worst else f"{ranks.best} to {ranks.worst}",
    ]


def _baseline(comparison: Comparison) -> str:
    if comparison.baseline is None:
        return ""
    label, accuracy = escape(comparison.baseline.label), score(comparison.baseline.accuracy)
    return f"Majority class (always answers {label}): test accuracy {accuracy}, MCC {score(0.0)}."


def _unfinished(comparison: Comparison) -> str:
    lines = [
        f"- {escape(row.model)} has no test value: {escape(row.reason)}"
        for row in comparison.leaderboard
        if row.reason is not None
    ]
    return "\n".join(lines)


def _how_to_read(comparison: Comparison) -> str:
    metric = comparison.metric
    direction = "higher" if MODES[metric] == "max" else "lower"
    seeds = number_of(len(comparison.experiment.confirm.seeds), "seed")
    return "\n".join(
        [
            f"- Ordered by mean test {LABELS[metric]}, {direction} is better. ± is the sample "
            f"standard deviation over the finished ones of {seeds}.",
            "- Each seed retrained the model's best configuration to full budget and was tested "
            f"once, with its best checkpoint by validation {LABELS[metric]}. Averages over "
            "evaluations are never used.",
            *_how_to_compare(comparison),
            "- *Training* and *evaluation* are mean wall-clock per seed; *steps to best* is the "
            "median.",
        ]
    )


def _how_to_compare(comparison: Comparison) -> list[str]:
    judgement = comparison.judgement
    if judgement.gap is not None:
        return [f"- No intervals and no tests were made, and nothing is claimed: {judgement.gap}."]
    single = [escape(row.model) for row in comparison.leaderboard if row.seeds_done == 1]
    rows = number_of(judgement.examples, "test row")
    notes = [
        "- *95 %* is the interval of the expected score: a bootstrap of the seeds and of the "
        f"{rows}, {count(judgement.resamples)} resamples, widened by Student's t for few seeds.",
        "- Models that share a letter of *tier* can't be told apart, by Student's t of seeds and "
        "test rows, 5 % over all pairs (Holm). *Ranks* are those that no test rules out. "
        f"{METHODS}",
    ]
    if single:
        notes.append(
            f"- {listing(single)} finished one seed: the interval is over test rows only and says "
            "nothing of other seeds, and no test is made."
        )
    return notes


def hyperparameters_section(comparison: Comparison) -> str:
    """Show the best hyperparameters of each model and what tuning bought."""
    if not comparison.configurations:
        return ""
    names = sorted({name for row in comparison.configurations for name in row.hyperparameters})
    metric = LABELS[comparison.metric]
    headers = ["model", "configuration", *map(escape, names)]
    rows = [_configuration(comparison, row, names) for row in comparison.configurations]
    parts = ["## Best hyperparameters", table(headers, rows, left=2), _defaults_note(comparison)]
    if any(row.gain is not None for row in comparison.configurations):
        gains = [_gain(row) for row in comparison.configurations]
        headers = ["model", f"default, {metric}", f"best tuned, {metric}", "tuning bought"]
        parts += [table(headers, gains), _gain_note(comparison)]
    return "\n\n".join(part for part in parts if part)


def _configuration(comparison: Comparison, row: Configuration, names: Sequence[str]) -> list[str]:
    kind = "untuned default" if row.is_default else "tuned"
    return [
        escape(row.model),
        kind if row.confirmed else f"{kind}, not confirmed",
        *(_value(comparison, row, name) for name in names),
    ]


def _value(comparison: Comparison, row: Configuration, name: str) -> str:
    if name in row.hyperparameters:
        return setting(row.hyperparameters[name])
    experiment = comparison.experiment
    fixed = experiment.training_of(experiment.model_named(row.model))
    return setting(fixed[name]) if name in fixed else "default"


def _defaults_note(comparison: Comparison) -> str:
    untuned = [escape(row.model) for row in comparison.configurations if row.is_default]
    note = (
        "Only what was searched is shown, floats with three significant digits; experiment.yaml "
        "has all that was fixed, and *default* is the Trainer's or the model's own value."
    )
    return f"{note} The untuned default was best for {listing(untuned)}." if untuned else note


def _gain(row: Configuration) -> list[str]:
    return [
        escape(row.model),
        score(row.default_value),
        score(row.tuned_value),
        change(row.gain),
    ]


def _gain_note(comparison: Comparison) -> str:
    return (
        f"Best validation {LABELS[comparison.metric]} in the tune stage, one seed. *Tuning bought* "
        "counts towards better; below zero, no sample beat the default. The search chose by these "
        "same values, so they flatter it a little; the test values above do not."
    )

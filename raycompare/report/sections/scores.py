"""The sections of the report that say which model is best, and with which hyperparameters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count as numbers

from raycompare.analysis.comparison import Comparison, Configuration
from raycompare.analysis.leaderboard import BaselineRow, ModelRow, shown_metrics, spread
from raycompare.analysis.significance import Judgement
from raycompare.analysis.tiers import Ranks
from raycompare.analysis.verdict import bounds
from raycompare.experiment.hyperparameters import settings_of
from raycompare.formatting import (
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

METHODS = "How and why: docs/statistics.md of raycompare."


def leaderboard_section(comparison: Comparison, title: str = "Leaderboard") -> str:
    """Rank the models, and say how to read the ranks."""
    parts = [
        f"## {title}",
        table(_headers(comparison), _lines(comparison), left=2),
        _list_untested(comparison),
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
    ]


def _lines(comparison: Comparison) -> list[list[str]]:
    rank = numbers(1)
    return [
        _baseline_cells(comparison, line)
        if isinstance(line, BaselineRow)
        else _cells(comparison, next(rank), line)
        for line in comparison.standings
    ]


def _baseline_cells(comparison: Comparison, row: BaselineRow) -> list[str]:
    return [
        "baseline",
        escape(row.model),
        *(score(row.test.get(name)) for name in shown_metrics(comparison.metric)),
        *_standing(comparison.judgement, row.model),
        score(row.validation),
        NOTHING,
        count(row.num_parameters),
        duration(row.seconds),
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
    ]


def _standing(judgement: Judgement, model: str) -> list[str]:
    if model not in judgement.tiers:
        return [NOTHING] * 3
    return [
        bounds(judgement.intervals[model][judgement.metric]),
        judgement.tiers[model],
        _ranks(judgement.ranks.get(model)),
    ]


def _ranks(ranks: Ranks | None) -> str:
    if ranks is None:
        return NOTHING
    return str(ranks.best) if ranks.best == ranks.worst else f"{ranks.best} to {ranks.worst}"


def _list_untested(comparison: Comparison) -> str:
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
            *_about_weights(comparison),
            *_about_baselines(comparison),
            "- *Training* is the mean wall-clock per seed, without evaluations. "
            "tables/leaderboard.csv has more columns.",
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


def _about_weights(comparison: Comparison) -> list[str]:
    models = comparison.experiment.models
    random = [escape(model.name) for model in models if not model.is_pretrained]
    if not random:
        return []
    what = "is not pretrained: its" if len(random) == 1 else "are not pretrained: their"
    return [
        f"- {listing(random)} {what} weights were drawn at random (`init: random`), anew for each "
        "seed. Such a score says nothing of the pretrained model of that architecture."
    ]


def _about_baselines(comparison: Comparison) -> list[str]:
    fitted = [escape(row.model) for row in comparison.baselines if row.trial_id]
    notes = []
    if len(fitted) < len(comparison.baselines):
        notes.append("- The majority class always answers the most frequent label of the test.")
    if fitted:
        notes.append(
            f"- {listing(fitted)} learned from the same training rows on one CPU, its "
            "regularisation chosen by cross-validation on them. No seed moves its answers, so its "
            "interval is over test rows only. *Training* has all of its time. Baselines are not "
            "counted in *ranks*."
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
    fixed = settings_of(comparison.experiment, row.model).training
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

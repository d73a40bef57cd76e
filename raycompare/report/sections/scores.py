"""Section of the report on the ranking of the models."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count as numbers

from raycompare.analysis.comparison import Comparison
from raycompare.analysis.leaderboard import BaselineRow, ModelRow, shown_metrics, spread
from raycompare.analysis.statistics.judgement import Judgement
from raycompare.analysis.verdict import bounds, room
from raycompare.experiment.settings import ConfirmSpec
from raycompare.formatting import (
    NOTHING,
    count,
    duration,
    escape,
    join_parts,
    listing,
    number_of,
    score,
    table,
)
from raycompare.metrics import LABELS, MODES, MetricName

MOST_OPEN = 12
"""Largest number of models in a table that is not folded, after the leaderboard."""
MOST_NAMES = 5
"""Largest number of models that a note names."""
METHODS = "The methods are described in docs/statistics.md of raycompare."


def leaderboard_section(comparison: Comparison, title: str = "Leaderboard") -> str:
    """Rank the models, and explain how to read the table."""
    rows = table(_headers(comparison), _lines(comparison), left=2)
    return join_parts(f"## {title}", rows, _list_untested(comparison), _how_to_read(comparison))


def _headers(comparison: Comparison) -> list[str]:
    return [
        "#",
        "model",
        f"test {LABELS[comparison.metric]}",
        "95 %",
        "may be best",
        "detectable",
        *(f"test {LABELS[name]}" for name in _other_metrics(comparison)),
        f"validation {LABELS[comparison.metric]}",
        "parameters",
        "training",
    ]


def _other_metrics(comparison: Comparison) -> list[MetricName]:
    return [name for name in shown_metrics(comparison.metric) if name != comparison.metric]


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
        score(row.test.get(comparison.metric)),
        *standing_cells(comparison, row.model),
        *(score(row.test.get(name)) for name in _other_metrics(comparison)),
        score(row.validation),
        count(row.num_parameters),
        duration(row.seconds),
    ]


def _cells(comparison: Comparison, rank: int, row: ModelRow) -> list[str]:
    deciding, *others = [
        spread(row.test[name]) if row.test else NOTHING
        for name in (comparison.metric, *_other_metrics(comparison))
    ]
    return [
        str(rank) if row.test else NOTHING,
        escape(row.model),
        deciding,
        *standing_cells(comparison, row.model),
        *others,
        score(row.validation),
        count(row.num_parameters),
        duration(row.train_seconds),
    ]


def standing_cells(comparison: Comparison, model: str) -> list[str]:
    """Return the interval of a model, whether it may be the best, and what would be missed."""
    judgement = comparison.judgement
    if model not in judgement.intervals:
        return [NOTHING] * 3
    interval = bounds(judgement.intervals[model][judgement.metric])
    standing = judgement.standings.get(model)
    if standing is None:
        return [interval, "not tested", NOTHING]
    may_be_best = "yes" if standing.may_be_best else "no"
    if model in judgement.set_aside:
        may_be_best = "set aside"
    return [interval, may_be_best, _detectable(comparison, standing.missed)]


def _detectable(comparison: Comparison, missed: float | None) -> str:
    if missed is None:
        return NOTHING
    leader = comparison.leaderboard[0].test[comparison.metric].mean
    return "none" if missed >= room(leader, comparison.metric) else score(missed)


def _list_untested(comparison: Comparison) -> str:
    lines = [
        f"- {escape(row.model)} has no test score: {escape(row.reason)}"
        for row in comparison.leaderboard
        if row.reason is not None
    ]
    lines += [
        f"- {escape(row.model)} finished {row.seeds_done} of {row.seeds_planned} seeds."
        for row in comparison.leaderboard
        if 0 < row.seeds_done < row.seeds_planned
    ]
    return "\n".join(lines)


def _how_to_read(comparison: Comparison) -> str:
    metric = comparison.metric
    direction = "higher" if MODES[metric] == "max" else "lower"
    confirm = comparison.experiment.confirm
    most = len(confirm.all_seeds)
    planned = f"{len(confirm.sure_seeds)} to {most}" if confirm.is_race else str(most)
    spread_note = (
        f" ± is the sample standard deviation over seeds ({planned} planned)." if most > 1 else ""
    )
    order = f"- Models are ordered by mean test {LABELS[metric]}; {direction} is better."
    if not comparison.leaderboard[0].test:
        return "\n".join([*_how_to_compare(comparison), *_about_baselines(comparison)])
    return "\n".join(
        [
            f"{order}{spread_note}",
            "- For each seed, the model's best configuration was trained with the full budget and "
            f"tested once, with its best checkpoint by validation {LABELS[metric]}. Averages over "
            "evaluations are never used.",
            *_how_to_compare(comparison),
            *_about_weights(comparison),
            *_about_baselines(comparison),
            "- *Training* is the mean wall-clock time per seed, without evaluations. "
            "tables/leaderboard.csv has more columns.",
        ]
    )


def _how_to_compare(comparison: Comparison) -> list[str]:
    judgement = comparison.judgement
    if judgement.gap is not None:
        return [f"- There are no intervals and no tests, and nothing is claimed: {judgement.gap}."]
    single = [escape(row.model) for row in comparison.leaderboard if row.seeds_done == 1]
    rows = number_of(judgement.examples, "test row")
    lucky = (
        " The interval in the verdict is wider on one side, because the first of several models "
        "that may be the best was probably lucky."
    )
    over = f"over seeds and {rows}" if judgement.standings else f"over {rows} only"
    notes = [
        f"- *95 %* is the interval of the expected score, {over}, of each model on its own."
        f"{lucky if comparison.rivals else ''}"
    ]
    if judgement.standings:
        notes.append(_about_the_best(comparison))
    if comparison.experiment.confirm.is_race:
        notes.append(_about_the_race(comparison.experiment.confirm, judgement))
    if single:
        tested = sum(bool(row.test) for row in comparison.leaderboard)
        names = "Every model" if 1 < tested == len(single) else _list_some(single)
        notes.append(
            f"- {names} finished only one seed. The interval then reflects test rows "
            "only, not how much other seeds would vary, and there is no test."
        )
    return notes


def _list_some(names: Sequence[str]) -> str:
    """Join names as in a sentence, but of many only the first."""
    if len(names) <= MOST_NAMES:
        return listing(names)
    return f"{', '.join(names[:MOST_NAMES])} and {len(names) - MOST_NAMES} other models"


def _about_the_race(confirm: ConfirmSpec, judgement: Judgement) -> str:
    aside = (
        " *Set aside*: after the last round, its estimated chance of being better than the leader "
        f"on these test rows was below {100 * confirm.min_chance:g} %, so it got no further seeds; "
        "this is an estimate, not a test."
    )
    return (
        "- Seeds were added one at a time, to models that might still win. The tests allow for "
        f"that: p values are multiplied by {judgement.peeking:.1f}."
        f"{aside if judgement.set_aside else ''}"
    )


def _about_the_best(comparison: Comparison) -> str:
    standings = comparison.judgement.standings
    has_baselines = any(row.model in standings for row in comparison.baselines)
    baselines = " Baselines are compared with the models only." if has_baselines else ""
    return (
        "- *May be best*: no other model is significantly better, at 5 % over all models together. "
        "The method is meant to rule out the truly best model in at most 5 % of reports."
        f"{baselines} *Detectable*: a model that is worse than the first by less would probably "
        f"not have been ruled out. {METHODS}"
    )


def _about_weights(comparison: Comparison) -> list[str]:
    models = comparison.experiment.models
    random = [escape(model.name) for model in models if not model.is_pretrained]
    if not random:
        return []
    are = "is" if len(random) == 1 else "are"
    return [
        f"- {listing(random)} {are} not pretrained: the weights were initialised at random "
        "(`init: random`), differently for each seed. The score says nothing about pretrained "
        "models of that architecture."
    ]


def _about_baselines(comparison: Comparison) -> list[str]:
    fitted = [escape(row.model) for row in comparison.baselines if row.trial_id]
    notes = []
    if len(fitted) < len(comparison.baselines):
        notes.append("- The majority class always predicts the most frequent label of the test.")
    if fitted:
        notes.append(
            f"- {listing(fitted)} was fitted to the same training rows on one CPU, with its "
            "regularisation selected by cross-validation. It does not depend on the seed, so its "
            "interval reflects test rows only. *Training* is the time of the whole fit."
        )
    return notes

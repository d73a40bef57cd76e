"""The verdict: the one sentence that the report begins with, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from raycompare.endings import first_line
from raycompare.leaderboard import ModelRow, shown_metrics, spread
from raycompare.markdown import count, escape, listing, number_of
from raycompare.metrics import LABELS
from raycompare.record import TrialRecord
from raycompare.spec import Experiment

CHANCE = 0.02
"""Below this distance from 0, the test MCC is that of guessing."""

MOST_NAMES = 3


def verdict(
    experiment: Experiment,
    rows: Sequence[ModelRow],
    tied: Sequence[str],
    cause: TrialRecord | None,
    test_rows: int | None,
) -> str:
    """Say which model is best, by how much, and how sure that is; or why none finished."""
    leader, *others = rows
    if not leader.test:
        return _none_finished(experiment, cause)
    clauses = [f"{_place(experiment, leader, tied)}: {_scores(experiment, leader, test_rows)}"]
    if tied:
        clauses.append(f"{_names(tied)} can't be told apart from it yet")
    if missing := [row.model for row in others if not row.test]:
        clauses.append(f"{_names(missing)} did not finish")
    if abs(leader.test["matthews_correlation"].mean) < CHANCE:
        clauses.append(f"it does no better than guessing (|MCC| < {CHANCE})")
    return "; ".join(clauses) + "."


def _place(experiment: Experiment, leader: ModelRow, tied: Sequence[str]) -> str:
    name, number = f"**{escape(leader.model)}**", len(experiment.models)
    if number == 1:
        return f"{name} is the only model that was tried on {experiment.name}"
    place = "comes first" if tied else "is the best"
    metric = LABELS[experiment.tune.metric]
    return f"{name} {place} of {number} models on {experiment.name} by {metric}"


def _scores(experiment: Experiment, leader: ModelRow, test_rows: int | None) -> str:
    scores = [
        f"{LABELS[name]} {spread(leader.test[name])}"
        for name in shown_metrics(experiment.tune.metric)
    ]
    rows = f", {number_of(test_rows, 'test row')}" if test_rows else ""
    return f"test {', '.join(scores)} ({_over_seeds(leader)}{rows})"


def _over_seeds(row: ModelRow) -> str:
    of_planned = f" of {row.seeds_planned}" if row.seeds_done < row.seeds_planned else ""
    if row.seeds_done == 1:
        return f"one{of_planned} seeds" if of_planned else "one seed"
    return f"mean ± sd over {row.seeds_done}{of_planned} seeds"


def _names(models: Sequence[str]) -> str:
    if len(models) > MOST_NAMES:
        return f"{count(len(models))} other models"
    return listing([escape(model) for model in models])


def _none_finished(experiment: Experiment, cause: TrialRecord | None) -> str:
    number = len(experiment.models)
    whom = "The only model" if number == 1 else f"None of the {number} models"
    did = "did not finish" if number == 1 else "finished"
    if cause is None:
        return f"{whom} {did} on {experiment.name}: no trial was confirmed."
    why = f"{cause.model}, {cause.stage} stage: {first_line(cause)}".rstrip(".")
    return f"{whom} {did} on {experiment.name}; the first cause: {escape(why)}."

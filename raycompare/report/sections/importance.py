"""Section of the report on the importance of hyperparameters."""

from __future__ import annotations

from raycompare.analysis.comparison import Comparison
from raycompare.analysis.importance import Importance
from raycompare.analysis.statistics.explained import Explained
from raycompare.formatting import count, escape, join_parts, listing, number_of, table
from raycompare.metrics import LABELS
from raycompare.report.sections.scores import METHODS


def importance_section(comparison: Comparison) -> str:
    """Show how strongly the scores of the search depended on each hyperparameter."""
    importance = comparison.importance
    if importance is None:
        return ""
    heading = "## Importance of hyperparameters"
    if importance.gap is not None:
        return join_parts(heading, f"Not known: {importance.gap}.")
    headers = ["hyperparameter", "share of variance", "by chance", "p (corrected)", "effect"]
    rows = [_cells(name, own) for name, own in importance.explained.items()]
    return join_parts(
        heading,
        _claim(importance, LABELS[comparison.metric]),
        table([*headers, "trials"], rows),
        _note(importance, LABELS[comparison.metric]),
    )


def _claim(importance: Importance, metric: str) -> str:
    significant = set(importance.significant)
    shown = [escape(name) for name in importance.explained if name in significant]
    others = [escape(name) for name in importance.explained if name not in significant]
    effect, caveat = f"effect on validation {metric}", "which doesn't mean that there is none."
    claims = []
    if shown:
        claims.append(f"{listing(shown)} had an {effect} that chance hardly explains.")
    if others:
        of = "the others" if shown and len(others) > 1 else listing(others)
        claims.append(f"The trials show no {effect} of {of}, {caveat}")
    return " ".join(claims)


def _cells(name: str, own: Explained) -> list[str]:
    effect = "shown" if own.is_significant else "not shown"
    shares = (f"{own.share:.0%}", f"{own.by_chance:.0%}")
    return [escape(name), *shares, f"{own.p:.3f}", effect, count(own.trials)]


def _note(importance: Importance, metric: str) -> str:
    low, high = (f"{share:.0%}" for share in importance.shares)
    after = low if low == high else f"{low} to {high}"
    points = (
        "at the end of their run"
        if importance.shares == (1, 1)
        else f"after {after} of their run, before the scheduler stopped any"
    )
    omitted = (
        f" {number_of(importance.omitted, 'other trial')} could not be compared."
        if importance.omitted
        else ""
    )
    return (
        f"*Share of variance*: of the best validation {metric} of the trials of a model, as "
        "explained by this hyperparameter alone within the range searched, adjusted for the number "
        "of trials. *By chance*: if no hyperparameter had an effect, none would explain "
        "more in 95 % of such searches. *p (corrected)*: from permutations, for all "
        "hyperparameters together; below 0.05 the effect is *shown*. Trials with the untuned "
        f"default are not counted. {number_of(importance.trials, 'trial')} of "
        f"{number_of(importance.models, 'model')} were compared {points}.{omitted} {METHODS}"
    )

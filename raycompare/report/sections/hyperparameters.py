"""Section of the report on the best hyperparameters of the models and the gain from tuning."""

from __future__ import annotations

from collections.abc import Sequence

from raycompare.analysis.comparison import Comparison, Configuration
from raycompare.experiment.hyperparameters import settings_of
from raycompare.formatting import (
    change,
    escape,
    fold_if_long,
    join_parts,
    listing,
    score,
    setting,
    table,
)
from raycompare.metrics import LABELS
from raycompare.report.sections.scores import MOST_OPEN


def hyperparameters_section(comparison: Comparison) -> str:
    """Show the best hyperparameters of each model and the gain from tuning."""
    if not comparison.configurations:
        return ""
    names = sorted({name for row in comparison.configurations for name in row.hyperparameters})
    metric = LABELS[comparison.metric]
    headers = ["model", "configuration", *map(escape, names)]
    rows = [_configuration(comparison, row, names) for row in comparison.configurations]
    number = len(rows)
    best = fold_if_long(table(headers, rows, left=2), number, "model", MOST_OPEN)
    parts = ["## Best hyperparameters", best, _defaults_note(comparison)]
    if any(row.gain is not None for row in comparison.configurations):
        gains = [_gain(row) for row in comparison.configurations]
        headers = ["model", f"default, {metric}", f"best tuned, {metric}", "gain from tuning"]
        table_of_gains = fold_if_long(table(headers, gains), number, "model", MOST_OPEN)
        parts += [table_of_gains, _gain_note(comparison)]
    return join_parts(*parts)


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
        "Only searched hyperparameters are shown, rounded to three significant digits; fixed ones "
        "are in experiment.yaml. *default* is the default of the Trainer or of the model."
    )
    return f"{note} The untuned default was best for {listing(untuned)}." if untuned else note


def _gain(row: Configuration) -> list[str]:
    return [escape(row.model), score(row.default_value), score(row.tuned_value), change(row.gain)]


def _gain_note(comparison: Comparison) -> str:
    return (
        f"Best validation {LABELS[comparison.metric]} in the tune stage, with one seed. The gain "
        "is positive if tuning helped, and negative if no sample beat the default. The search "
        "selected by these values, so they are slightly optimistic; the test scores above are not."
    )

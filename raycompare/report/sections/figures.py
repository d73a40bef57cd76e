"""The section of the report that shows the figures, each with how to read it."""

from __future__ import annotations

from collections.abc import Mapping

from raycompare.analysis.comparison import Comparison
from raycompare.analysis.curves import MOST_CURVES, MOST_LINES, select_curves
from raycompare.formatting import escape, number_of
from raycompare.metrics import LABELS

Images = Mapping[str, Mapping[str, str]]
"""The paths of each figure by the suffix of its theme, by the figure's name."""


def figures_section(comparison: Comparison, figures: Images) -> str:
    """Show the figures that there are, in the colours of the reader's page."""
    texts = captions(comparison)
    shown = [f"{_picture(name, figures[name])}\n\n{texts[name]}" for name in figures]
    return "\n\n".join(["## Figures", *shown]) if shown else ""


def _picture(name: str, paths: Mapping[str, str]) -> str:
    title = name.replace("_", " ").capitalize()
    return (
        "<picture>\n"
        f'  <source media="(prefers-color-scheme: dark)" srcset="{paths["-dark"]}">\n'
        f'  <img src="{paths[""]}" alt="{title}">\n'
        "</picture>"
    )


def captions(comparison: Comparison) -> dict[str, str]:
    """Say how to read each figure, in Markdown, by its name."""
    metric, classes = LABELS[comparison.metric], comparison.judgement.classes
    leader = escape(classes.model) if classes else ""
    return {
        "learning_curves": _of_curves(comparison),
        "best_so_far": f"Best validation {metric} so far against the wall-clock of the run, tune "
        "stage only. Trials of different models ran side by side."
        f"{_leaders(len(comparison.best_so_far), 'best_so_far')}",
        "expected_best": f"The best validation {metric} of so many trials, on average over which "
        "of the model's trials they are. Where a curve still rises at its end, more trials may "
        "find better. Trials that were stopped early count with what they had."
        f"{_order(comparison)}{_leaders(len(comparison.expected_best), 'expected_best')}",
        "wall_clock": "Mean wall-clock of one confirm trial, without loading the model or the "
        "final test. Trials that shared a machine slowed each other down.",
        "pareto": f"Mean test {metric} with its 95 % interval, where it has one, against the "
        "median latency of a text. No model is both quicker and better than those on the line.",
        "confusion": f"What {leader} took the rows of each label for, in percent of the label's "
        "rows, the mean over seeds.",
    }


def _leaders(models: int, table: str) -> str:
    if models <= MOST_LINES:
        return ""
    return f" The first {MOST_LINES} of {models} models; tables/{table}.csv has all."


def _order(comparison: Comparison) -> str:
    if comparison.experiment.tune.search_alg != "optuna":
        return ""
    return " Optuna learns from its trials, so the later ones are better than their average."


def _of_curves(comparison: Comparison) -> str:
    metric = LABELS[comparison.metric]
    clipped = (
        " Losses far above the best trials' leave the axis." if comparison.metric == "loss" else ""
    )
    hidden = len(comparison.curves) - len(select_curves(comparison.curves, comparison.metric))
    return (
        f"Validation {metric} against optimizer steps, one panel per model: "
        f"{'some trials' if hidden else 'every trial'} of the tune stage, or of the confirm stage "
        "where a model was not tuned. The thick line is the model's best trial, a cross marks "
        f"where a trial was stopped early.{_hidden_curves(hidden)}{clipped}"
    )


def _hidden_curves(number: int) -> str:
    if not number:
        return ""
    return (
        f" Of each model at most {MOST_CURVES} are drawn, at even distances from the best to the "
        "worst by their best value; evaluations.parquet has the other "
        f"{number_of(number, 'trial')}."
    )

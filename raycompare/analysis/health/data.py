"""Warnings about the data: copies, contradictions, truncated texts and rare labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from raycompare.analysis.health.flag import Flag
from raycompare.formatting import count, number_of, share
from raycompare.metrics import LABELS, MetricName
from raycompare.records.survey import Survey

CUT = 0.05
"""Share of truncated training texts above which there is a warning."""
FEW_ROWS = 5
"""A label with fewer test rows makes a macro average depend on single rows."""


def data_flags(data: Mapping[str, Any], metric: MetricName) -> Iterator[Flag]:
    """Warn about the data of a manifest; `metric` is that of the experiment."""
    yield from _copies_flags(data)
    yield from _rare_labels(data, metric)
    for model, cut in data.get("cut", {}).items():
        if cut > CUT:
            yield Flag(
                about=model,
                found=f"{cut:.0%} of the training texts are longer than max_length and truncated",
                advice="try a larger data.max_length, or search it: `max_length: {choice: [...]}`",
            )


def _copies_flags(data: Mapping[str, Any]) -> Iterator[Flag]:
    sizes = data.get("rows", {})
    copies, contradictory = _copies(data)
    for (split, other), number in copies.items():
        if number:
            yield Flag(
                about="data",
                found=f"{count(number)} of the {count(sizes.get(split))} texts of {split} are "
                f"also in {other} ({share(number, sizes.get(split) or number)})",
                advice=f"remove them: a model can memorise them, which inflates the {split} score"
                if other == "train"
                else "remove them: the configuration was chosen on them, which inflates the score",
            )
    if contradictory:
        yield Flag(
            about="data",
            found=f"{number_of(contradictory, 'text')} with more than one label",
            advice="check them: no model can predict both labels, which limits the accuracy",
        )


def _copies(data: Mapping[str, Any]) -> tuple[Mapping[tuple[str, str], int], int]:
    """Return the rows per split whose text is also in another, and the texts with several labels.

    Older manifests have those also in train without a survey, and count texts with several labels
    in train only.
    """
    if not data.get("survey"):
        old = {(split, "train"): number for split, number in data.get("also_in_train", {}).items()}
        return old, data.get("two_labels", 0)
    survey = Survey.from_plain(data["survey"])
    copies = {
        (split.split, other): number
        for split in survey.splits
        for other, number in split.also_in.items()
    }
    return copies, survey.contradictory_texts


def _rare_labels(data: Mapping[str, Any], metric: MetricName) -> Iterator[Flag]:
    rare = sum(rows < FEW_ROWS for rows in data.get("test_label_counts", {}).values())
    if rare and metric.startswith("macro"):
        yield Flag(
            about="data",
            found=f"{number_of(rare, 'label')} with fewer than {FEW_ROWS} test rows",
            advice=f"use more test rows: {LABELS[metric]} depends on single rows there, and its "
            "interval is too narrow",
        )

"""A run with hundreds of labels has a report that one can still read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raycompare.records.survey import SplitSurvey, Survey
from raycompare.report.drawing.registry import shown_figures
from raycompare.report.write import render, write_report
from tests.runs import Run, typical

LABELS = [f"intent {number:03}" for number in range(300)]
ROWS = 3000


@dataclass
class ManyClasses(Run):
    """A run whose test split has 300 labels, of which the first are rarely right."""

    def predictions(self) -> list[tuple[str, pa.Table]]:
        """Return answers of which a tenth, or for rare labels most, is the next label's."""
        return [
            (trial_id, answers(seed)) for seed, (trial_id, _) in enumerate(super().predictions())
        ]


def answers(seed: int) -> pa.Table:
    labels = np.arange(ROWS) % len(LABELS)
    wrong = np.random.default_rng(seed).random(ROWS) < np.where(labels < 20, 0.7, 0.1)
    predictions = np.where(wrong, (labels + 1) % len(LABELS), labels)
    sure = np.eye(len(LABELS), dtype=np.float32)[predictions]
    return pa.table(
        {
            "example_id": np.arange(ROWS),
            "label": labels,
            "prediction": predictions,
            "probabilities": list(sure),
        }
    )


def surveyed() -> Survey:
    counts = {label: 2 + number for number, label in enumerate(LABELS)}
    splits = tuple(
        SplitSurvey(split=part, rows=sum(counts.values()), labels=counts, repeated=0, also_in={})
        for part in ("train", "validation", "test")
    )
    return Survey(
        dataset="x",
        splits=splits,
        contradictory_texts=0,
        contradictory_rows=0,
        asked=256,
        batch=8,
        tokenizers=(),
        proposed=None,
    )


@pytest.fixture
def run() -> ManyClasses:
    made = ManyClasses(**vars(typical()))
    made.baseline(0.76)
    made.manifest.data.update(
        labels=LABELS,
        rows={"train": 30_000, "validation": 3000, "test": ROWS},
        test_label_counts=dict.fromkeys(LABELS, ROWS // len(LABELS)),
        survey=surveyed().to_plain(),
    )
    return made


def test_the_report_stays_short_and_names_the_worst_labels(run: ManyClasses) -> None:
    comparison = run.compare()
    text = render(comparison, {})
    assert len(text) < 40_000
    assert max(map(len, text.splitlines())) < 2000
    assert "The 30 of 300 labels with the lowest F1" in text
    assert "The 30 of 300 labels with the fewest training rows" in text
    assert "and 270 more" in text
    assert "| intent 003 |" in text


def test_no_figure_has_hundreds_of_labels(run: ManyClasses) -> None:
    assert "confusion" not in [figure.name for figure in shown_figures(run.compare())]


def test_the_tables_have_every_label(run: ManyClasses, tmp_path: Path) -> None:
    folder = run.write(tmp_path)
    write_report(folder)
    classes = folder.read_text("tables/classes.csv").splitlines()
    assert len(classes) == 1 + len(LABELS)
    assert sum(len(folder.read_bytes(name)) for name in folder.files()) < 5_000_000

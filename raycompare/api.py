"""The API for notebooks: experiments, and runs as tables, figures and text.

    from raycompare import Experiment, run, load_run

`run` needs Ray and is therefore in `running.launch`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from raycompare.analysis.comparison import Comparison, compare_run
from raycompare.experiment.spec import Experiment
from raycompare.records.arrow import Row, table_of
from raycompare.records.manifest import Manifest
from raycompare.records.rows import EvalRecord, TrialRecord
from raycompare.records.run_folder import RunFolder
from raycompare.records.run_records import Records
from raycompare.records.snapshot import read_records
from raycompare.report.drawing.draw import draw_figures
from raycompare.report.sections import scores as report_scores
from raycompare.report.tables import tables
from raycompare.report.write import render

if TYPE_CHECKING:
    from raycompare.report.drawing.draw import Drawing

SEARCHED = "config/"
"""Prefix of searched hyperparameters in column names, as in data frames of Ray Tune."""
ANSWERS = ("example_id", "label", "prediction", "trial_id")


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """The results of a run, or of a run in progress up to the time it was loaded."""

    folder: RunFolder
    records: Records

    @property
    def experiment(self) -> Experiment:
        """The experiment, with all defaults."""
        return self.records.experiment

    @property
    def manifest(self) -> Manifest:
        """Hashes, versions, machines and times."""
        return self.records.manifest

    @cached_property
    def trials(self) -> pd.DataFrame:
        """A row per trial of any status; searched hyperparameters are in columns `config/...`."""
        frame = _frame(self.records.trials, TrialRecord)
        searched = [json.loads(text) for text in frame.pop("hyperparameters")]
        names = dict.fromkeys(name for row in searched for name in row)
        for name in names:
            frame[SEARCHED + name] = [row.get(name) for row in searched]
        return frame

    @cached_property
    def evaluations(self) -> pd.DataFrame:
        """A row per evaluation, with every metric."""
        return _frame(self.records.evaluations, EvalRecord)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """A row per test example, finalist and seed: number of the example, label, prediction."""
        parts = [
            table.to_pandas().assign(trial_id=trial_id)
            for trial_id, table in self.folder.read_predictions()
        ]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=ANSWERS)

    @cached_property
    def comparison(self) -> Comparison:
        """The results of the report as dataclasses."""
        return compare_run(self.folder, self.records)

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables of the report at full precision, keyed by file name."""
        return {name: table.to_pandas() for name, table in tables(self.comparison).items()}

    @property
    def leaderboard(self) -> pd.DataFrame:
        """Models and baselines, best first."""
        return self.tables["leaderboard"]

    @property
    def verdict(self) -> str:
        """The verdict of the report, one sentence of Markdown."""
        return self.comparison.verdict

    @cached_property
    def figures(self) -> dict[str, Drawing]:
        """The figures of the report for light pages, keyed by file name."""
        return draw_figures(self.comparison)

    @cached_property
    def report(self) -> str:
        """The report as Markdown, without figures."""
        return render(self.comparison, {})

    def __repr__(self) -> str:
        """Show the run folder."""
        return f"Run({self.folder.shown!r})"

    def _repr_markdown_(self) -> str:
        """Show the verdict and the leaderboard in a notebook."""
        return "\n\n".join([self.verdict, report_scores.leaderboard_section(self.comparison)])


def _frame(rows: Sequence[Row], row_type: type[Row]) -> pd.DataFrame:
    frame: pd.DataFrame = table_of(rows, row_type).to_pandas()
    return frame


def load_run(place: str | Path | RunFolder) -> Run:
    """Load a run from its folder, a path or a URI such as s3://bucket/runs/ID.

    Raises:
        UserError: `place` is not a run folder.
    """
    folder = place if isinstance(place, RunFolder) else RunFolder.at(place)
    return Run(folder, read_records(folder))

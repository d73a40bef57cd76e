"""What a notebook needs: an experiment, and a run as tables, figures and text.

`from raycompare import Experiment, run, load_run`; `run` is in `launch`, since it needs Ray.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pandas as pd
from pydantic_core import to_json

from raycompare.analysis.comparison import Comparison, compare
from raycompare.experiment.file import Draft, parse_draft, read_draft
from raycompare.experiment.spec import Experiment as Spec
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

SOURCE = "the experiment"
"""Names in messages what did not come from a file."""
SEARCHED = "config/"
"""Before the names of what was searched, as in the data frames of Ray Tune."""
ANSWERS = ("example_id", "label", "prediction", "trial_id")


class Experiment(Spec):
    """One comparison of models on one data set, with the keys of an experiment file."""

    def __init__(self, **sections: Any) -> None:
        """Take the sections of a file by name, as plain values or as their types.

        Raises:
            ExperimentError: there are mistakes; the message has all of them.
        """
        valid = _draft(sections).experiment()
        super().__init__(**{name: getattr(valid, name) for name in Spec.model_fields})

    @classmethod
    def from_file(cls, path: str | Path, overrides: Sequence[str] = ()) -> Self:
        """Read an experiment file; `overrides` are as after --set: `tune.num_samples=4`.

        Raises:
            UserError: the file can't be read.
            ExperimentError: it has mistakes; the message has all of them.
        """
        return cls.from_dict(read_draft(Path(path), overrides).experiment().to_file())

    @classmethod
    def from_dict(cls, sections: Mapping[str, Any]) -> Self:
        """Read what an experiment file would have, as a dict.

        Raises:
            ExperimentError: it has mistakes; the message has all of them.
        """
        return cls(**sections)


def _draft(sections: Mapping[str, Any]) -> Draft:
    draft = parse_draft(to_json(dict(sections)).decode(), SOURCE)
    return replace(draft, lines={})  # of the JSON, which nobody sees


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """A run that has ended, or one that goes on as far as it is, read when it was loaded."""

    folder: RunFolder
    records: Records

    @property
    def experiment(self) -> Spec:
        """What was run, every default filled in."""
        return self.records.experiment

    @property
    def manifest(self) -> Manifest:
        """Hashes, versions, machines and times."""
        return self.records.manifest

    @cached_property
    def trials(self) -> pd.DataFrame:
        """A row per trial of any status; what was searched has columns named `config/...`."""
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
        """A row per test example, finalist and seed: its number, label and prediction."""
        parts = [
            table.to_pandas().assign(trial_id=trial_id)
            for trial_id, table in self.folder.read_predictions()
        ]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=ANSWERS)

    @cached_property
    def comparison(self) -> Comparison:
        """All that the report says, as dataclasses."""
        return compare(self.records, self.folder.read_predictions())

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables of the report with every digit, by the names of their files."""
        return {name: table.to_pandas() for name, table in tables(self.comparison).items()}

    @property
    def leaderboard(self) -> pd.DataFrame:
        """The models and the baselines, best first."""
        return self.tables["leaderboard"]

    @property
    def verdict(self) -> str:
        """One sentence of Markdown."""
        return self.comparison.verdict

    @cached_property
    def figures(self) -> dict[str, Drawing]:
        """The figures of the report for light pages, by the names of their files."""
        return draw_figures(self.comparison)

    @cached_property
    def report(self) -> str:
        """The report as Markdown, without figures."""
        return render(self.comparison, {})

    def __repr__(self) -> str:
        """Name the folder."""
        return f"Run({self.folder.shown!r})"

    def _repr_markdown_(self) -> str:
        """Show the verdict and the leaderboard in a notebook."""
        return "\n\n".join([self.verdict, report_scores.leaderboard_section(self.comparison)])


def _frame(rows: Sequence[Row], row_type: type[Row]) -> pd.DataFrame:
    frame: pd.DataFrame = table_of(rows, row_type).to_pandas()
    return frame


def load_run(place: str | Path | RunFolder) -> Run:
    """Read a run folder, given as a path or a URI such as s3://bucket/runs/ID.

    Raises:
        UserError: it is not the folder of a run.
    """
    folder = place if isinstance(place, RunFolder) else RunFolder.at(place)
    return Run(folder, read_records(folder))

"""The reports in the repository are what the program writes from the records beside them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from raycompare.analysis.refine import refine
from raycompare.experiment.file import read_experiment, write_experiment
from raycompare.records.run_folder import RunFolder
from raycompare.report.write import write_report
from tests import ROOT

REPORTS = ROOT / "reports"
EXAMPLES = re.findall(r"\(([^)]+)/report\.md\)", (REPORTS / "README.md").read_text())


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_what_the_program_writes(name: str, tmp_path: Path) -> None:
    """After a change of the report: `raycompare report` with its folder, and commit it."""
    copy = RunFolder.at(shutil.copytree(REPORTS / name, tmp_path / "copy"))
    write_report(copy)
    for file in ("report.md", "summary.md", "tables/leaderboard.csv"):
        assert copy.read_text(file) == (REPORTS / name / file).read_text()


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_picture_of_an_example_is_in_the_repository(name: str) -> None:
    report = (REPORTS / name / "report.md").read_text()
    pictures = re.findall(r'src(?:set)?="([^"]+)"', report)
    assert "figures/scores.png" in pictures
    assert [path for path in pictures if not (REPORTS / name / path).exists()] == []


def test_the_refined_example_is_what_refine_makes_of_the_search() -> None:
    """After a change: `raycompare refine reports/ag-news-search/RUN_ID --out ...`."""
    (name,) = (example for example in EXAMPLES if example.startswith("ag-news-search/"))
    folder = RunFolder.at(REPORTS / name)
    experiment = read_experiment(folder.read_text("experiment.yaml"))
    refined = write_experiment(refine(experiment, folder.read_trials()).experiment)
    assert refined == (REPORTS / name / "refined.yaml").read_text()

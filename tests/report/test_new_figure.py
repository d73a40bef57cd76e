"""A new figure is one file: the example of docs/extending.md is added to a report unchanged."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from raycompare.api import load_run
from raycompare.report import figures
from raycompare.report.drawing import registry
from raycompare.report.write import write_report
from tests import ROOT, runs

PAGE = ROOT / "docs" / "extending.md"


def example() -> str:
    section = PAGE.read_text(encoding="utf-8").split("## A figure of the report")[1]
    return section.split("```python\n")[1].split("```")[0]


@pytest.fixture
def with_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "seed_scores.py").write_text(example(), encoding="utf-8")
    monkeypatch.setattr(figures, "__path__", [*figures.__path__, str(tmp_path)])
    monkeypatch.setattr(registry, "FIGURES", registry.load_figures())


@pytest.mark.usefixtures("with_example")
def test_a_module_in_the_folder_is_a_figure_of_report_page_and_tables(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    place = tmp_path_factory.mktemp("run")
    comparison = write_report(runs.typical().write(place))
    report = (place / "report.md").read_text(encoding="utf-8")
    shown = re.findall(r'src="figures/(\w+)\.png"', report)
    assert shown[4:6] == ["wall_clock", "seed_scores"]
    assert "Test MCC of every seed." in report
    for suffix in ("", "-dark"):
        png = (place / f"figures/seed_scores{suffix}.png").read_bytes()
        assert png.startswith(b"\x89PNG")
    page = (place / "report.html").read_text(encoding="utf-8")
    (data,) = re.findall(r'id="page-data">(.*?)</script>', page, re.DOTALL)
    (dots,) = json.loads(data)["figures"]["seed_scores"]["data"]
    tests = [row for row in comparison.records.evaluations if row.split == "test"]
    assert dots["y"] == [row.matthews_correlation for row in tests]
    assert "Test MCC of every seed." in page
    run = load_run(place)
    assert list(run.tables["seed_scores"]["score"]) == dots["y"]
    assert "seed_scores" in run.figures


def test_every_module_of_the_folder_is_one_figure_with_its_own_order() -> None:
    modules = {path.stem for path in Path(figures.__file__).parent.glob("*.py")} - {"__init__"}
    assert len(registry.FIGURES) == len(modules)
    assert {kind.__module__.rpartition(".")[2] for kind in registry.FIGURES} == modules
    assert len({kind.order for kind in registry.FIGURES}) == len(modules)


PROGRAM = """
import sys

sys.modules["BLOCKED"] = None  # importing it raises

from raycompare.api import load_run
from raycompare.report.drawing.draw import draw_images
from raycompare.report.page.page import AroundFigures, page

run = load_run(sys.argv[1])
assert run.tables and run.report
MAKE
assert LOADED
"""


@pytest.mark.parametrize(
    ("make", "loaded", "blocked"),
    [
        ("page(run.comparison, AroundFigures('', '', '', ''))", "plotly", "matplotlib"),
        ("draw_images(run.comparison)", "matplotlib", "plotly"),
    ],
)
def test_matplotlib_is_imported_to_draw_and_plotly_for_the_page(
    make: str, loaded: str, blocked: str, tmp_path: Path
) -> None:
    run = runs.empty("a")
    run.tune("a", 0.5, 0.6)
    run.write(tmp_path)
    program = PROGRAM.replace("MAKE", f"assert {loaded!r} not in sys.modules\n{make}")
    program = program.replace("BLOCKED", blocked).replace("LOADED", f"{loaded!r} in sys.modules")
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr

"""Every command that takes a run folder, on folders that are damaged or hostile.

The fast suite takes the first `SHARE` seeds. For 200, in some minutes:

    RAYCOMPARE_DAMAGED=200 python -m pytest tests/records/test_damaged.py
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from raycompare.cli.app import app
from raycompare.errors import RaycompareError, UserError
from raycompare.sagemaker.deploy import Choice, deployment
from tests import ROOT
from tests.damaged import damage

KEPT = ROOT / "tests" / "kept" / "reports"
SHARE = 10
RUN_ID = "20260101-000000-abcdef"
SEEDS = range(int(os.environ.get("RAYCOMPARE_DAMAGED") or SHARE))
UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")
LONGEST_LINES = 12
"""Lines of a message; those about an experiment have four for each mistake."""


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy a good run, and one to be damaged."""
    monkeypatch.chdir(tmp_path)
    for name, kind in (("good", "finished"), ("bad", "finished"), ("cut", "interrupted")):
        (run,) = (path.parent for path in (KEPT / kind).glob("*/manifest.json"))
        shutil.copytree(run, tmp_path / "runs" / name / RUN_ID)
    return tmp_path / "runs"


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Start no run; draw figures and page for every twentieth folder of a test of all."""

    def refuse(*_: object) -> None:
        raise UserError("a run would start here")

    monkeypatch.setattr("raycompare.running.train_longer.run", refuse)
    if len(SEEDS) == SHARE or request.node.callspec.params["seed"] % 20:
        monkeypatch.setattr("raycompare.report.write.draw_images", lambda _: {})
        monkeypatch.setattr("raycompare.report.write.page", lambda *_: "")


def commands(bad: str, good: str) -> Iterator[list[str]]:
    yield ["status", bad]
    yield ["status", bad, "--json"]
    yield ["diff", good, bad]
    yield ["diff", bad, good]
    yield ["fetch", bad, "home"]
    yield ["refine", bad, "--out", "refined.yaml"]
    yield ["extend", bad, "--epochs", "1000"]
    yield ["export", bad, "two layers", "exported"]
    yield ["predict", bad, "--text", "stone"]
    yield ["report", bad]


def require_one_line(command: list[str], what: str) -> None:
    """Check that a command works, or ends with a short error and nothing unsafe on the terminal."""
    answer = CliRunner().invoke(app, command)
    error = answer.exception
    about = f"{what}: raycompare {' '.join(command)}"
    if error is not None and not isinstance(error, SystemExit):
        assert isinstance(error, RaycompareError), f"{about}\n{error!r}"
        assert str(error).strip(), about
        assert len(str(error).splitlines()) <= LONGEST_LINES, f"{about}\n{error}"
    assert not UNSAFE.search(answer.output), about


def require_listed(runs: Path, what: str) -> None:
    for options in ([], ["--json"]):
        answer = CliRunner().invoke(app, ["ls", str(runs), *options])
        assert answer.exit_code == 0, f"{what}: {answer.exception!r}"
        assert not UNSAFE.search(answer.output), what
    listed = json.loads(answer.output)["runs"]
    assert f"runs/good/{RUN_ID}" in [line["folder"] for line in listed], what


@pytest.mark.parametrize("seed", SEEDS)
def test_each_command_answers_a_damaged_folder_in_one_line(seed: int, runs: Path) -> None:
    bad = runs / ("bad" if seed % 4 else "cut") / RUN_ID
    what = damage(bad, seed)
    outside = {path for path in runs.parent.rglob("*") if bad not in path.parents}
    require_listed(runs, what)
    for command in commands(str(bad), str(runs / "good" / RUN_ID)):
        require_one_line(command, what)
    with pytest.raises(RaycompareError) as error:
        deployment(str(bad), Choice(role="r"), SimpleNamespace(region="us-east-1"))  # type: ignore[arg-type]
    assert error.value
    require_listed(runs, what)
    made = {"home", "refined.yaml", "exported"}
    assert outside <= {*runs.parent.rglob("*")}, what
    others = {path.name for path in runs.parent.iterdir()} - made
    assert others == {"runs"}, what

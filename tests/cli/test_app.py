"""The command as a user types it, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from raycompare.cli.app import app
from tests import ROOT
from tests.runs import typical

JOB = ROOT / "jobs" / "compare.py"


def raycompare(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "raycompare", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_commands_are_these() -> None:
    assert sorted(str(command.callback.__name__) for command in app.registered_commands) == [  # type: ignore[union-attr]
        "check",
        "data",
        "diff",
        "extend",
        "fetch",
        "ls",
        "refine",
        "report",
        "run",
        "status",
    ]


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"]])
def test_help_helps(arguments: list[str]) -> None:
    done = raycompare(*arguments)
    assert done.returncode == 0
    assert "run" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["check", "nothing.yaml"], "nothing.yaml does not exist"),
        (["run"], "expected an experiment file, or --resume"),
        (["report", "nowhere"], "Expected a run folder"),
        (["run", "--resume", "nowhere"], "Expected a run folder"),
        (["check", "a.yaml", "--unknown"], "No such option"),
    ],
)
def test_the_users_mistakes_exit_with_2(arguments: list[str], says: str) -> None:
    done = raycompare(*arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["run", "check", "data"])
def test_a_file_that_is_not_there_is_told_before_heavy_imports(command: str) -> None:
    without = "import sys; sys.modules.update(torch=None, ray=None, transformers=None)"
    code = f"{without}; from raycompare.cli import main; main()"
    words = [sys.executable, "-c", code, command, "nothing.yaml"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "nothing.yaml does not exist" in done.stderr


def test_a_report_is_written_again(tmp_path: Path) -> None:
    folder = typical().write(tmp_path)
    done = raycompare("report", str(tmp_path))
    assert done.returncode == 0
    assert "but minilm-2 may be better" in done.stdout
    assert folder.exists("report.md")


def test_the_job_is_the_run_command() -> None:
    command = [sys.executable, str(JOB), "nothing.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "nothing.yaml does not exist" in done.stderr

"""The command as a user types it, in a process of its own."""

from __future__ import annotations

import importlib
import io
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from raycompare.cli.app import app, main
from raycompare.cli.console import say, warn
from raycompare.errors import UserError
from tests import ROOT
from tests.runs import typical

MAIN = importlib.import_module("raycompare.cli.app")
JOB_OPTIONS = ["--role", "R", "--instance-type", "ml.g5.xlarge"]
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


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "--resume", "R", "--set", "seed=oops"], "--set seed=oops: without effect"),
        (["run", "--resume", "R", "--out", "reports"], "--out: without effect"),
        (["sagemaker", "submit", "--resume", "R", "--set", "seed=1", *JOB_OPTIONS], "--set seed=1"),
        (["sagemaker", "submit", "--resume", "R", "--out", "s3://b", *JOB_OPTIONS], "--out: with"),
        (["sagemaker", "submit", "a", "--join-minutes", "10", *JOB_OPTIONS], "--join-minutes: w"),
        (["sagemaker", "predict", "E", "--text", "caf\udce9"], "allowed a text in UTF-8"),
    ],
)
def test_an_option_without_effect_is_refused(
    arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raycompare.sagemaker.aws.require_sdk", lambda: None)
    answer = CliRunner().invoke(app, arguments)
    assert isinstance(answer.exception, UserError)
    assert says in str(answer.exception)


def test_a_default_of_the_environment_may_be_without_effect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYCOMPARE_OUT", "s3://b")
    answer = CliRunner().invoke(app, ["run", "--resume", str(tmp_path)])
    assert "Expected a run folder" in str(answer.exception)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_what_is_printed_may_have_characters_that_the_console_lacks(
    encoding: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = io.BytesIO()
    monkeypatch.setattr(sys, name, io.TextIOWrapper(sink, encoding=encoding))
    write = say if name == "stdout" else warn
    monkeypatch.setattr(MAIN, "app", lambda obj: write("tích cực 😀 \ud83d"))
    main()
    getattr(sys, name).flush()
    shown = sink.getvalue().decode(encoding)
    assert "c" in shown
    assert r"\ud83d" in shown
    assert (r"\U0001f600" in shown) == (encoding != "utf-8")


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

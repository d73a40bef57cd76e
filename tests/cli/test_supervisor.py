"""A signal to the process group of a long command leaves a last word, whoever is still alive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from raycompare.cli import supervisor
from raycompare.cli.supervisor import PIPE, Supervisor, needs_supervisor
from tests import ROOT

DRIVER = """
import os, signal, sys, time
from raycompare.cli.supervisor import Supervisor
link = Supervisor.of_this_process()
assert {pipe!r} not in os.environ, "processes of the driver have no supervisor"
link.begin({folder!r})
def leave(number, frame):
    print("left by", number, flush=True)
    {way}
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, leave)
print("ready", os.getsid(0) == os.getpid(), flush=True)
time.sleep(60)
"""
SUPERVISE = """
import sys
from raycompare.cli import supervisor
supervisor.sys.executable, supervisor._safe_path = sys.argv[1], lambda: []
sys.exit(supervisor.supervise(["run"]))
"""


def stopped(tmp_path: Path, number: int, way: str) -> tuple[str, str, int]:
    """Supervise a driver that ends in this way, and send a signal to the supervisor's group."""
    driver = tmp_path / "driver"
    code = DRIVER.format(pipe=PIPE, folder=str(tmp_path / "run"), way=way)
    driver.write_text(f"#!{sys.executable}\n{code}")
    driver.chmod(0o755)
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISE, str(driver)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready True\n", "a session of its own"
        os.killpg(process.pid, number)
        out, err = process.communicate(timeout=60)
    return out, err, process.returncode


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_driver_that_told_how_to_continue_has_the_last_word(tmp_path: Path, number: int) -> None:
    out, err, code = stopped(tmp_path, number, "link.end(); sys.exit(1)")
    assert out == f"left by {int(number)}\n"
    assert err == ""
    assert code == 1


@pytest.mark.parametrize("way", ["os._exit(1)", "os.abort()"])
def test_for_a_driver_that_died_the_supervisor_tells_it(tmp_path: Path, way: str) -> None:
    _, err, code = stopped(tmp_path, signal.SIGTERM, way)
    assert f"raycompare run --resume {tmp_path / 'run'}" in err
    assert code == (1 if "exit" in way else 128 + signal.SIGABRT)


def test_short_commands_and_drivers_have_no_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PIPE, raising=False)
    assert needs_supervisor(["run", "experiment.yaml"])
    assert needs_supervisor(["extend", "reports/a/1"])
    assert not needs_supervisor(["run", "--help"])
    assert not needs_supervisor(["check", "experiment.yaml"])
    assert not needs_supervisor([])
    monkeypatch.setenv(PIPE, "3")
    assert not needs_supervisor(["run", "experiment.yaml"])
    monkeypatch.delenv(PIPE)
    assert Supervisor.of_this_process() == Supervisor(None)
    Supervisor(None).begin("anywhere")


def test_the_folder_that_the_command_is_run_in_shadows_no_module(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "path", ["/usr/bin", "/usr/lib/python3"])
    assert supervisor._safe_path() == ["-P"]
    monkeypatch.setattr(sys, "path", [str(Path.cwd()), "/usr/lib/python3"])
    assert supervisor._safe_path() == []

"""What goes wrong around a run: killed processes, lost machines, a full disk.

Whatever happens, the records in the end are those of a run that nothing happened to, or they say
what is missing.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

from raycompare.records.rows import FINISHED
from raycompare.records.run_folder import RunFolder
from tests import ROOT
from tests.real_runs import (
    Content,
    finish,
    folder_in,
    go,
    job,
    outcomes,
    predictions,
    slow_experiment,
    workers_of,
    write,
)

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

PATIENCE_S = 400.0
"""For what hangs: a busy machine takes several times as long as an idle one."""

Moment = Callable[[RunFolder, subprocess.Popen[str]], bool]
MOMENTS: tuple[Moment, ...] = (
    lambda folder, driver: True,  # there is a folder
    lambda folder, driver: bool(workers_of(driver)),
    lambda folder, driver: bool(folder.names("checkpoints")),
    lambda folder, driver: bool(started_at(folder)),
    lambda folder, driver: any("confirm" in name for name in folder.names("checkpoints")),
)
"""When a run is killed: each is after the one before, so that all of them come."""


@pytest.fixture
def content(tiny_model: str, tiny_data: str) -> Content:
    return slow_experiment(tiny_model, tiny_data)


@pytest.fixture(scope="module")
def undisturbed(
    tiny_model: str, tiny_data: str, tmp_path_factory: pytest.TempPathFactory
) -> RunFolder:
    made = slow_experiment(tiny_model, tiny_data)
    folder, _ = go(made, tmp_path_factory.mktemp("undisturbed"))
    return folder


def assert_same(folder: RunFolder, undisturbed: RunFolder) -> None:
    assert outcomes(folder) == outcomes(undisturbed)
    assert predictions(folder) == predictions(undisturbed)
    assert folder.names("weights") == undisturbed.names("weights")
    assert not folder.exists("checkpoints")
    assert not folder.exists("ray")
    assert folder.read_manifest().complete


def started_at(folder: RunFolder) -> dict[str, str | None]:
    """Return when each trial that is finished has begun."""
    return {t.trial_id: t.started_at for t in folder.read_trials() if t.status in FINISHED}


def test_trials_pause_at_the_rung_and_the_best_go_on(undisturbed: RunFolder) -> None:
    tune = [trial for trial in undisturbed.read_trials() if trial.stage == "tune"]
    assert Counter(trial.status for trial in tune) == {"completed": 4, "stopped_early": 4}
    assert all("not among the best 2 of 4" in t.reason for t in tune if t.ending == "rung")
    assert max(trial.starts for trial in tune) == 2, "before and after the pause"
    assert len({trial.steps for trial in tune if trial.ending == "rung"}) == 1
    assert len(undisturbed.names("weights")) == 2, "of one seed of each model"


def test_a_killed_worker_costs_its_trial_nothing_but_time(
    content: Content, undisturbed: RunFolder, tmp_path: Path
) -> None:
    write(content, tmp_path)
    killed = 0
    with job(["run", "experiment.yaml"], tmp_path) as driver:
        folder = folder_in(tmp_path)
        until = monotonic() + PATIENCE_S
        while killed < 3 and driver.poll() is None and monotonic() < until:
            # A trial that has a checkpoint is under way.
            if folder.names("checkpoints") and (workers := workers_of(driver)):
                workers[-1].send_signal(signal.SIGKILL)
                killed += 1
                sleep(3)
            sleep(0.1)
        said, _ = driver.communicate()
    assert driver.returncode == 0, said
    assert killed == 3
    assert said.count("lost its worker and starts again") >= 1
    assert_same(folder, undisturbed)
    assert sum(trial.starts for trial in folder.read_trials()) > sum(
        trial.starts for trial in undisturbed.read_trials()
    )


@pytest.fixture
def two_machines() -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-m", "tests.two_machines"]
    root = ROOT
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(words, cwd=root, text=True, **pipes) as cluster:
        yield cluster


def test_the_trials_of_a_lost_machine_go_on_elsewhere(
    content: Content,
    undisturbed: RunFolder,
    tmp_path: Path,
    two_machines: subprocess.Popen[str],
) -> None:
    write(content, tmp_path)
    assert two_machines.stdout is not None
    assert two_machines.stdin is not None
    told = (line.split() for line in two_machines.stdout)
    address = next(words[1] for words in told if words[:1] == ["address"])
    with job(["run", "experiment.yaml"], tmp_path, RAY_ADDRESS=address) as driver:
        folder = folder_in(tmp_path)
        until = monotonic() + PATIENCE_S
        while len(folder.names("checkpoints")) < 2:  # one on each machine
            assert monotonic() < until
            sleep(0.1)
        two_machines.stdin.write("kill a node\n")
        two_machines.stdin.flush()
        said, _ = driver.communicate()
    assert driver.returncode == 0, said
    assert "lost its worker and starts again" in said
    assert_same(folder, undisturbed)


def test_a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been(
    content: Content, undisturbed: RunFolder, tmp_path: Path
) -> None:
    write(content, tmp_path)
    chance, arguments = random.Random(4), ["run", "experiment.yaml"]
    for has_come in MOMENTS:
        with job(arguments, tmp_path) as driver:
            folder = folder_in(tmp_path)
            until = monotonic() + PATIENCE_S
            while not has_come(folder, driver):
                assert driver.poll() is None
                assert monotonic() < until
                sleep(0.1)
            sleep(chance.uniform(0, 1))
            driver.kill()
        arguments = ["run", "--resume", folder.uri]
    assert not folder.exists("manifest.json"), "killed before its end each time"
    before = started_at(folder)
    code, said = finish(arguments, tmp_path)
    assert code == 0, said
    assert_same(folder, undisturbed)
    assert started_at(folder).items() >= before.items(), "what was finished did not run again"


def test_a_stopped_run_leaves_a_partial_report_and_goes_on(
    content: Content, undisturbed: RunFolder, tmp_path: Path
) -> None:
    write(content, tmp_path)
    with job(["run", "experiment.yaml"], tmp_path) as driver:
        assert driver.stdout is not None
        folder = folder_in(tmp_path)
        next(line for line in driver.stdout if "[2/" in line)
        driver.send_signal(signal.SIGTERM)
        said = driver.stdout.read()
    assert driver.returncode == 1, said
    assert "Continue with: raycompare run --resume" in said
    assert not folder.read_manifest().complete
    assert "**Partial.** The run was interrupted" in folder.read_text("report.md")
    finished = started_at(folder)
    assert finished
    code, said = finish(["run", "--resume", folder.uri], tmp_path)
    assert code == 0, said
    assert "Partial" not in folder.read_text("report.md")
    assert_same(folder, undisturbed)
    assert started_at(folder).items() >= finished.items(), "what was finished did not run again"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 700 MB in memory."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk takes root")
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=700m", "tmpfs", str(place)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_stops_the_run_which_goes_on_when_there_is_room(
    content: Content, undisturbed: RunFolder, small_disk: Path
) -> None:
    write(content, small_disk)
    ballast = small_disk / "ballast"
    with job(["run", "experiment.yaml"], small_disk) as driver:
        folder = folder_in(small_disk)
        until = monotonic() + PATIENCE_S
        while not folder.names("checkpoints"):
            assert monotonic() < until
            sleep(0.1)
        fill(ballast)
        said, _ = driver.communicate()
    assert driver.returncode == 1, said
    assert "no space left" in said
    assert "raycompare run --resume" in said
    ballast.unlink()
    code, said = finish(["run", "--resume", folder.uri], small_disk)
    assert code == 0, said
    assert_same(folder, undisturbed)


def fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(b"\0" * 2**20)
        except OSError:
            return

"""What goes wrong while a run goes on: killed processes, full disks, no memory, bad models.

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
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

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
    tiny_experiment,
    workers_of,
    write,
)

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

KILLS = 10
INJECTED = str(ROOT / "tests" / "injected")


@pytest.fixture
def content(tiny_model: str, tiny_data: str) -> Content:
    """Trials of some seconds that wait for each other at a rung and write checkpoints often."""
    made = tiny_experiment(tiny_model, tiny_data)
    made["training"] |= {"num_train_epochs": 14}
    del made["training"]["eval_steps"]
    made["tune"] = {
        "num_samples": 4,
        "metric": "loss",
        "scheduler": "top-k-after-first-rung",
        "top_k": 2,
    }
    made["failure"] = {"checkpoint_every_s": 0.5}
    return made


@pytest.fixture(scope="module")
def kept_undisturbed() -> dict[str, RunFolder]:
    return {}


@pytest.fixture
def undisturbed(
    content: Content,
    kept_undisturbed: dict[str, RunFolder],
    tmp_path_factory: pytest.TempPathFactory,
) -> RunFolder:
    if "run" not in kept_undisturbed:
        kept_undisturbed["run"], _ = go(content, tmp_path_factory.mktemp("undisturbed"))
    return kept_undisturbed["run"]


def assert_same(folder: RunFolder, undisturbed: RunFolder) -> None:
    assert outcomes(folder) == outcomes(undisturbed)
    assert predictions(folder) == predictions(undisturbed)
    assert folder.names("weights") == undisturbed.names("weights")
    assert not folder.exists("checkpoints")
    assert not folder.exists("ray")
    assert folder.read_manifest().complete


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
        until = monotonic() + 300
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
        until = monotonic() + 100
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
    chance, whole = random.Random(4), undisturbed.read_manifest().seconds["total"]
    arguments, ended_early = ["run", "experiment.yaml"], 0
    for _ in range(KILLS):
        with job(arguments, tmp_path) as driver:
            folder = folder_in(tmp_path)
            try:
                driver.wait(chance.uniform(0.02, 0.4) * whole)
                ended_early += 1
            except subprocess.TimeoutExpired:
                driver.kill()
        arguments = ["run", "--resume", folder.uri]
        if folder.exists("manifest.json"):
            break
    assert not ended_early, "the run was too short to be killed so often"
    before = {t.trial_id: t.started_at for t in folder.read_trials() if t.status == "completed"}
    code, said = finish(arguments, tmp_path)
    assert code == 0, said
    assert_same(folder, undisturbed)
    after = {trial.trial_id: trial.started_at for trial in folder.read_trials()}
    assert {name: after[name] for name in before} == before, "what was finished did not run again"


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
    assert "Go on with: raycompare run --resume" in said
    assert not folder.read_manifest().complete
    assert "**Partial.** The run was interrupted" in folder.read_text("report.md")
    code, said = finish(["run", "--resume", folder.uri], tmp_path)
    assert code == 0, said
    assert "Partial" not in folder.read_text("report.md")
    assert_same(folder, undisturbed)


def test_a_second_process_is_kept_out_of_a_run(content: Content, tmp_path: Path) -> None:
    write(content, tmp_path)
    with job(["run", "experiment.yaml"], tmp_path):
        folder = folder_in(tmp_path)
        code, said = finish(["run", "--resume", folder.uri], tmp_path)
    assert code == 2
    assert "another process is running" in said


def test_where_memory_runs_out_fewer_texts_are_computed_at_once(
    content: Content, tmp_path: Path
) -> None:
    content["tune"] |= {"num_samples": 2, "scheduler": "fifo"}
    del content["tune"]["top_k"]
    content["models"] = content["models"][:1]
    write(content, tmp_path)
    code, said = finish(["run", "experiment.yaml"], tmp_path, INJECT="memory", PYTHONPATH=INJECTED)
    assert code == 0, said
    trials = folder_in(tmp_path).read_trials()
    assert {trial.status for trial in trials} == {"completed"}
    assert all(trial.halvings == 2 for trial in trials), "8 texts, 4, 2"
    assert {trial.examples_per_step for trial in trials} == {8.0}


def test_a_model_that_always_fails_is_taken_out_and_the_rest_go_on(
    content: Content, tmp_path: Path
) -> None:
    content["models"][1]["training"] = {"optim": "adamw_bnb_8bit"}
    content["tune"] |= {"num_samples": 6, "max_concurrent_trials": 1, "top_k": 1}
    content["failure"] |= {"max_model_failures": 2}
    folder, _ = go(content, tmp_path)
    trials = [trial for trial in folder.read_trials() if trial.model == "one layer"]
    counts = Counter(trial.status for trial in trials)
    assert counts == {"errored": 2, "not_run": 4}
    assert all(trial.starts == 1 for trial in trials if trial.status == "errored"), "no retries"
    reasons = {trial.reason for trial in trials if trial.status == "not_run"}
    (reason,) = reasons
    assert "was taken out: its first 2 trials failed" in reason
    assert "bitsandbytes" in reason
    others = [trial for trial in folder.read_trials() if trial.model == "two layers"]
    assert Counter(t.status for t in others if t.stage == "confirm") == {"completed": 2}
    assert "bitsandbytes" in folder.read_text("report.md")


def test_a_loss_that_is_no_number_ends_a_trial_and_no_other(
    content: Content, tmp_path: Path
) -> None:
    content["models"] = content["models"][:1]
    content["search_space"] = {"learning_rate": {"choice": [1e30, 2e-3]}}
    content["tune"] |= {"num_samples": 3}
    folder, _ = go(content, tmp_path)
    tune = [trial for trial in folder.read_trials() if trial.stage == "tune"]
    diverged = [trial for trial in tune if trial.ending == "diverged"]
    assert len(diverged) == 1
    assert "loss is nan" in diverged[0].reason
    assert "1e+30" in diverged[0].hyperparameters
    assert Counter(t.status for t in tune)["completed"] == 2


def test_a_spent_budget_ends_the_search_and_confirm_still_runs(
    content: Content, tmp_path: Path
) -> None:
    content["tune"] |= {"num_samples": 40, "time_budget_s": 40, "scheduler": "fifo"}
    del content["tune"]["top_k"]
    folder, _ = go(content, tmp_path)
    trials = folder.read_trials()
    tune = [trial for trial in trials if trial.stage == "tune"]
    refused = [trial for trial in tune if trial.status == "not_run"]
    assert len(tune) == 80
    assert refused
    assert all("the budget is spent (time_budget_s: 40" in trial.reason for trial in refused)
    assert Counter(t.status for t in trials if t.stage == "confirm") == {"completed": 4}
    done = Counter(trial.model for trial in tune if trial.starts)
    assert abs(done["one layer"] - done["two layers"]) <= 1
    assert folder.read_manifest().complete


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
        until = monotonic() + 100
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

"""Whole runs with a model that trains in a second, in this process or in one to be killed."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psutil
from rich.console import Console
from ruamel.yaml import YAML

from raycompare.records.rows import EvalRecord, TrialRecord
from raycompare.records.run_folder import RunFolder, draft_for
from raycompare.running.display import Display
from raycompare.running.run import RunOptions, run
from tests.signals import hear_ctrl_c

Content = dict[str, Any]


def tiny_experiment(model: str, data: str) -> Content:
    return {
        "name": "tiny",
        "data": {"dataset": data, "max_length": 32},
        "models": [
            {"name": "two layers", "checkpoint": model},
            {"name": "one layer", "checkpoint": model, "config": {"num_hidden_layers": 1}},
        ],
        "training": {"num_train_epochs": 4, "learning_rate": 5e-3, "eval_steps": 5},
        "search_space": {"learning_rate": {"loguniform": [1e-6, 1e-2]}},
        "tune": {"num_samples": 5, "grace_period": 10, "metric": "loss"},
        "confirm": {"seeds": [1, 2]},
        "baselines": [],  # starts a process more
        "inference": {"measure": False},  # takes longer than the rest
    }


def slow_experiment(model: str, data: str) -> Content:
    """Trials of some seconds that wait for each other at a rung and write checkpoints often."""
    made = tiny_experiment(model, data)
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


def write(content: Content, place: Path) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    path = place / "experiment.yaml"
    YAML().dump(content, path)
    return path


def go(
    content: Content, place: Path, resume: str | None = None, warm_start: str | None = None
) -> tuple[RunFolder, str]:
    """Run in this process; return the run folder and what was said."""
    path = write(content, place)
    said = io.StringIO()
    where = RunOptions(out=str(place / "reports"), resume=resume, warm_start=warm_start)
    folder = run(draft_for(path, (), resume), where, Display(Console(file=said, width=200)))
    return folder, said.getvalue()


@dataclass(frozen=True)
class WholeRun:
    """A run that many tests read and none changes."""

    content: Content
    folder: RunFolder
    said: str

    def changed(self, **sections: Any) -> Content:
        """Return the experiment with other sections."""
        return deepcopy(self.content) | sections

    def copy(self, place: Path) -> RunFolder:
        """Return a run folder that the test may change."""
        return RunFolder.at(shutil.copytree(self.folder.uri, place / "copy"))


@contextmanager
def job(arguments: list[str], place: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Start the command; whatever it has left running is ended at the end."""
    with subprocess.Popen(
        [sys.executable, "-m", "raycompare", *arguments],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
        preexec_fn=hear_ctrl_c,  # noqa: PLW1509 - starts no thread
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def finish(arguments: list[str], place: Path, **environment: str) -> tuple[int, str]:
    """Run the command to its end; return its exit code and what it said."""
    with job(arguments, place, **environment) as started:
        said, _ = started.communicate()
    return started.returncode, said


def folder_in(place: Path, deadline: float = 100) -> RunFolder:
    """Wait for the folder of the run that was started in `place`."""
    until = monotonic() + deadline
    while not (found := list(place.glob("reports/*/*/started.json"))):
        assert monotonic() < until, "no run has begun"
        sleep(0.1)
    return RunFolder.at(found[0].parent)


def workers_of(driver: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the processes in which trials of a run take place."""
    children = psutil.Process(driver.pid).children(recursive=True)
    return [child for child in children if _title(child).startswith("ray::ImplicitFunc")]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def outcomes(folder: RunFolder) -> list[tuple[Any, ...]]:
    """Return what a run found, without what depends on time and place."""
    trials: list[TrialRecord] = folder.read_trials()
    evaluations: list[EvalRecord] = folder.read_evaluations()
    rows = [
        (t.trial_id, t.order, t.status, t.ending, t.reason, t.steps, t.best_step, t.best_value)
        for t in trials
    ]
    points = [
        (e.trial_id, e.split, e.step, e.epoch, e.loss, e.matthews_correlation)
        for e in sorted(evaluations, key=lambda e: (e.trial_id, e.step, e.split))
    ]
    return [*rows, *points]


def predictions(folder: RunFolder) -> dict[str, bytes]:
    """Return the bytes of every file of predictions, by its name."""
    names = folder.names("predictions")
    return {name: folder.read_bytes(f"predictions/{name}") for name in names}

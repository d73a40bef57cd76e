"""The arms of the study as separate commands, each timed as a user would experience it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from benchmarks.ag_news import say
from benchmarks.arms.request import Answer, Request, Trained
from raycompare.errors import RunError
from raycompare.records.manifest import Manifest
from raycompare.records.rows import EvalRecord, TrialRecord
from raycompare.records.run_folder import RunFolder

ROOT = Path(__file__).parents[2]
LAST_LINES = 20


@dataclass(frozen=True, kw_only=True)
class Study:
    """What one arm of the study gave."""

    command_seconds: float
    """The whole command, imports and Ray's start in it, raycompare's confirm stage not."""
    answer: Answer


@dataclass(frozen=True, kw_only=True)
class Run:
    """What `raycompare run` left behind."""

    command_seconds: float
    manifest: Manifest
    trials: Sequence[TrialRecord]
    evaluations: Sequence[EvalRecord]

    @property
    def tune(self) -> list[TrialRecord]:
        """The trials of the tune stage, as planned."""
        return [trial for trial in self.trials if trial.stage == "tune"]

    def study(self) -> Study:
        """Return the tune stage; the winner is chosen among its completed trials."""
        trials = [
            Trained(
                index=trial.order,
                best=trial.best_value if trial.status == "completed" else None,
                steps=trial.steps,
            )
            for trial in self.tune
        ]
        seconds = self.manifest.seconds
        return Study(
            command_seconds=self.command_seconds - seconds["confirm"],
            answer=Answer(search_seconds=seconds["tune"], trials=trials),
        )


def raycompare(experiment: Path, out: Path) -> Run:
    """Run the command that a user runs; records and manifest are read from its run folder."""
    words = ["raycompare", "run", str(experiment), "--out", str(out)]
    seconds = _timed(words, out.with_suffix(".log"))
    (place,) = (path.parent for path in out.glob("*/*/manifest.json"))
    folder = RunFolder.at(place)
    return Run(
        command_seconds=seconds,
        manifest=folder.read_manifest(),
        trials=folder.read_trials(),
        evaluations=folder.read_evaluations(),
    )


def ray_tune(request: Path) -> Study:
    """Run the study by plain Ray Tune."""
    answer = request.with_name("ray-tune.json")
    words = ["benchmarks.arms.ray_tune", str(request), str(answer)]
    seconds = _timed(words, request.with_name("ray-tune.log"))
    return Study(command_seconds=seconds, answer=Answer.read(answer))


def one_by_one(request: Path) -> Study:
    """Run a process for each configuration, one after another."""
    began, done = perf_counter(), list[Trained]()
    for index in range(len(Request.read(request).configurations)):
        answer = request.with_name(f"trial-{index}.json")
        words = ["benchmarks.arms.one_trial", str(request), str(index), str(answer)]
        _timed(words, answer.with_suffix(".log"))
        done += Answer.read(answer).trials
    seconds = perf_counter() - began
    return Study(command_seconds=seconds, answer=Answer(search_seconds=seconds, trials=done))


def _timed(words: Sequence[str], log: Path) -> float:
    """Run a module of Python with a log; return its seconds.

    Raises:
        RunError: it failed; the message has the end of the log.
    """
    # A Ray of its own on this machine, whatever else runs there; benchmarks is not installed.
    own = {"RAY_ADDRESS": "local", "PYTHONPATH": str(ROOT)}
    began = perf_counter()
    with log.open("wb") as stream:
        done = subprocess.run(
            [sys.executable, "-m", *words],
            stdout=stream,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            env={**os.environ, **own},
            check=False,
        )
    seconds = perf_counter() - began
    if done.returncode:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-LAST_LINES:])
        raise RunError(f"{' '.join(words)} failed with exit code {done.returncode}:\n{last}")
    say(f"{words[0]}: {seconds:.1f} s")
    return seconds

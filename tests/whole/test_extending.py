"""The examples of docs/extending.md, applied to a copy of the package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

FILES = {"one": 1, "two": 2, "three": 3}

METRIC = """
import numpy as np
from sklearn.metrics import cohen_kappa_score

from raycompare.metrics import Margins, influences, scores
from tests import runs

draw = np.random.default_rng(1)
labels, predictions = draw.integers(0, 3, 40), draw.integers(0, 3, (1, 40))
predictions = np.where(draw.random((1, 40)) < 0.6, labels, predictions)
(value,) = scores("kappa", Margins.of(labels, predictions, 3))
assert np.isclose(value, cohen_kappa_score(labels, predictions[0]))
for example, influence in enumerate(influences("kappa", labels, predictions, 3)):
    weights = np.ones(40)
    weights[example] += 1e-6
    nudged = cohen_kappa_score(labels, predictions[0], sample_weight=weights)
    assert np.isclose(influence, (nudged - value) / 1e-6, atol=1e-5)

run = runs.empty("a", "b", tune={"metric": "kappa"})
for model in "ab":
    run.tune(model, 0.5, 0.6)
    run.confirm(model, [0.5, 0.6])
assert "Cohen's kappa" in run.compare().verdict
"""

SCHEDULER = """
from raycompare.experiment.settings import TuneSpec
from raycompare.tuning.schedulers.base import Decision
from raycompare.tuning.schedulers.registry import rules_for, rung_positions

settings = TuneSpec(scheduler="margin", metric="accuracy", grace_period=10)
rule = rules_for(settings, rung_positions(settings, {"a": 40}))["a"]
for trial, value in {"first": 0.8, "near": 0.76, "far": 0.74}.items():
    rule.add(trial)
    rule.record(trial, [0], value)
stopped = [t for t in ("first", "near", "far") if rule.standing(t).decision is Decision.STOP]
assert stopped == ["far"]
assert rule.standing("far").reason == "more than 0.05 below the best earlier trial at step 10"
"""

TRACKER = """
import json
import sys

from raycompare.records.run_folder import RunFolder
from raycompare.running.trackers.checks import tracker_problems
from raycompare.running.trackers.start import TRACKERS
from raycompare.running.trackers.tracker import Outcome, TrackedRun
from tests import runs

run = runs.typical()
experiment = runs.empty("a", trackers=["lines"]).experiment
assert list(tracker_problems(experiment, sys.argv[1])) == []
folder = RunFolder.at(sys.argv[1])
tracker = TRACKERS["lines"](TrackedRun(run_id="1", experiment=experiment, folder=folder))
tracker.open()
for trial in run.trials:
    assert not tracker.has(trial.trial_id)
    assert tracker.begin(trial) < 0
    tracker.log(trial, [row for row in run.evaluations if row.trial_id == trial.trial_id])
    tracker.end(trial)
tracker.finish(Outcome(verdict="a is the best"))
tracker.close()
*rows, last = map(json.loads, folder.read_text("evaluations.jsonl").splitlines())
assert len(rows) == len(run.evaluations)
assert rows[0]["trial"] == run.trials[0].trial_id
assert last == {"verdict": "a is the best"}
"""

SECTION = """
from tests import runs

headings = [line for line in runs.typical_report().splitlines() if line.startswith("## ")]
assert headings[headings.index("## Slowest trial") - 1] == "## Failures"
"""

PROGRAMS = {"metric": METRIC, "scheduler": SCHEDULER, "tracker": TRACKER, "section": SECTION}


def extend(text: str, root: Path) -> set[str]:
    """Apply the examples of a section to a copy of the package; return the files they touch."""
    modules = re.findall(r"`(\S+\.py)`[^`]*\n\n```python\n(.*?)```", text, re.DOTALL)
    for path, content in modules:
        (root / path).write_text(content, encoding="utf-8")
    diffs = re.findall(r"```diff\n\+\+\+ (\S+)\n(.*?)```", text, re.DOTALL)
    for path, diff in diffs:
        source = (root / path).read_text(encoding="utf-8")
        for hunk in diff.split("@@\n"):
            lines = hunk.rstrip("\n").split("\n")
            old = "\n".join(line[1:] for line in lines if line[0] != "+")
            new = "\n".join(line[1:] for line in lines if line[0] != "-")
            assert source.count(old) == 1, f"{path} has changed: {old}"
            source = source.replace(old, new)
        (root / path).write_text(source, encoding="utf-8")
    return {path for path, _ in [*modules, *diffs]}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", PROGRAMS)
def test_an_example_works_and_touches_as_many_files_as_it_says(name: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    (count, text), *_ = re.findall(
        rf"^## A {name}[\w ]*: (\w+) files?\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE
    )
    shutil.copytree(ROOT / "raycompare", tmp_path / "raycompare")
    assert len(extend(text, tmp_path)) == FILES[count]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAMS[name], str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )
    assert done.returncode == 0, done.stderr

"""Times `raycompare report` on 10,000 trials: `python -m benchmarks.scale.report_time`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.page import Goal, Page
from raycompare.formatting import count, table
from raycompare.records.rows import TrialRecord
from tests import runs

MODELS = [f"organisation/model-{number}" for number in range(8)]
DISTINCT, COPIES, STEPS, SEEDS, TEST_ROWS = 50, 25, 500, 3, 1000
STOPPED = {
    "status": "stopped_early",
    "ending": "rung",
    "reason": runs.STOP,
    "planned_steps": 2 * STEPS,
}
REPEATS, MOST_SECONDS = 5, 5.0
REPORT = [sys.executable, "-m", "raycompare", "report"]
IMPORTS = [sys.executable, "-c", "import raycompare.cli, raycompare.report"]

METHOD = """
The records are made by formula, with the helpers of the tests: {trials} trials of {models} models
with {evaluations} evaluations on validation and test in all, 3 of 5 trials stopped at a rung, and
predictions of {rows} rows for each finalist. `raycompare report` runs in a separate process,
{repeats} times, as does a Python that only imports what the report needs; the median counts.
"""


def large_run() -> runs.Run:
    """Make the records; each trial of the tune stage stands there many times under other names."""
    run = runs.empty(*MODELS)
    chance = np.random.default_rng(7)
    for place, model in enumerate(MODELS):
        for number in range(DISTINCT):
            quality = 0.9 - 0.03 * place - 0.3 * chance.random() ** 2
            changes = STOPPED if number % 5 > 1 else {"planned_steps": STEPS}
            run.tune(model, quality, steps=STEPS, **changes)
    trials, evaluations = run.trials, run.evaluations
    run.trials, run.evaluations = [], []
    for copy in range(COPIES):
        run.trials += [_renamed(trial, copy) for trial in trials]
        run.evaluations += [replace(row, trial_id=f"{row.trial_id}-{copy}") for row in evaluations]
    for place, model in enumerate(MODELS):
        run.confirm(model, [0.9 - 0.03 * place + 0.003 * seed for seed in range(SEEDS)])
    return run


def _renamed(trial: TrialRecord, copy: int) -> TrialRecord:
    order, default = trial.order + copy * DISTINCT * len(MODELS), trial.is_default and not copy
    return replace(trial, trial_id=f"{trial.trial_id}-{copy}", order=order, is_default=default)


def seconds(command: list[str]) -> list[float]:
    """Time the command, several times."""
    times = []
    for _ in range(REPEATS):
        began = perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(perf_counter() - began)
    return times


def main() -> None:
    """Build, time, write the page."""
    run = large_run()
    with tempfile.TemporaryDirectory() as place:
        run.write(Path(place))
        timed = {"raycompare report": seconds([*REPORT, place]), "imports alone": seconds(IMPORTS)}
        size = (Path(place) / "report.md").stat().st_size
    rows = [
        [name, f"{median(times):.2f} s", f"{min(times):.2f} to {max(times):.2f} s"]
        for name, times in timed.items()
    ]
    took = median(timed["raycompare report"])
    met = took < MOST_SECONDS
    goal = Goal(name="seconds in all", aim="< 5", measured=f"{took:.2f}", met=met)
    Page(
        name="report",
        title="A report from 10,000 trials",
        command="python -m benchmarks.scale.report_time",
        method=METHOD.format(
            trials=count(len(run.trials)),
            models=len(MODELS),
            evaluations=count(len(run.evaluations)),
            rows=count(TEST_ROWS),
            repeats=REPEATS,
        ),
        results=f"{table(['', 'median', 'range'], rows)}\n\nreport.md: {count(size // 1000)} kB.",
        goals=[goal],
    ).write()


if __name__ == "__main__":
    main()

"""The page of the study: its tables, and the goals it is held against."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev

from benchmarks.ag_news import MAX_LENGTH
from benchmarks.arms.commands import Run, Study
from benchmarks.arms.request import Configuration, Request
from benchmarks.overhead import WorkerTime, seconds_at_work
from benchmarks.page import Goal, Page
from benchmarks.quality import SIZE_ERRORS, SPREAD_ERRORS, Agreement
from benchmarks.study.setup import BATCH_SIZE, REDUCTION_FACTOR, Sizes
from raycompare.formatting import NOTHING, change, count, score, setting, table

OURS, PLAIN, PROCESSES = "raycompare", "plain Ray Tune", "one process after another"
LEAST_RATIO, MOST_OVERHEAD = 3, 0.03


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All that was measured."""

    request: Request
    run: Run
    studies: Mapping[str, Study]
    tested: Mapping[str, Sequence[float]]
    """The test MCCs of each arm's winner, seed by seed."""
    agreements: Mapping[str, Agreement]
    long_run: Run
    worker_time: WorkerTime

    def search_ratio(self, arm: str) -> float:
        """Return the seconds of the arm's search by those of raycompare's tune stage."""
        ours = self.studies[OURS].answer.search_seconds
        return self.studies[arm].answer.search_seconds / ours

    def command_ratio(self, arm: str) -> float:
        """Return the seconds of the arm's whole command by those of raycompare's."""
        return self.studies[arm].command_seconds / self.studies[OURS].command_seconds


def study_page(sizes: Sizes, found: Findings, load: str, quick: bool) -> Page:
    """Make the page; `load` says how busy the machine was."""
    return Page(
        name="study-quick" if quick else "study",
        title=f"One study of {len(found.request.configurations)} trials, three ways",
        command=" ".join(["python -m benchmarks.study", *sys.argv[1:]]),
        method=f"{method(sizes, found.request)}\n{load}",
        results=results(found),
        goals=goals(found),
    )


def method(sizes: Sizes, request: Request) -> str:
    """Say what was run and how it was timed."""
    return f"""
The first two and the first three layers of all-MiniLM-L6-v2, {sizes.samples} configurations each,
as `raycompare.tuning.plans.drawn_plans` draws them; AG News, {sizes.train:,} rows to train,
{sizes.validation:,} to validate, texts cut to {MAX_LENGTH} tokens; {request.max_steps} optimizer
steps of {BATCH_SIZE} texts, an evaluation every {request.grace_steps}. Every arm reads the same
Parquet files and has run once.

- **{OURS}**: `raycompare run`, {sizes.workers} trials at a time, one CPU each; a trial of a model
  can be stopped after {request.grace_steps} steps, the better half goes on. Its search is the tune
  stage; the confirm stage, one seed for each model, is not counted and reported apart.
- **{PLAIN}**: a function around the Trainer as in Ray's
  [guide](https://docs.ray.io/en/latest/train/getting-started-transformers.html): it loads and
  tokenises the rows, pads texts to {_padding(request)}, and reports every evaluation with a
  checkpoint. One ASHAScheduler over all trials with the same first stop, factor
  {REDUCTION_FACTOR} and budget, one checkpoint kept; as many trials at a time, one CPU each. Its
  search is `Tuner.fit()`; Ray was started before.
- **{PROCESSES}**: a script with Trainer defaults, batches padded to their longest text, whole
  budget, all cores, nothing saved.

The whole command is all that a user waits for: imports, Ray's start, reading, tokenising, search.
The winner is the configuration with the best validation MCC, in raycompare among the trials that
were not stopped. Each arm's is trained anew by raycompare's trial on {sizes.winner_seeds} seeds
and tested on {sizes.test:,} rows. raycompare's counts as no worse if the mean of the differences,
seed by seed, is at most the larger of {SPREAD_ERRORS} standard errors of that mean and
{SIZE_ERRORS} standard errors that a difference has from the size of the test set.
"""


def _padding(request: Request) -> str:
    return f"{MAX_LENGTH} tokens" if request.padding == "max_length" else "the longest of a batch"


def results(found: Findings) -> str:
    """Make the tables."""
    confirm = found.run.manifest.seconds["confirm"]
    return "\n\n".join(
        [
            _times(found),
            f"raycompare's confirm stage took {confirm:.1f} s more, with its tests.",
            _winners(found),
            "### Overhead",
            _overhead(found),
        ]
    )


def _times(found: Findings) -> str:
    headers = ["arm", "search, s", "x raycompare", "whole command, s", "x raycompare", "steps"]
    rows = [
        [
            arm,
            f"{study.answer.search_seconds:.1f}",
            f"{found.search_ratio(arm):.2f}",
            f"{study.command_seconds:.1f}",
            f"{found.command_ratio(arm):.2f}",
            count(study.answer.steps),
        ]
        for arm, study in found.studies.items()
    ]
    return table(headers, rows)


def _winners(found: Findings) -> str:
    headers = ["arm", "winner", "validation MCC", "test MCC, mean ± sd", "difference", "bound"]
    rows = []
    for arm, study in found.studies.items():
        won, tested, against = study.answer.winner, found.tested[arm], found.agreements.get(arm)
        best = next(trial.best for trial in study.answer.trials if trial.index == won)
        rows.append(
            [
                arm,
                shown(found.request.configurations[won]),
                score(best),
                f"{score(fmean(tested))} ± {stdev(tested):.3f}",
                change(against.difference) if against else NOTHING,
                score(against.bound) if against else NOTHING,
            ]
        )
    return table(headers, rows, left=2)


def shown(chosen: Configuration) -> str:
    """Write a configuration as a cell has it."""
    values = [f"{key} {setting(value)}" for key, value in sorted(chosen.searched.items())]
    return ", ".join([chosen.model, *(values or ["default"])])


def _overhead(found: Findings) -> str:
    time, trials = found.worker_time, found.long_run.tune
    each = median(seconds_at_work(trial) for trial in trials)
    parts = {
        "in training and evaluation steps": time.busy,
        "between trials": time.gaps,
        "start of the workers, end of the stage": time.ends,
        "idle, no trial left to start": time.tail,
    }
    rows = [
        [name, f"{seconds:.1f}", f"{seconds / time.available:.1%}"]
        for name, seconds in {**parts, "available": time.available}.items()
    ]
    told = (
        f"A study of {len(trials)} trials of {each:.1f} s (median), none stopped, on "
        f"{time.workers} workers: the seconds of all workers in the tune stage."
    )
    once = time.ends / time.workers
    again = time.gaps / max(len(trials) - time.workers, 1)
    parts_told = f"Start and end are {once:.1f} s a worker, once; a change of trials {again:.2f} s."
    return "\n\n".join([told, table(["", "seconds", "share"], rows), parts_told])


def goals(found: Findings) -> list[Goal]:
    """Hold the figures against the goals; the ratios come last."""
    time, most = found.worker_time, f"<= {MOST_OVERHEAD:.0%}"
    each = median(seconds_at_work(trial) for trial in found.long_run.tune)
    shares = {"with it": time.overhead, "left out": time.overhead_without_tail}
    quality = [
        Goal(
            name=f"test MCC of the winner: {arm} less raycompare",
            aim=f"<= {against.bound:.3f}",
            measured=change(against.difference),
            met=against.no_worse,
        )
        for arm, against in found.agreements.items()
    ]
    overhead = [
        Goal(
            name=f"overhead of {each:.0f} s trials, the idle tail {which}",
            aim=most,
            measured=f"{share:.1%}",
            met=share <= MOST_OVERHEAD,
        )
        for which, share in shares.items()
    ]
    return [
        *quality,
        *overhead,
        _speed(f"times as fast as {PLAIN}, whole commands", found.command_ratio(PLAIN)),
        _speed(f"times as fast as {PLAIN}, searches", found.search_ratio(PLAIN)),
    ]


def _speed(name: str, ratio: float) -> Goal:
    aim, met = f">= {LEAST_RATIO}", ratio >= LEAST_RATIO
    return Goal(name=name, aim=aim, measured=f"{ratio:.2f}", met=met)

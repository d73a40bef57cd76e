"""Time of one fine-tuning run: raycompare, the Trainer in two ways, and a bare loop.

    python -m benchmarks.trial

The arms train the same model on the same rows with the same seeds, epochs, batch size, learning
rate, optimizer, schedule and number of threads, one after another, in turns: every repetition runs
each arm once, with another seed. The clock runs from the first step to the last; evaluation and
test are timed separately. `benchmarks.quality` defines when two test MCCs count as equal; the
benchmark fails if raycompare and another arm differ.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Annotated

import typer

from benchmarks.ag_news import (
    MAX_LENGTH,
    Data,
    Quick,
    minilm,
    other_load,
    require_data,
    run_app,
    say,
)
from benchmarks.arms import ours
from benchmarks.arms.fine_tuning import ARMS, BARE, DEFAULTS, OURS, PADDED, Prepared, prepare
from benchmarks.arms.ours import Outcome
from benchmarks.page import Goal, Page
from benchmarks.quality import SIZE_ERRORS, SPREAD_ERRORS, Agreement, TestSet, agreement
from raycompare.cluster.connection import ALLOCATOR
from raycompare.experiment.spec import Experiment
from raycompare.formatting import NOTHING, change, number_of, score, table

app = typer.Typer(pretty_exceptions_enable=False)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is trained."""

    train: int
    validation: int
    test: int
    epochs: int
    batch_size: int
    learning_rate: float
    repetitions: int
    threads: int

    def experiment(self, data: Path) -> Experiment:
        """Return the experiment of which every run is a trial."""
        limit = {"train": self.train, "validation": self.validation, "test": self.test}
        return Experiment.model_validate(
            {
                "name": "bench-trial",
                "data": {"dataset": str(data), "max_length": MAX_LENGTH, "limit": limit},
                "models": (minilm(2),),
                "training": {
                    "num_train_epochs": self.epochs,
                    "per_device_train_batch_size": self.batch_size,
                    "learning_rate": self.learning_rate,
                    "bf16": False,  # as the other arms, also where a card has it
                },
            }
        )


IN_A_WORKER = (OURS, BARE)
"""The arms that run as in a worker of raycompare; the others run as a script does."""

Runs = Mapping[str, Sequence[Outcome]]
"""The outcomes of each arm, in the order of the repetitions."""


@app.command()
def main(  # noqa: PLR0913, PLR0917 - each is an option of the command
    data: Data = Path("data/ag_news"),
    quick: Quick = False,
    train_rows: int = 768,
    test_rows: int = 1000,
    epochs: int = 1,
    repetitions: Annotated[int, typer.Option(min=2)] = 3,
    threads: Annotated[int, typer.Option(help="Of every arm; a trial's default is 1.")] = 1,
) -> None:
    """Time one fine-tuning run in four ways and write the page."""
    require_data(data)
    load = other_load()
    sizes = Sizes(
        train=64 if quick else train_rows,
        validation=32 if quick else 200,
        test=100 if quick else test_rows,
        epochs=epochs,
        batch_size=16,
        learning_rate=3e-4,
        repetitions=2 if quick else repetitions,
        threads=threads,
    )
    runs = measure(sizes, data)
    agreements = compare(runs, sizes)
    page(sizes, runs, load, quick).write()
    if not all(found.equal for found in agreements.values()):
        say("the arms disagree in quality: their times can't be compared")
        sys.exit(1)


def measure(sizes: Sizes, data: Path) -> Runs:
    """Run all arms in turns, after a short run of each that is not counted."""
    tiny = Sizes(**{**vars(sizes), "train": 32, "validation": 16, "test": 16, "epochs": 1})
    runs: dict[str, list[Outcome]] = {arm: [] for arm in ARMS}
    with _process(ALLOCATOR) as worker, _process({}) as script:
        places = {arm: worker if arm in IN_A_WORKER else script for arm in ARMS}
        for arm, place in places.items():
            place.submit(_run, arm, tiny, data, 0).result()
        for seed in range(1, sizes.repetitions + 1):
            for arm, place in places.items():
                outcome = place.submit(_run, arm, sizes, data, seed).result()
                runs[arm].append(outcome)
                say(
                    f"seed {seed}, {arm}: {outcome.train_seconds:.2f} s, "
                    f"test MCC {outcome.test_mcc:.3f}"
                )
    return runs


@contextmanager
def _process(environment: Mapping[str, str]) -> Iterator[ProcessPoolExecutor]:
    """Start a process with variables that it must have from its birth."""
    kept = dict(os.environ)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        os.environ.update(environment)
        pool.submit(os.getpid).result()
        for name in environment.keys() - kept.keys():
            del os.environ[name]
        yield pool


@cache
def _prepared(sizes: Sizes, data: Path) -> Prepared:
    return prepare(ours.load(sizes.experiment(data)), sizes.threads)


def _run(arm: str, sizes: Sizes, data: Path, seed: int) -> Outcome:
    return ARMS[arm](_prepared(sizes, data), seed)


def compare(runs: Runs, sizes: Sizes) -> dict[str, Agreement]:
    """Compare the test MCC of every arm with raycompare's."""
    tested = TestSet(rows=sizes.test, labels=4)
    own = [outcome.test_mcc for outcome in runs[OURS]]
    return {
        arm: agreement([outcome.test_mcc for outcome in outcomes], own, tested)
        for arm, outcomes in runs.items()
        if arm != OURS
    }


def train_seconds(outcomes: Sequence[Outcome]) -> float:
    """Return the median over the repetitions."""
    return median(outcome.train_seconds for outcome in outcomes)


def ratio(runs: Runs, arm: str) -> float:
    """Return the arm's median seconds of training by raycompare's."""
    return train_seconds(runs[arm]) / train_seconds(runs[OURS])


def page(sizes: Sizes, runs: Runs, load: str, quick: bool) -> Page:
    """Make the page; `load` says how busy the machine was."""
    agreements = compare(runs, sizes)
    return Page(
        name="trial-quick" if quick else "trial",
        title="One fine-tuning run, four ways",
        command=" ".join(["python -m benchmarks.trial", *sys.argv[1:]]),
        method=f"{method(sizes)}\n{load}",
        results=results(runs, agreements),
        goals=goals(runs, agreements),
    )


def method(sizes: Sizes) -> str:
    """Say what was run and how it was timed."""
    return f"""
The first two layers of all-MiniLM-L6-v2 with a new head, AG News: {sizes.train:,} rows to train,
{sizes.test:,} to test; {number_of(sizes.epochs, "epoch")}, batches of {sizes.batch_size} texts,
learning rate {sizes.learning_rate:g}, linear schedule, AdamW, gradients clipped at 1, texts cut to
{MAX_LENGTH} tokens, {number_of(sizes.threads, "thread")}. {sizes.repetitions} repetitions, each arm
once in each, in turns; a seed per repetition, the same for all arms. Short runs of all arms before
are not counted.

- **{OURS}**: a trial of the confirm stage as `raycompare run` trains it, with its own clock: random
  batches, each computed in parts of like length.
- **{PADDED}**: every text padded to {MAX_LENGTH} tokens when it is tokenised.
- **{DEFAULTS}**: DataCollatorWithPadding, batches in random order.
- **{BARE}**: forward, backward, clip, step on raycompare's batches in the same parts, made and
  padded before the clock starts: the floor. Its model is tested by raycompare's Trainer.

The first and the last run in a process with the environment of raycompare's workers (`ALLOCATOR` in
raycompare/backends), the others in one without, as a script has it.

Random batches of 16 texts of AG News, padded to their longest, compute 1.8 times the useful tokens:
computing the same batches without any padding can gain no more than that over the Trainer's
defaults. Batches of like length could, but learn more slowly (docs/decisions/0004).

Training is timed from the first step to the last with `perf_counter`; tokenising, loading,
evaluation on {sizes.validation:,} rows and test are not in it. Two test MCCs count as equal if the
mean of their differences, seed by seed, is within the larger of {SPREAD_ERRORS} standard errors of
that mean and {SIZE_ERRORS} standard errors that a difference has from the size of the test set.
"""


def results(runs: Runs, agreements: Mapping[str, Agreement]) -> str:
    """Make the table of seconds, medians over the repetitions, and of the test MCC."""
    headers = ["arm", "training, s", "least to most", "x raycompare", "evaluation, s", "test, s"]
    rows = [
        [arm, *_times(runs, arm), *_quality(outcomes, agreements.get(arm))]
        for arm, outcomes in runs.items()
    ]
    return table([*headers, "test MCC, mean ± sd", "difference", "bound"], rows)


def _times(runs: Runs, arm: str) -> list[str]:
    outcomes = runs[arm]
    seconds = [outcome.train_seconds for outcome in outcomes]
    return [
        f"{median(seconds):.2f}",
        f"{min(seconds):.2f} to {max(seconds):.2f}",
        f"{ratio(runs, arm):.2f}",
        f"{median(outcome.eval_seconds for outcome in outcomes):.2f}",
        f"{median(outcome.test_seconds for outcome in outcomes):.2f}",
    ]


def _quality(outcomes: Sequence[Outcome], found: Agreement | None) -> list[str]:
    values = [outcome.test_mcc for outcome in outcomes]
    own = f"{score(fmean(values))} ± {stdev(values):.3f}"
    if found is None:
        return [own, NOTHING, NOTHING]
    return [own, change(found.difference), score(found.bound)]


def goals(runs: Runs, agreements: Mapping[str, Agreement]) -> list[Goal]:
    """Hold the figures against the goals; the ratios come last."""
    equal = [
        Goal(
            name=f"test MCC as of: {arm}",
            aim=f"within ±{found.bound:.3f}",
            measured=change(found.difference),
            met=found.equal,
        )
        for arm, found in agreements.items()
    ]
    padded, defaults, bare = ratio(runs, PADDED), ratio(runs, DEFAULTS), 1 / ratio(runs, BARE)
    return [
        *equal,
        _speed("seconds by those of the bare loop", "<= 1.08", bare, bare <= 1.08),  # noqa: PLR2004
        _speed("times as fast as Trainer defaults", ">= 1.8", defaults, defaults >= 1.8),  # noqa: PLR2004
        _speed("times as fast as Trainer padded", ">= 4.5", padded, padded >= 4.5),  # noqa: PLR2004
    ]


def _speed(name: str, aim: str, measured: float, met: bool) -> Goal:
    return Goal(name=name, aim=aim, measured=f"{measured:.2f}", met=met)


if __name__ == "__main__":
    run_app(app)

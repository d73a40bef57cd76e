"""Time of a study with 24 trials: raycompare, plain Ray Tune, one process after another.

    python -m benchmarks.study

All arms try the configurations that raycompare plans, on the same rows, with the same budget and
evaluations. Each arm is a separate command, timed as a user would experience it. The configuration
that it chose is then trained and tested by the same code with a few seeds; the benchmark fails if
that of raycompare is worse than another arm's by more than `benchmarks.quality` allows. A second
study, of raycompare alone, has long trials, none of which is stopped: `benchmarks.overhead` shows
where the workers' time went.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated

import psutil
import typer

from benchmarks.ag_news import Data, Quick, other_load, require_data, run_app, say
from benchmarks.arms import commands, ours
from benchmarks.arms.commands import Run, Study
from benchmarks.arms.plain import Padding
from benchmarks.arms.request import Request
from benchmarks.overhead import WorkerTime, seconds_at_work, spans, worker_time
from benchmarks.quality import Agreement, TestSet, agreement
from benchmarks.study.page import OURS, PLAIN, PROCESSES, Findings, study_page
from benchmarks.study.setup import Sizes, request_of, write_long_study, write_rows, write_study
from raycompare.experiment.spec import Experiment

app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def main(  # noqa: PLR0913, PLR0917 - each is an option of the command
    data: Data = Path("data/ag_news"),
    quick: Quick = False,
    train_rows: int = 384,
    test_rows: int = 1000,
    epochs: int = 2,
    samples: Annotated[int, typer.Option(help="Configurations of each of the 2 models.")] = 12,
    workers: Annotated[int, typer.Option(help="Trials at a time; a core each if left out.")] = 0,
    ray_padding: Annotated[Padding, typer.Option(help="Of the texts in plain Ray Tune.")] = (
        "max_length"
    ),
    long_trials: Annotated[int, typer.Option(help="Trials of the second study.")] = 16,
    long_seconds: Annotated[float, typer.Option(help="What each of them should take.")] = 30.0,
    work: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep logs and records in a new folder.")
    ] = None,
) -> None:
    """Time one study in three ways and write the page."""
    require_data(data)
    load = other_load()
    sizes = Sizes(
        train=64 if quick else train_rows,
        validation=64 if quick else 200,
        test=200 if quick else test_rows,
        epochs=1 if quick else epochs,
        samples=2 if quick else samples,
        workers=workers or psutil.cpu_count() or 1,
        padding=ray_padding,
        winner_seeds=2 if quick else 3,
        long_trials=4 if quick else long_trials,
        long_seconds=3.0 if quick else long_seconds,
    )
    with ExitStack() as stack:
        folder = work or Path(stack.enter_context(TemporaryDirectory(prefix="bench-study-")))
        found = measure(sizes, data.absolute(), folder.absolute())
    study_page(sizes, found, load, quick).write()
    if not all(one.no_worse for one in found.agreements.values()):
        say("raycompare chose a worse configuration: the times can't be compared")
        sys.exit(1)


def measure(sizes: Sizes, data: Path, work: Path) -> Findings:
    """Run both studies and train the winners."""
    work.mkdir(parents=True, exist_ok=True)
    write_rows(sizes, data, work / "data")
    experiment = write_study(sizes, work / "data", work / "bench-study.yaml")
    request = request_of(sizes, experiment, work)
    request.write(work / "request.json")
    run = commands.raycompare(work / "bench-study.yaml", work / "raycompare")
    studies = {
        OURS: run.study(),
        PLAIN: commands.ray_tune(work / "request.json"),
        PROCESSES: commands.one_by_one(work / "request.json"),
    }
    tested = test_winners(sizes, experiment, request, studies)
    long_run = run_long(sizes, run, work)
    return Findings(
        request=request,
        run=run,
        studies=studies,
        tested=tested,
        agreements=compare(tested, sizes),
        long_run=long_run,
        worker_time=where_time_went(long_run, sizes.workers),
    )


def test_winners(
    sizes: Sizes, experiment: Experiment, request: Request, studies: Mapping[str, Study]
) -> dict[str, list[float]]:
    """Return the test MCCs, seed by seed, of the configuration that each arm chose."""
    loaded, threads = ours.load(experiment), psutil.cpu_count() or 1
    known: dict[int, list[float]] = {}
    for study in studies.values():
        index = study.answer.winner
        chosen = request.configurations[index]
        if index not in known:
            say(f"training configuration {index} for its test")
            known[index] = [
                ours.train(
                    ours.finalist(loaded, chosen.model, chosen.searched, seed, threads)
                ).test_mcc
                for seed in range(1, sizes.winner_seeds + 1)
            ]
    return {arm: known[study.answer.winner] for arm, study in studies.items()}


def compare(tested: Mapping[str, list[float]], sizes: Sizes) -> dict[str, Agreement]:
    """Compare the winners of the other arms with raycompare's."""
    size = TestSet(rows=sizes.test, labels=4)
    return {
        arm: agreement(values, tested[OURS], size) for arm, values in tested.items() if arm != OURS
    }


def run_long(sizes: Sizes, before: Run, work: Path) -> Run:
    """Run the second study; the first says how many steps take the time that is asked for."""
    model = "minilm-2-layers"
    per_step = median(
        seconds_at_work(trial) / trial.steps for trial in before.tune if trial.model == model
    )
    path = work / "bench-study-long.yaml"
    write_long_study(sizes, per_step, work / "data", path)
    return commands.raycompare(path, work / "raycompare-long")


def where_time_went(run: Run, workers: int) -> WorkerTime:
    """Add up the tune stage of a run."""
    stage = spans(run.tune, run.evaluations)
    return worker_time(stage, workers, run.manifest.seconds["tune"])


if __name__ == "__main__":
    run_app(app)

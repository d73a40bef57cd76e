"""Replay recorded experiments with several schedulers; write the page of what each costs."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from benchmarks.page import Goal, Page, wrap
from benchmarks.replay import curves
from benchmarks.replay.contenders import METRIC, MODE, PER_MODEL, contenders
from benchmarks.replay.curves import Recording
from benchmarks.replay.studies import POINTS, TOLERANCE, Archive
from benchmarks.replay.summary import (
    COST_AIM,
    KEPT_AIM,
    Options,
    Summary,
    cheapest,
    default_setting,
    replay_all,
    summarise,
)
from raycompare.errors import UserError
from raycompare.formatting import NOTHING, listing, number_of, score, table
from raycompare.metrics import LABELS

DEFAULTS = Options()
AIM = f"cost <= {COST_AIM:.2f}, kept >= {KEPT_AIM:.2f}"
HEADERS = (
    "scheduler",
    "grace",
    "factor",
    "top k",
    "cost",
    "steps",
    "makespan",
    "right ± se",
    "relative",
    "kept",
    "exact",
    "regret",
    "shortfall",
)


def main(
    replays: Annotated[int, typer.Option(min=1, help="Experiments, each with every setting.")] = (
        DEFAULTS.replays
    ),
    workers: Annotated[int, typer.Option(min=1, help="Trials at once.")] = DEFAULTS.workers,
    configurations: Annotated[int, typer.Option(min=2, help="Of each model, at most.")] = (
        DEFAULTS.configurations
    ),
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = DEFAULTS.seed,
    path: Annotated[
        Path, typer.Option("--curves", help="Recorded curves.", show_default="this folder's")
    ] = curves.PATH,
) -> None:
    """Compare schedulers on replayed experiments and write a page of the benchmark."""
    options = Options(replays=replays, workers=workers, configurations=configurations, seed=seed)
    try:
        recording = curves.load(path)
    except UserError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    began = perf_counter()
    summaries = compare(recording, options)
    seconds = perf_counter() - began
    digest = sha256(path.read_bytes()).hexdigest()[:16]
    Page(
        name="replay",
        title="What a scheduler costs, and how often it names the right model",
        command="make bench-replay",
        method=f"{_method(recording, options)}\n\n{_timing(options, len(summaries), seconds)} "
        f"SHA-256 of the curves begins with {digest}.",
        results=_results(summaries),
        goals=goals(summaries),
    ).write()


def compare(recording: Recording, options: Options) -> list[Summary]:
    """Replay experiments with every contender; the exhaustive search comes first."""
    compared = contenders(recording)
    findings = replay_all(Archive(recording), compared, options)
    return [
        summarise(contender, found, findings[0])
        for contender, found in zip(compared, findings, strict=True)
    ]


def goals(summaries: Sequence[Summary]) -> list[Goal]:
    """Hold the cheapest, and the program's default, to the same goal."""
    least, default = cheapest(summaries), default_setting(summaries)
    named = {
        f"cheapest: {least.contender.scheduler}": least,
        f"cheapest {PER_MODEL}": cheapest(summaries, PER_MODEL),
        "the program's default": default,
    }
    return [
        Goal(
            name=f"{name} ({summary.contender.setting})",
            aim=AIM,
            measured=f"cost {summary.cost:.3f}, kept {summary.kept:.3f}",
            met=summary.meets_the_goal,
        )
        for name, summary in named.items()
    ]


def _method(recording: Recording, options: Options) -> str:
    paragraphs = (
        _about_experiments(recording, options),
        _about_pauses(),
        _about_columns(options),
        _about_truth(recording),
        _about_rule(),
    )
    return wrap(paragraphs)


def _about_experiments(recording: Recording, options: Options) -> str:
    runs = recording.curves.values()
    configurations = max(len(of_model) for of_model in recording.seeds.values())
    return f"""
    {number_of(len(runs), "run")} at full budget were recorded, with
    {number_of(sum(len(run.evaluations) for run in runs), "evaluation")} on validation:
    {number_of(len(recording.models), "model")} ({listing(recording.models)}), up to
    {number_of(configurations, "configuration")} each, several seeds of each configuration. A
    replayed experiment draws up to {options.configurations} configurations of each model, the
    untuned default always among them, and one recorded seed for each; plans them in the program's
    order, the models in random order; and drives the real scheduler objects with a simulated clock
    and {number_of(options.workers, "worker")}. A trial takes its model's median recorded seconds
    per optimizer step and per evaluation; nothing else takes time. The program's own rule chooses
    a configuration of each model, and the experiment names the model whose choice has the highest
    test {LABELS[METRIC]}, the mean over its recorded seeds.
    """


def _about_pauses() -> str:
    return """
    A trial that is paused frees its worker. Whenever anything was reported or has ended the
    scheduler is asked which trial starts or goes on, and a paused one goes on where it was: no step
    is trained again. To write and read its checkpoint and to start it again takes no time here, so
    that top-k-after-first-rung and pasha, which pause trials, cost somewhat more than the table
    says.
    """


def _about_columns(options: Options) -> str:
    return f"""
    A model's true {LABELS[METRIC]} is that of its best configuration. *Right* means that the named
    model's is at most {TOLERANCE * POINTS:.1f} points below the best; *relative* is this rate over
    the exhaustive search's; *kept* is the share of the replays in which the exhaustive search is
    right in which this one is right too; *exact* is the share of replays that name the best model
    itself; *regret* is by how many points the chosen configuration of the named model falls short
    of the best configuration of the best model, on average: it tells schedulers apart where all of
    them name the right model. *Shortfall* is by how many points the chosen configuration of a model
    falls short of that model's own best, on average over all models, also those that are not named:
    a scheduler can name the right model and be unfair to the others. *Cost* is seconds of training
    and evaluation in the tune stage; cost, steps and makespan are shares of the exhaustive
    search's. All settings get the same {options.replays:,} draws (seed {options.seed}). *Grace* is
    the share of the full budget before a trial can be stopped or paused; the first recorded
    evaluation from there on decides. Rungs are a *factor* apart, and where trials are halved the
    best 1/factor pass one; the best *top k* trials of each model go on after the first rung.
    """


def _about_truth(recording: Recording) -> str:
    means = {
        model: max(recording.test_mean(model, config, METRIC) for config in seeds)
        for model, seeds in recording.seeds.items()
    }
    ranked = sorted(means.items(), key=lambda each: each[1], reverse=MODE == "max")
    found = listing([f"{model} {score(value)}" for model, value in ranked])
    return f"""
    True {LABELS[METRIC]} of the recorded models: {found}. Where the best lies far above
    the others, the rate says little of how schedulers do with models that are close.
    """


def _about_rule() -> str:
    return f"""
    Cheapest is what costs least of all that keep at least {KEPT_AIM:.2f} of what the exhaustive
    search has right, picked on these replays; if there is none, what keeps most.
    """


def _timing(options: Options, settings: int, seconds: float) -> str:
    total = options.replays * settings
    return (
        f"{total:,} experiments were replayed in {seconds:.0f} s, {total / seconds:.0f} a second."
    )


def _results(summaries: Sequence[Summary]) -> str:
    return table(HEADERS, (_row(summary) for summary in summaries))


def _row(summary: Summary) -> tuple[str, ...]:
    contender = summary.contender
    return (
        contender.scheduler,
        str(contender.grace or NOTHING),
        str(contender.factor or NOTHING),
        str(contender.top_k or NOTHING),
        f"{summary.cost:.3f}",
        f"{summary.steps:.3f}",
        f"{summary.makespan:.3f}",
        f"{summary.right:.3f} ± {summary.standard_error:.3f}",
        f"{summary.relative:.3f}",
        f"{summary.kept:.3f}",
        f"{summary.exact:.3f}",
        f"{summary.regret:.3f}",
        f"{summary.shortfall:.3f}",
    )


if __name__ == "__main__":
    typer.run(main)

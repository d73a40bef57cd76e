"""`raycompare.run`: runs an experiment from Python, for example in a notebook."""

from __future__ import annotations

from pathlib import Path

from raycompare.api import Run, load_run
from raycompare.errors import UserError
from raycompare.experiment.document import SOURCE
from raycompare.experiment.file import Draft, parse_draft, write_experiment
from raycompare.experiment.spec import Experiment
from raycompare.records.run_folder import draft_for
from raycompare.running.display import Display
from raycompare.running.run import RunOptions
from raycompare.running.run import run as run_draft
from raycompare.terminal import SafeConsole

OUT = "reports"


def run(
    experiment: Experiment | str | Path | None = None,
    out: str = OUT,
    *,
    resume: str | None = None,
    warm_start: str | None = None,
    wait_nodes: int = 1,
) -> Run:
    """Tune, confirm and test the models of an experiment, and return the run like `load_run`.

    `experiment` may be the path of a file; omit it to resume the run folder `resume`. The other
    arguments are the options of `raycompare run`. Progress is printed.

    Raises:
        ExperimentError: the experiment has mistakes; nothing was started.
        UserError: there is nothing to run, or another process is running in the folder.
        RunInterruptedError: the run was interrupted; the folder has everything up to then.
        RunError: every trial failed; the message has the first cause.
    """
    if resume is not None and out != OUT:
        raise UserError(f"out={out!r}: without effect, because a resumed run stays in its folder.")
    place = RunOptions(out=out, resume=resume, warm_start=warm_start, wait_nodes=wait_nodes)
    return load_run(run_draft(_draft(experiment, resume), place, Display(_console())))


def _console() -> SafeConsole:
    """Return a console without a live table in notebooks, where that would need ipywidgets."""
    console = SafeConsole()
    if console.is_jupyter:
        return SafeConsole(force_jupyter=False, force_terminal=False)
    return console


def _draft(experiment: Experiment | str | Path | None, resume: str | None) -> Draft:
    if isinstance(experiment, Experiment):
        return parse_draft(write_experiment(experiment), SOURCE)
    if not isinstance(experiment, str | Path | None):
        raise UserError(
            f"run: found a {type(experiment).__name__}, allowed an Experiment or the path of an "
            "experiment file. Experiment.from_dict takes a dict."
        )
    return draft_for(Path(experiment) if experiment is not None else None, (), resume)

"""A run from end to end: check, tune, confirm with a test of each finalist, report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from raycompare.backends import connected
from raycompare.check import check
from raycompare.display import Display
from raycompare.errors import RunError, RunInterruptedError, UserError
from raycompare.experiment_file import Draft, parse_draft, read_draft
from raycompare.journal import Journal
from raycompare.markdown import duration
from raycompare.metrics import MODES
from raycompare.packing import sharing
from raycompare.record import TrialRecord
from raycompare.report import write_report
from raycompare.results import RunFolder
from raycompare.stages import WORK, Stages, share
from raycompare.start import Clock, begin, manifest, new_folder


def draft_for(path: Path | None, overrides: Sequence[str], resume: str | None) -> Draft:
    """Read the experiment file, or the one in the folder to be resumed.

    Raises:
        UserError: neither is given, or one can't be read.
    """
    if path is not None:
        return read_draft(path, overrides)
    if resume is None:
        raise UserError("expected an experiment file, or --resume with the folder of a run.")
    folder = RunFolder.at(resume)
    return parse_draft(folder.read_text("experiment.yaml"), folder.child("experiment.yaml"))


def run(draft: Draft, out: str, resume: str | None, display: Display) -> RunFolder:
    """Run the experiment and leave records and report in a folder under `out`.

    `resume` names the folder of an earlier run of the same experiment; its finished trials are
    kept and the others are run.

    Raises:
        ExperimentError: the experiment has mistakes; nothing was started.
        UserError: `resume` is no folder of this experiment.
        RunInterruptedError: the run was stopped; the folder holds what was done so far.
        RunError: every trial failed; the message has the first cause, the report has all.
    """
    clock = Clock()
    with clock("check"):
        ready = check(draft, resume or out)
    experiment = ready.experiment
    folder = RunFolder.at(resume) if resume else new_folder(experiment, out)
    begun = begin(ready, folder)
    display.say(f"{experiment.name}: {len(experiment.models)} models, run folder {folder.shown}")
    journal = Journal(experiment.tune.metric, MODES[experiment.tune.metric])
    journal.keep(folder.read_trials(), folder.read_evaluations())
    try:
        with connected() as nodes:
            with clock("tokenize"):
                shared = share(ready, folder, nodes)
            for line in sharing(shared.resources):
                display.say(line)
            stages = Stages(shared, journal, display)
            with clock("tune"):
                chosen = stages.tune()
            with clock("confirm"):
                stages.confirm(chosen)
    except KeyboardInterrupt:
        raise RunInterruptedError(resume_hint(folder)) from None
    folder.write_manifest(manifest(ready, begun, nodes, shared.lengths, shared.resources, clock))
    folder.delete(WORK)
    comparison = write_report(folder)
    display.say(f"\n{comparison.verdict}\n")
    display.say(f"{duration(clock.total)} in all. {folder.child('report.md')}")
    _require_one_finished(folder, journal.trials())
    return folder


def resume_hint(folder: RunFolder) -> str:
    """Say how to go on with an interrupted run."""
    return (
        f"interrupted; finished trials are kept. Go on with: raycompare run --resume {folder.shown}"
    )


def _require_one_finished(folder: RunFolder, trials: list[TrialRecord]) -> None:
    if any(trial.status == "completed" for trial in trials):
        return
    failed = next((trial for trial in trials if trial.error), None)
    cause = f"{failed.trial_id}: {failed.reason}" if failed else "no trial was started in time"
    raise RunError(
        f"no trial of {len(trials)} was completed. First cause: {cause}. "
        f"The tracebacks are in {folder.child('trials.parquet')}, column error."
    )

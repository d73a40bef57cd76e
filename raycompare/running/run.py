"""A run from end to end: check, tune, confirm with tests, inference, report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field

from raycompare.analysis.comparison import Comparison
from raycompare.cluster.checks import usable_machines
from raycompare.cluster.connection import connect, is_remote
from raycompare.cluster.nodes import trial_machines, with_joined
from raycompare.errors import DiskFullError, ExperimentError, RunError, RunInterruptedError
from raycompare.experiment.file import Draft
from raycompare.experiment.spec import Experiment
from raycompare.formatting import duration
from raycompare.metrics import MODES
from raycompare.models.pretrained import load_config
from raycompare.records.clock import Clock
from raycompare.records.journal import Journal
from raycompare.records.layout import ONLY_WHILE_IT_RUNS, REPORT, TRIALS
from raycompare.records.rows import TrialRecord
from raycompare.records.run_folder import RunFolder
from raycompare.records.survey import Survey
from raycompare.report.sections.cost import budget_note
from raycompare.report.write import write_report
from raycompare.running.baselines import Baselines
from raycompare.running.check import CheckedExperiment, check
from raycompare.running.dashboard import Dashboard
from raycompare.running.display import Display
from raycompare.running.estimate import describe, estimate, site_of
from raycompare.running.measure import measure_finalists
from raycompare.running.screen import Screening
from raycompare.running.stages import Stages, share
from raycompare.running.start import (
    RunFacts,
    RunStart,
    alone_in,
    begin,
    earlier_clock,
    manifest,
    new_folder,
)
from raycompare.running.survey import survey
from raycompare.running.trackers.start import start_trackers
from raycompare.running.trackers.threads import Trackers
from raycompare.running.trackers.tracker import Outcome, TrackedRun
from raycompare.running.warm_start import load_earlier_trials
from raycompare.serving.winner import keep_best
from raycompare.training.failures import is_disk_full
from raycompare.tuning.earlier_trials import EvaluatedPoint
from raycompare.tuning.limits import MaxCost
from raycompare.tuning.plans import identities
from raycompare.tuning.resources import sharing
from raycompare.tuning.tuner import Shared


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where a run leaves its records, and what it starts from."""

    out: str = "reports"
    resume: str | None = None
    """The folder of an earlier run of the same experiment; its finished trials are kept."""
    warm_start: str | None = None
    """The folder of an earlier run, perhaps of another experiment; the searcher learns from it."""
    wait_nodes: int = 1
    """How many machines must have joined the cluster before the first trial, the head counted."""


def run(draft: Draft, place: RunOptions, display: Display) -> RunFolder:
    """Run the experiment and leave records and report in a folder under `place.out`.

    Raises:
        ExperimentError: the experiment has mistakes; nothing was started.
        UserError: `place.resume` is no folder of this experiment, or another process is in it.
        RunInterruptedError: the run was stopped; the folder holds what was done so far.
        RunError: every trial failed; the message has the first cause, the report has all.
    """
    clock = earlier_clock(RunFolder.at(place.resume)) if place.resume else Clock()
    with clock("check"):
        ready = check(draft, place.resume or place.out)
    experiment = ready.experiment
    folder = RunFolder.at(place.resume) if place.resume else new_folder(experiment, place.out)
    with _unless_refused(folder, is_new=place.resume is None), alone_in(folder):
        begun = begin(ready, folder)
        known = load_earlier_trials(place.warm_start, folder, ready, display.say)
        display.say(
            f"{experiment.name}: {len(experiment.models)} models, run folder {folder.shown}"
        )
        about = TrackedRun(run_id=begun.run_id, experiment=experiment, folder=folder)
        with closing(start_trackers(about, display.say)) as trackers:
            return _Pipeline(ready, folder, begun, display, clock, trackers, place.wait_nodes).go(
                known
            )


@contextmanager
def _unless_refused(folder: RunFolder, is_new: bool) -> Iterator[None]:
    """Leave no folder of a new run that the cluster can't run: its file was fine, so it began."""
    try:
        yield
    except ExperimentError:
        if is_new:
            folder.delete("")
        raise


@dataclass
class _Pipeline:
    ready: CheckedExperiment
    folder: RunFolder
    begun: RunStart
    display: Display
    clock: Clock
    trackers: Trackers
    wait_nodes: int
    facts: RunFacts = field(default_factory=RunFacts)

    def __post_init__(self) -> None:
        metric = self.ready.experiment.tune.metric
        self.journal = Journal(metric, MODES[metric])
        self.journal.keep(self.folder.read_trials(), self.folder.read_evaluations())
        self.trackers.follow(self.journal)

    def go(self, known: tuple[EvaluatedPoint, ...]) -> RunFolder:
        try:
            self._train(known)
        except KeyboardInterrupt:
            self._leave_partial_report()
            raise RunInterruptedError(resume_hint(self.folder)) from None
        except (DiskFullError, OSError) as error:
            if not is_disk_full(error) and not isinstance(error, DiskFullError):
                raise
            raise DiskFullError(_no_room(self.folder, error)) from error
        for name in ONLY_WHILE_IT_RUNS:
            self.folder.delete(name)
        self._write_manifest(complete=True)
        comparison = write_report(self.folder)
        self._keep_best(comparison)
        self._tell_trackers(comparison)
        for line in filter(None, (budget_note(comparison), comparison.verdict)):
            self.display.say(f"\n{line}\n")
        took = duration(self.clock.total)
        self.display.say(f"{took} in all. {self.folder.child(REPORT)}")
        _require_one_finished(self.folder, self.journal.trials())
        return self.folder

    def _train(self, known: tuple[EvaluatedPoint, ...]) -> None:
        experiment, clock = self.ready.experiment, self.clock
        with (
            connect(self.wait_nodes, self.display.say) as nodes,
            clock.counting(trial_machines),
        ):
            machines = usable_machines(experiment, self.folder, nodes)
            self.facts.nodes = nodes
            with clock("tokenize"):
                shared = share(self.ready, self.folder, machines)
                surveyed = survey(experiment, self.ready.data)
            self._note(shared, surveyed)
            for line in sharing(shared.resources):
                self.display.say(line)
            known_as = identities(experiment, self.ready.data)
            if experiment.screen:
                with clock("screen"):
                    shared = Screening(shared, known_as, self.display.say).select(experiment.screen)
            for line in self._estimate(shared.experiment):
                self.display.say(line)
            if is_remote():
                self.journal.observers.append(Dashboard().show)
            stages = Stages(
                shared,
                self.journal,
                self.display,
                known_as,
                clock=clock,
                known=known,
            )
            baselines = Baselines.start(self.ready, self.folder, self.display.say)
            with clock("tune"):
                chosen = stages.tune()
            with clock("confirm"):
                stages.confirm(chosen)
            self.facts.nodes = with_joined(nodes)
            baselines.collect(self.display.say)
            spent = MaxCost(experiment, clock).spent
            if spent:
                self.display.say(f"{spent}: nothing more is measured")
            elif experiment.inference.measure:
                with clock("inference"):
                    measure_finalists(shared, self.journal, self.ready.data.test, self.display.say)

    def _note(self, shared: Shared, surveyed: Survey) -> None:
        """Keep for the manifest what is known before the first trial."""
        self.facts.survey = surveyed.to_plain()
        self.facts.lengths, self.facts.cut = shared.lengths, shared.cut
        self.facts.resources = shared.resources
        self.facts.model_types = {
            model.name: load_config(model).model_type for model in self.ready.experiment.models
        }

    def _estimate(self, experiment: Experiment) -> list[str]:
        """Estimate the rest of a run on its machines; keep it for the manifest, and say it."""
        data = self.ready.data
        site = site_of(experiment, self.facts.nodes, self.facts.resources)
        found = estimate(experiment, data, site)
        self.facts.estimate = asdict(found)
        return describe(found, experiment)

    def _keep_best(self, comparison: Comparison) -> None:
        try:
            lines = keep_best(self.folder, comparison)
        except OSError as error:
            if not is_disk_full(error):
                raise
            raise DiskFullError(_no_room(self.folder, error)) from error
        for line in lines:
            self.display.say(line)

    def _tell_trackers(self, comparison: Comparison) -> None:
        before = self.trackers.failures
        self.trackers.finish(Outcome.of(comparison))
        if self.trackers.failures != before:
            self._write_manifest(complete=True)
            write_report(self.folder)

    def _leave_partial_report(self) -> None:
        """Say in a report what is known so far; a run that is resumed writes it again."""
        self.journal.write(self.folder)
        if self.journal.trials():
            self._write_manifest(complete=False)
            write_report(self.folder)

    def _write_manifest(self, complete: bool) -> None:
        self.facts.trackers = self.trackers.failures
        self.folder.write_manifest(
            manifest(self.ready, self.begun, self.facts, self.clock, complete)
        )


def resume_hint(folder: RunFolder) -> str:
    """Say how to go on with an interrupted run."""
    return (
        f"interrupted; finished trials are kept, others go on from their last checkpoint. "
        f"Go on with: raycompare run --resume {folder.shown}"
    )


def _no_room(folder: RunFolder, error: Exception) -> str:
    return (
        f"no space left for {folder.shown} ({error}). What is written there is whole. Free some "
        f"space, then go on with: raycompare run --resume {folder.shown}"
    )


def _require_one_finished(folder: RunFolder, trials: list[TrialRecord]) -> None:
    if any(trial.status == "completed" for trial in trials):
        return
    failed = next((trial for trial in trials if trial.error), None)
    cause = f"{failed.trial_id}: {failed.reason}" if failed else "no trial was started in time"
    raise RunError(
        f"no trial of {len(trials)} was completed. First cause: {cause}. "
        f"The tracebacks are in {folder.child(TRIALS)}, column error."
    )

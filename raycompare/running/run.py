"""Runs an experiment from end to end: check, screen, tune, confirm, measure, report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from threading import Lock

from raycompare.analysis.comparison import Comparison
from raycompare.cluster.checks import usable_machines
from raycompare.cluster.connection import connect, is_remote
from raycompare.cluster.nodes import trial_machines, with_joined
from raycompare.cluster.stopping import LastActs, ending_on_signals
from raycompare.errors import DiskFullError, ExperimentError, RunInterruptedError
from raycompare.experiment.file import Draft
from raycompare.experiment.spec import Experiment
from raycompare.formatting import duration, number_of
from raycompare.metrics import MODES
from raycompare.models.fingerprints import pin_commits
from raycompare.models.hub import private_models
from raycompare.models.pretrained import load_config
from raycompare.records.clock import Clock
from raycompare.records.fetch import require_original
from raycompare.records.journal import Journal
from raycompare.records.layout import REPORT
from raycompare.records.manifest import Manifest, RunStart
from raycompare.records.run_folder import RunFolder, end_hint
from raycompare.records.survey import Survey
from raycompare.records.trial_files import delete_what_only_runs_need
from raycompare.report.sections.cost import budget_note
from raycompare.report.write import write_report
from raycompare.running.baselines import Baselines
from raycompare.running.check import CheckedExperiment, check
from raycompare.running.dashboard import Dashboard
from raycompare.running.display import Display, SideChannel
from raycompare.running.estimate import describe, estimate, site_of
from raycompare.running.measure import measure_finalists
from raycompare.running.screen import Screening
from raycompare.running.stages import Stages, share
from raycompare.running.start import (
    NOT_RECORDED,
    RunFacts,
    alone_in,
    begin,
    earlier_clock,
    manifest,
    new_folder,
    no_room,
    require_one_finished,
    times_of,
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
    """The options of `raycompare run`."""

    out: str = "reports"
    resume: str | None = None
    """Folder of an interrupted run of the same experiment; its finished trials are kept."""
    warm_start: str | None = None
    """Folder of an earlier run, also of another experiment, from which the search learns."""
    wait_nodes: int = 1
    """Number of nodes, including the head, that must have joined before the first trial."""
    exit_on_signals: bool = False
    """Whether a signal to stop may end the whole process, if Ray does not answer any more."""
    on_begin: Callable[[str], object] | None = None
    """Called with the place of the run folder once it exists."""
    on_last_word: Callable[[], object] | None = None
    """Called before the process is ended, when it has said how the run can be continued."""


def run(draft: Draft, options: RunOptions, display: Display) -> RunFolder:
    """Run the experiment and write its records and report to a folder under `options.out`.

    Raises:
        ExperimentError: the experiment has mistakes; nothing was started.
        UserError: `options.resume` belongs to another experiment, or is used by another process.
        RunInterruptedError: the run was interrupted; the folder has everything up to then.
        RunError: every trial failed; the message has the first cause, the report has all.
    """
    resume = options.resume
    if resume:
        require_original(RunFolder.at(resume))
    clock = earlier_clock(RunFolder.at(resume)) if resume else Clock()
    with clock("check"):
        ready = check(draft, resume or options.out)
    experiment = ready.experiment
    folder = RunFolder.at(resume) if resume else new_folder(experiment, options.out)
    with _delete_if_refused(folder, is_new=resume is None), alone_in(folder):
        begun = begin(ready, folder)
        earlier = load_earlier_trials(options.warm_start, folder, ready, display.say)
        models = number_of(len(experiment.models), "model")
        display.say(f"{experiment.name}: {models}, run folder {folder.shown}")
        if not begun.checkpoints:
            display.say(NOT_RECORDED)
        ready = replace(ready, experiment=pin_commits(experiment, begun.checkpoints))
        if options.on_begin:
            options.on_begin(folder.uri)
        about = TrackedRun(run_id=begun.run_id, experiment=experiment, folder=folder)
        pipeline = _Pipeline(ready, folder, begun, display, clock, options)
        ending = ending_on_signals if options.exit_on_signals else nullcontext
        with ending(pipeline.last_acts), closing(start_trackers(about, display.say)) as trackers:
            return pipeline.go(earlier, trackers)


@contextmanager
def _delete_if_refused(folder: RunFolder, is_new: bool) -> Iterator[None]:
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
    options: RunOptions
    facts: RunFacts = field(default_factory=RunFacts)
    trackers: Trackers | None = None
    draft: Manifest | None = None
    """The manifest as it was before the first trial, from which one is made within milliseconds."""
    has_finished: bool = False
    """Whether the final manifest is written; nothing replaces it by that of an interrupted run."""
    _saving: Lock = field(default_factory=Lock)
    """Held while a manifest is written, since a signal has another thread write one."""

    def __post_init__(self) -> None:
        metric = self.ready.experiment.tune.metric
        self.journal = Journal(metric, MODES[metric])
        self.journal.keep(self.folder.read_trials(), self.folder.read_evaluations())
        self.last_acts = LastActs(
            save=self._save_without_ray,
            report=self._leave_partial_report,
            tell=self._tell_how_to_continue,
        )

    def go(self, earlier: tuple[EvaluatedPoint, ...], trackers: Trackers) -> RunFolder:
        self.trackers = trackers
        trackers.follow(self.journal)
        try:
            self._train(earlier)
            comparison = self._finish()
        except KeyboardInterrupt:
            if not self.has_finished:
                self.last_acts.report_once()
            hint = end_hint(self.folder, has_finished=self.has_finished)
            raise RunInterruptedError(hint) from None
        except (DiskFullError, OSError) as error:
            if not is_disk_full(error) and not isinstance(error, DiskFullError):
                raise
            raise DiskFullError(no_room(self.folder, error)) from error
        for line in filter(None, (budget_note(comparison), comparison.verdict)):
            self.display.say(f"\n{line}\n")
        took = duration(self.clock.total)
        self.display.say(f"Finished in {took}. Report: {self.folder.child(REPORT)}")
        require_one_finished(self.folder, self.journal.trials())
        return self.folder

    def _finish(self) -> Comparison:
        """Write the manifest that ends the run, then what is made from the records."""
        delete_what_only_runs_need(self.folder, self.journal.trials())
        with self._saving:
            self._write_manifest(complete=True)
            self.has_finished = True
        comparison = write_report(self.folder)
        for line in keep_best(self.folder, comparison):
            self.display.say(line)
        self._tell_trackers(comparison)
        return comparison

    def _train(self, earlier: tuple[EvaluatedPoint, ...]) -> None:
        experiment, clock = self.ready.experiment, self.clock
        with (
            connect(self.options.wait_nodes, self.display.say) as nodes,
            clock.counting(trial_machines),
        ):
            private = private_models(experiment) if is_remote() else ()
            machines = usable_machines(experiment, self.folder, nodes, private)
            self.facts.nodes = nodes
            with clock("tokenize"):
                shared = share(self.ready, self.folder, machines)
                surveyed = survey(experiment, self.ready.data)
            self._record_facts(shared, surveyed)
            for line in sharing(shared.resources):
                self.display.say(line)
            known_as = identities(experiment, self.ready.data, self.begun.checkpoints)
            if experiment.screen:
                with clock("screen"):
                    shared = Screening(shared, known_as, self.display.say).select(experiment.screen)
            for line in self._estimate(shared.experiment):
                self.display.say(line)
            self.draft = self._make_manifest(complete=False)
            if is_remote():
                channel = SideChannel("the trials in Ray's dashboard", self.display.say)
                channel.call(lambda: self.journal.observers.append(Dashboard(channel).show))
            stages = Stages(shared, self.journal, self.display, known_as, clock, earlier)
            baselines = Baselines.start(self.ready, self.folder, self.display.say)
            with clock("tune"):
                chosen = stages.tune()
            with clock("confirm"):
                stages.confirm(chosen)
            self.facts.nodes = with_joined(nodes)
            baselines.collect(self.display.say)
            spent = MaxCost(experiment, clock).spent
            if spent:
                self.display.say(f"{spent}; inference is not measured")
            elif experiment.inference.measure:
                with clock("inference"):
                    measure_finalists(shared, self.journal, self.ready.data.test, self.display.say)

    def _record_facts(self, shared: Shared, surveyed: Survey) -> None:
        self.facts.survey = surveyed.to_plain()
        self.facts.lengths, self.facts.cut = shared.lengths, shared.cut
        self.facts.resources = shared.resources
        self.facts.model_types = {
            model.name: load_config(model).model_type for model in self.ready.experiment.models
        }

    def _estimate(self, experiment: Experiment) -> list[str]:
        data = self.ready.data
        site = site_of(experiment, self.facts.nodes, self.facts.resources)
        expected = estimate(experiment, data, site)
        self.facts.estimate = asdict(expected)
        return describe(expected, experiment)

    def _tell_trackers(self, comparison: Comparison) -> None:
        assert self.trackers is not None
        before = self.trackers.failures
        self.trackers.finish(Outcome.of(comparison))
        if self.trackers.failures != before:
            self._write_manifest(complete=True)
            write_report(self.folder)

    def _leave_partial_report(self) -> None:
        """Write a report of the results so far; a resumed run overwrites it."""
        if self.has_finished or self._save():
            write_report(self.folder)

    def _save_without_ray(self) -> None:
        """Write the records so far; if Ray is gone, it ends this process within a second."""
        self.clock.stop_counting()
        with self._saving:
            if self.has_finished:
                return
            if self.draft is not None:
                self.folder.write_manifest(replace(self.draft, **times_of(self.clock)))
            self.journal.write(self.folder)

    def _save(self) -> bool:
        """Write the records so far, and return whether there is anything to report."""
        with self._saving:
            self.journal.write(self.folder)
            if not self.journal.trials():
                return False
            self._write_manifest(complete=False)
            return True

    def _tell_how_to_continue(self) -> None:
        self.display.say(end_hint(self.folder, has_finished=self.has_finished))
        if self.options.on_last_word:
            self.options.on_last_word()

    def _write_manifest(self, complete: bool) -> None:
        self.folder.write_manifest(self._make_manifest(complete))

    def _make_manifest(self, complete: bool) -> Manifest:
        self.facts.trackers = self.trackers.failures if self.trackers else {}
        return manifest(self.ready, self.begun, self.facts, self.clock, complete)

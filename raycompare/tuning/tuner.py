"""Runs a stage of an experiment as one `tune.Tuner`, and records its messages in the journal."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
from ray import tune

from raycompare.cluster.machines import Node
from raycompare.data.tokens import HeldOut, Ints, SearchData, TokenizedData
from raycompare.errors import RaycompareError
from raycompare.experiment.hyperparameters import (
    Length,
    ModelSettings,
    all_settings,
    settings_of,
)
from raycompare.experiment.settings import SCHEDULERS
from raycompare.experiment.spec import Experiment, ResourceSpec
from raycompare.metrics import MODES
from raycompare.records.journal import Journal
from raycompare.records.layout import RAY
from raycompare.records.messages import Message, Stage, TrialPlan
from raycompare.records.run_folder import RunFolder
from raycompare.records.trial_files import TrialFiles
from raycompare.training.arguments import run_length
from raycompare.training.failures import chain
from raycompare.training.task import TrialTask
from raycompare.training.trial import train_trial
from raycompare.tuning.callback import HALVINGS, JournalCallback, NoProgress, trial_name
from raycompare.tuning.plan_order import PlanOrder
from raycompare.tuning.schedulers.registry import rung_steps, rungs_of
from raycompare.tuning.searcher import PLAN, PlanSearcher, pack
from raycompare.tuning.waiting import WaitingNotice

Trainable = Callable[[dict[str, Any]], None]
"""Function that Tune calls in a worker with the config of a trial."""

TUNE_ENVIRONMENT = {
    # The journal is the log; Tune's loggers would cost milliseconds per report.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Tune's newer output prints boxes even at verbosity 0.
    "RAY_AIR_NEW_OUTPUT": "0",
    # raycompare shows and records failures; Tune would log each traceback in addition.
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}


@dataclass(frozen=True)
class Shared:
    """Input common to all trials of a run; put into the object store once."""

    experiment: Experiment
    folder: RunFolder
    label_names: tuple[str, ...]
    data: Mapping[tuple[str, Length], ray.ObjectRef[SearchData]]
    """Tokenised splits without test, keyed by model name and the length that texts are cut to."""
    lengths: Mapping[str, int]
    """Tokens that texts are cut to unless a trial searches the length, keyed by model name."""
    rungs: Mapping[str, tuple[int, ...]]
    """Positions of the rungs of the tune stage in `tune.time_attr`, keyed by model name."""
    text_lengths: Mapping[tuple[str, Length], Ints]
    """Tokens of each training text, with the keys of `data`."""
    resources: Mapping[str, ResourceSpec]
    """Resources of one trial, keyed by model name."""
    machines: Sequence[Node] = ()
    """Machines of the cluster, and those that its autoscaler can start."""
    cut: Mapping[str, float] = field(default_factory=dict)
    """Share of training texts that reach the maximum length, keyed by model name."""
    test: Mapping[tuple[str, Length], ray.ObjectRef[HeldOut]] = field(default_factory=dict)
    """The test splits, which workers of the tune stage do not get."""

    def for_stage(self, stage: Stage) -> Shared:
        """Return what workers of the stage get; the test split is for finalists only."""
        return self if stage == "confirm" else replace(self, test={})

    def for_models_of(self, experiment: Experiment) -> Shared:
        """Return the same for an experiment with fewer models; all else follows from those."""
        names = {model.name for model in experiment.models}
        lengths = {
            s.name: self.text_lengths[s.name, s.max_length({})] for s in all_settings(experiment)
        }
        return replace(
            self,
            experiment=experiment,
            rungs=rungs_of(experiment, lengths),
            resources={name: spec for name, spec in self.resources.items() if name in names},
        )

    def settings_of(self, plan: TrialPlan) -> ModelSettings:
        """Return the settings of the plan's model."""
        return settings_of(self.experiment, plan.model)

    def evaluations_of(self, plan: TrialPlan) -> tuple[int, ...]:
        """Return the steps to evaluate at; empty if the experiment sets its own evaluations."""
        if self.settings_of(plan).sets_evaluation or plan.stage != "tune":
            return ()
        return self.rung_steps_of(plan)

    def rung_steps_of(self, plan: TrialPlan) -> tuple[int, ...]:
        """Return the steps at which the trial reaches the rungs of its model."""
        settings = self.settings_of(plan)
        lengths = self.text_lengths[plan.model, settings.max_length(plan.hyperparameters)]
        length = run_length(settings.arguments(plan.hyperparameters), lengths)
        return rung_steps(self.experiment.tune, self.rungs[plan.model], length)


@dataclass(frozen=True)
class TuneReporter:
    """Sends a trial's messages through Tune and its predictions to the run folder."""

    folder: RunFolder
    plan: TrialPlan

    @property
    def _files(self) -> TrialFiles:
        return TrialFiles(self.folder, self.plan.trial_id)

    def report(self, message: Message) -> None:
        """Send the message to Tune; does not return if the scheduler stops the trial."""
        tune.report(pack(message))

    def save_predictions(self, table: pa.Table) -> None:
        """Store the predictions of a finalist."""
        self.folder.write_predictions(self.plan.trial_id, table)

    def save_weights(self, folder: Path) -> None:
        """Store the model of a finalist."""
        self._files.save_weights(folder)

    def save_checkpoint(self, folder: Path) -> None:
        """Store a checkpoint, replacing the previous one."""
        self._files.save_checkpoint(folder)

    def checkpoint(self, scratch: Path) -> Path | None:
        """Return the latest checkpoint of this trial from any worker, if there is one."""
        return self._files.checkpoint(scratch / "checkpoint")


def run_trial(config: dict[str, Any], shared: Shared) -> None:
    """Run one plan in a Ray worker, which Tune reuses for the next trial."""
    plan = TrialPlan(**config[PLAN])
    task = task_of(shared, plan, shared.resources[plan.model])
    task = replace(task, halvings=config.get(HALVINGS, 0))
    train_trial(task, TuneReporter(shared.folder, plan))


def task_of(shared: Shared, plan: TrialPlan, resources: ResourceSpec) -> TrialTask:
    """Build the task of a plan."""
    experiment = shared.experiment
    settings, evaluate_at = shared.settings_of(plan), shared.evaluations_of(plan)
    arguments = settings.arguments(plan.hyperparameters)
    return TrialTask(
        plan=plan,
        model=settings.model,
        arguments={**arguments, "eval_strategy": "no"} if evaluate_at else arguments,
        data=_data_of(shared, plan),
        label_names=shared.label_names,
        metric=experiment.tune.metric,
        mode=MODES[experiment.tune.metric],
        num_threads=max(int(resources.cpu), 1),
        gpu_share=resources.gpus,
        evaluate_at=evaluate_at,
        may_pause=plan.stage == "tune" and SCHEDULERS[experiment.tune.scheduler].pauses,
        checkpoint_every_s=experiment.failure.checkpoint_every_s,
        pairs=len(experiment.data.text) > 1,
    )


def _data_of(shared: Shared, plan: TrialPlan) -> SearchData:
    key = plan.model, shared.settings_of(plan).max_length(plan.hyperparameters)
    data: SearchData = ray.get(shared.data[key])
    if plan.stage != "confirm":
        return data
    return TokenizedData.of(data, ray.get(shared.test[key]))


@dataclass(frozen=True, kw_only=True)
class Queue:
    """The trials of a stage to run."""

    stage: Stage
    plans: Iterator[TrialPlan]
    most: int
    """Maximum number of plans."""
    one_by_one: bool = False
    """Whether plans learn from earlier trials, so that each is made only when it can start."""
    has_plan: Callable[[int], bool] | None = None
    """Whether the next plan can be made while this number of trials are live; default: always."""


def run_stage(
    shared: Shared,
    queue: Queue,
    journal: Journal,
    scheduler: PlanOrder,
    trainable: Trainable | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Run the plans, and record their messages and ends in the journal.

    `trainable` takes the config of a plan and reports its messages; by default it fine-tunes.
    `say` prints a line when no trial can run.
    Returns when all trials have ended, the budget is spent, or the user has interrupted the run.

    Raises:
        DiskFullError: the disk was full when a trial wrote its files.
    """
    settings = shared.experiment.tune
    os.environ.update(TUNE_ENVIRONMENT, TUNE_MAX_PENDING_TRIALS_PG=str(_most_pending()))
    logging.getLogger("ray.tune.tune").setLevel(logging.CRITICAL)  # it repeats the failures
    most = settings.max_concurrent_trials or (at_once(shared) if queue.one_by_one else 0)
    # Tune's own limit counts paused trials, which could all wait for one that never starts.
    has_room = partial(_has_room, scheduler, most) if most else None
    has_plan = queue.has_plan or has_room
    scheduler.most_at_once = settings.max_concurrent_trials
    callback = JournalCallback(journal, shared.folder, scheduler)
    tuner = tune.Tuner(
        trainable or _fine_tuning(shared.for_stage(queue.stage)),
        tune_config=tune.TuneConfig(
            search_alg=PlanSearcher(queue.plans, has_plan),
            # One more than there are: Tune asks until the queue has ended, and rules know it.
            num_samples=queue.most + 1,
            scheduler=scheduler,
            reuse_actors=True,
            trial_name_creator=trial_name,
            trial_dirname_creator=trial_name,
        ),
        run_config=tune.RunConfig(
            name=queue.stage,
            storage_path=shared.folder.child(RAY),
            verbose=0,
            callbacks=[callback, NoProgress(), WaitingNotice(say, shared.resources)],
            failure_config=tune.FailureConfig(max_failures=shared.experiment.failure.max_failures),
        ),
    )
    try:
        tuner.fit()
    except tune.TuneError as error:
        raise _unwrap(error) from None
    callback.flush()


def _unwrap(error: Exception) -> BaseException:
    """Return the error of our scheduler or callback; Tune wraps it in one with its traceback."""
    return next((e for e in chain(error) if isinstance(e, RaycompareError | OSError)), error)


def _has_room(scheduler: PlanOrder, most: int, live: int) -> bool:
    """Return whether a trial that is planned now can start at once."""
    return live - scheduler.waiting < most


def at_once(shared: Shared) -> int:
    """Return how many trials of the largest model the machines hold together, at least 1."""
    cpu = max(spec.cpu for spec in shared.resources.values())
    gpu = max(spec.gpus for spec in shared.resources.values())
    return max(sum(machine.holds(cpu, gpu) for machine in shared.machines), 1)


def _fine_tuning(shared: Shared) -> Trainable:
    trainable: Trainable = tune.with_resources(
        tune.with_parameters(run_trial, shared=shared),
        lambda config: _placement(shared.resources[config[PLAN]["model"]]),
    )
    return trainable


def _most_pending() -> int:
    """Return how many trials may wait for a worker, as Tune sets it for a grid.

    For a searcher, Tune would set 1. But it ends idle workers that no waiting trial can take over,
    and an autoscaler adds machines according to the trials that wait.
    """
    return max(200, int(1.1 * ray.cluster_resources().get("CPU", 1.0)))


def _placement(resources: ResourceSpec) -> tune.PlacementGroupFactory:
    return tune.PlacementGroupFactory([{"CPU": resources.cpu, "GPU": resources.gpus}])

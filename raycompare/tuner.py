"""One stage of an experiment as one `tune.Tuner`: plans in, messages out to the journal."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import pyarrow as pa
import ray
from ray import cloudpickle, tune
from ray.exceptions import RayTaskError
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from rich.text import Text

from raycompare.arguments import EVALUATION, arguments_of
from raycompare.journal import Journal
from raycompare.messages import PLAN, pack, plan_of, unpack
from raycompare.metrics import MODES
from raycompare.record import Message, TrialPlan
from raycompare.results import RunFolder
from raycompare.schedulers import PerModelHalving
from raycompare.search import Planned
from raycompare.spec import Experiment, ModelSpec, ResourceSpec
from raycompare.task import TrialTask
from raycompare.tokens import TokenizedData
from raycompare.trial import train_trial

FLUSH_SECONDS, FLUSH_SHARE = 10.0, 0.01
"""Least time between two flushes of the records, and the most of the driver's time for them."""
WORK = "ray"
"""Tune's own files, in the run folder; removed when the run has ended well."""

Trainable = Callable[[dict[str, Any]], None]
"""What Tune calls in a worker, with the config of a trial."""

TUNE_ENVIRONMENT = {
    # The journal is the log; Tune's own loggers cost milliseconds a report.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Tune's newer output prints boxes of its own even when told to be silent.
    "RAY_AIR_NEW_OUTPUT": "0",
    # Failures are shown and recorded with their causes; Tune would log each traceback too.
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}


@dataclass(frozen=True)
class Shared:
    """What all trials of a run read; goes to the object store once."""

    experiment: Experiment
    folder: RunFolder
    label_names: tuple[str, ...]
    data: Mapping[str, ray.ObjectRef[TokenizedData]]
    """The tokenised splits, by the name of the model."""
    lengths: Mapping[str, int]
    """Tokens that texts are cut to, by the name of the model."""
    rungs: Mapping[str, tuple[int, ...]]
    """The optimizer steps at which trials of the tune stage are compared, by the model's name."""
    resources: Mapping[str, ResourceSpec]
    """What a trial takes of the cluster, by the model's name."""

    def evaluations_of(self, plan: TrialPlan, model: ModelSpec) -> tuple[int, ...]:
        """Return the steps to evaluate at; none where the experiment says when to evaluate."""
        asked = EVALUATION.intersection(
            self.experiment.training_of(model), self.experiment.search_space_of(model)
        )
        return () if asked or plan.stage != "tune" else self.rungs[model.name]


@dataclass(frozen=True)
class TuneSink:
    """Sends a trial's messages through Tune and its predictions to the run folder."""

    folder: RunFolder
    plan: TrialPlan

    def report(self, message: Message) -> None:
        """Hand the message to Tune; does not return if the scheduler stops the trial."""
        tune.report(pack(message))

    def save_predictions(self, table: pa.Table) -> None:
        """Write the predictions of a finalist."""
        self.folder.write_table(f"predictions/{self.plan.trial_id}.parquet", table)


def run_trial(config: dict[str, Any], shared: Shared) -> None:
    """Run one plan in a worker of Ray; Tune keeps the worker for the next trial."""
    plan = TrialPlan(**config[PLAN])
    task = task_of(shared, plan, shared.resources[plan.model])
    train_trial(task, TuneSink(shared.folder, plan))


def task_of(shared: Shared, plan: TrialPlan, resources: ResourceSpec) -> TrialTask:
    """Gather all that a trial needs to know."""
    experiment = shared.experiment
    model = experiment.model_named(plan.model)
    evaluate_at = shared.evaluations_of(plan, model)
    arguments = arguments_of(experiment, model, dict(plan.hyperparameters))
    return TrialTask(
        plan=plan,
        model=model,
        arguments={**arguments, "eval_strategy": "no"} if evaluate_at else arguments,
        data=ray.get(shared.data[plan.model]),
        label_names=shared.label_names,
        metric=experiment.tune.metric,
        mode=MODES[experiment.tune.metric],
        num_threads=max(int(resources.cpu), 1),
        gpu_share=resources.gpus,
        evaluate_at=evaluate_at,
    )


def run_stage(
    shared: Shared,
    plans: Sequence[TrialPlan],
    journal: Journal,
    scheduler: TrialScheduler,
    listen: Callable[[], None],
    trainable: Trainable | None = None,
) -> None:
    """Run the plans; `listen` is called whenever the journal has something new.

    `trainable` takes the config of a plan and reports its messages; by default it fine-tunes.
    Returns when all have ended, the time budget is spent, or the user interrupted; the journal
    knows which.
    """
    settings = shared.experiment.tune
    os.environ.update(TUNE_ENVIRONMENT, TUNE_MAX_PENDING_TRIALS_PG=str(_most_pending()))
    logging.getLogger("ray.tune.tune").setLevel(logging.CRITICAL)  # sums up failures once more
    tune.Tuner(
        trainable or _fine_tuning(shared),
        tune_config=tune.TuneConfig(
            search_alg=Planned(plans),
            num_samples=len(plans),
            scheduler=scheduler,
            reuse_actors=True,
            max_concurrent_trials=settings.max_concurrent_trials,
            time_budget_s=settings.time_budget_s if plans[0].stage == "tune" else None,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=tune.RunConfig(
            name=plans[0].stage,
            storage_path=shared.folder.child(WORK),
            verbose=0,
            callbacks=[JournalCallback(journal, shared.folder, scheduler, listen)],
        ),
    ).fit()
    write_records(journal, shared.folder)


def _fine_tuning(shared: Shared) -> Trainable:
    trainable: Trainable = tune.with_resources(
        tune.with_parameters(run_trial, shared=shared),
        lambda config: _placement(shared.resources[config[PLAN]["model"]]),
    )
    return trainable


def _most_pending() -> int:
    """Return how many trials may wait for a worker at once; this is what Tune takes for a grid.

    For a searcher it would be one. Tune ends the idle workers that no waiting trial can take over,
    and a cluster that grows by itself grows by what waits.
    """
    return max(200, int(1.1 * ray.cluster_resources().get("CPU", 1.0)))


def _placement(resources: ResourceSpec) -> tune.PlacementGroupFactory:
    return tune.PlacementGroupFactory([{"CPU": resources.cpu, "GPU": resources.gpus}])


def _name(trial: Trial) -> str:
    return plan_of(trial).trial_id


def write_records(journal: Journal, folder: RunFolder) -> None:
    """Bring the run folder's records up to date."""
    folder.write_evaluations(journal.evaluations())
    folder.write_trials(journal.trials())


class JournalCallback(tune.Callback):
    """Writes down what Tune sees, and brings the run folder up to date every few seconds."""

    def __init__(
        self,
        journal: Journal,
        folder: RunFolder,
        scheduler: TrialScheduler,
        listen: Callable[[], None],
    ) -> None:
        """Ask `scheduler` why a trial was stopped."""
        self._journal, self._folder, self._listen = journal, folder, listen
        self._stops = scheduler.stops if isinstance(scheduler, PerModelHalving) else {}
        self._flush_at = perf_counter() + FLUSH_SECONDS

    def __reduce__(self) -> tuple[type[tune.Callback], tuple[()]]:
        """Tune pickles callbacks for `Tuner.restore`, which is not used (docs/decisions/0002)."""
        return tune.Callback, ()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Note the start."""
        self._journal.started(_name(trial))
        self._listen()

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **_: Any
    ) -> None:
        """Note the message."""
        self._journal.heard(_name(trial), unpack(result))
        self._listen()

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **_: Any
    ) -> None:
        """Note the end."""
        self._journal.ended(_name(trial), self._stops.get(_name(trial)))
        self._listen()

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Note the failure with its cause."""
        error = _error_of(trial)
        self._journal.failed(_name(trial), _cause(error), Text.from_ansi(str(error)).plain)
        self._listen()

    def on_step_end(self, iteration: int, trials: list[Trial], **_: Any) -> None:
        """Bring the run folder up to date, now and then."""
        began = perf_counter()
        if began > self._flush_at:
            write_records(self._journal, self._folder)
            ended = perf_counter()
            # Every flush writes all records: the more there are, the more seldom.
            self._flush_at = ended + max(FLUSH_SECONDS, (ended - began) / FLUSH_SHARE)


def _error_of(trial: Trial) -> Exception:
    """Tune tells callbacks that a trial failed, not why; it has just written that to a file."""
    path = trial.pickled_error_file
    assert path is not None
    error: Exception = cloudpickle.loads(Path(path).read_bytes())
    return error


def _cause(error: Exception) -> str:
    cause = error.cause if isinstance(error, RayTaskError) else error
    lines = str(cause).strip().splitlines()
    return f"{type(cause).__name__}: {lines[0] if lines else '(no message)'}"

"""The two stages of a run that train: tune searches, confirm repeats the best and tests it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json import loads
from time import perf_counter

import ray
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from raycompare.arguments import arguments_of, planned_steps
from raycompare.backends import Node
from raycompare.check import Ready
from raycompare.data import tokenize
from raycompare.display import Display, RungSteps
from raycompare.errors import UserError
from raycompare.journal import Journal
from raycompare.metrics import MODES, better
from raycompare.models import load_tokenizer, pinned
from raycompare.record import Stage, TrialPlan, TrialRecord
from raycompare.results import RunFolder
from raycompare.rungs import Rungs, milestones
from raycompare.schedulers import PerModelHalving
from raycompare.search import confirm_plans, tune_plans
from raycompare.spec import Arguments, Experiment
from raycompare.tuner import WORK, Shared, run_stage

__all__ = ["WORK", "Stages", "choose", "share"]


def share(ready: Ready, folder: RunFolder, nodes: Sequence[Node]) -> Shared:
    """Tokenise the data once per checkpoint and put it where every trial can read it.

    Raises:
        UserError: no machine of the cluster can hold a trial.
    """
    experiment = ready.experiment
    tokens = {
        model.source: tokenize(ready.data, load_tokenizer(model), experiment.data.max_length)
        for model in {model.source: model for model in experiment.models}.values()
    }
    stored = {source: ray.put(data) for source, data in tokens.items()}
    shared = Shared(
        experiment=experiment.model_copy(
            update={"models": tuple(pinned(model) for model in experiment.models)}
        ),
        folder=folder,
        label_names=ready.data.label_names,
        data={model.name: stored[model.source] for model in experiment.models},
        lengths={model.name: tokens[model.source].max_length for model in experiment.models},
        default_gpu=1.0 if any(node.gpus for node in nodes) else 0.0,
    )
    _require_room(shared, nodes)
    return shared


def _require_room(shared: Shared, nodes: Sequence[Node]) -> None:
    for model in shared.experiment.models:
        asked = shared.resources_of(model.name)
        if not any(node.fits(asked) for node in nodes):
            have = "; ".join(f"{n.hostname}: cpu {n.cpus:g}, gpu {n.gpus:g}" for n in nodes)
            raise UserError(
                f"a trial of {model.name} takes cpu {asked.cpu:g}, gpu {asked.gpu or 0:g}, "
                f"and no machine has that ({have}). Ask for less under `resources`."
            )


@dataclass(frozen=True)
class Stages:
    """Runs the stages of one experiment and keeps the journal."""

    shared: Shared
    journal: Journal
    display: Display
    train_rows: int

    @property
    def experiment(self) -> Experiment:
        """What is run."""
        return self.shared.experiment

    def tune(self) -> dict[str, Arguments]:
        """Search; return the configuration chosen for each model that has one."""
        plans = _with_a_choice(tune_plans(self.experiment))
        settings = self.experiment.tune
        if plans:
            began = perf_counter()
            halving = self._halving(plans) if settings.scheduler == "asha" else None
            self._run("tune", plans, halving or FIFOScheduler(), halving.steps if halving else {})
            budget = settings.time_budget_s or math.inf
            self._require_ended(plans, out_of_time=perf_counter() - began >= budget)
        return choose(self.experiment, self.journal.trials(), {plan.model for plan in plans})

    def confirm(self, chosen: Mapping[str, Arguments]) -> None:
        """Train the chosen configuration of each model to full budget on every seed; test it."""
        plans = confirm_plans(self.experiment, chosen)
        if plans:
            self._run("confirm", plans, FIFOScheduler(), {})
            self._require_ended(plans)

    def _run(
        self,
        stage: Stage,
        plans: Sequence[TrialPlan],
        scheduler: TrialScheduler,
        rungs: RungSteps,
    ) -> None:
        todo = self.journal.add(plans)
        if not todo:
            self.display.say(f"{stage}: all {len(plans)} trials were finished before")
            return
        with self.display.stage(stage, self.journal, rungs) as listen:
            run_stage(self.shared, todo, self.journal, scheduler, listen)

    def _halving(self, plans: Sequence[TrialPlan]) -> PerModelHalving:
        metric = self.experiment.tune.metric
        halving = PerModelHalving(plans, metric, self._rungs_of)
        for plan in plans:
            rows = self.journal.kept_evaluations(plan.trial_id)
            if rows:
                halving.replay(plan, [(row.step, getattr(row, metric)) for row in rows])
        return halving

    def _rungs_of(self, model: str) -> Rungs:
        settings = self.experiment.tune
        default = arguments_of(self.experiment, self.experiment.model_named(model), {})
        most = planned_steps(default, self.train_rows)
        grace = settings.grace_period or math.ceil(most / 4)
        factor = settings.reduction_factor
        return Rungs(milestones(grace, factor, most), factor, MODES[settings.metric])

    def _require_ended(self, plans: Sequence[TrialPlan], out_of_time: bool = False) -> None:
        """Tune returns normally after Ctrl-C; what has not ended then is to be resumed."""
        entries = [self.journal.entries.get(plan.trial_id) for plan in plans]
        cut = [entry for entry in entries if entry and entry.status in ("interrupted", "not_run")]
        if cut and not out_of_time:
            raise KeyboardInterrupt


def _with_a_choice(plans: Sequence[TrialPlan]) -> list[TrialPlan]:
    """Leave out models with one configuration: there is nothing to choose."""
    models = [plan.model for plan in plans]
    return [plan for plan in plans if models.count(plan.model) > 1]


def choose(
    experiment: Experiment, trials: Sequence[TrialRecord], tuned: set[str]
) -> dict[str, Arguments]:
    """Choose each model's configuration: the best on validation among its completed trials.

    A stopped trial is chosen only where no trial was completed; a model without any evaluation
    is left out. A model that was not tuned keeps its default.
    """
    chosen: dict[str, Arguments] = {}
    for model in experiment.models:
        if model.name not in tuned:
            chosen[model.name] = {}
            continue
        best = _best(experiment, [t for t in trials if t.model == model.name])
        if best:
            chosen[model.name] = loads(best.hyperparameters)
    return chosen


def _best(experiment: Experiment, trials: Sequence[TrialRecord]) -> TrialRecord | None:
    tried = [t for t in trials if t.stage == "tune" and t.best_value is not None]
    candidates = [t for t in tried if t.status == "completed"] or tried
    found: TrialRecord | None = None
    for trial in candidates:
        assert trial.best_value is not None
        than = found.best_value if found else None
        if better(trial.best_value, than, MODES[experiment.tune.metric]):
            found = trial
    return found

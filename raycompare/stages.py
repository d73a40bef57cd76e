"""The two stages of a run that train: tune searches, confirm repeats the best and tests it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter

import ray
from ray.exceptions import RayTaskError
from ray.tune.schedulers import TrialScheduler
from transformers import PreTrainedTokenizerBase

from raycompare.arguments import TEXTS, TOKENS, arguments_of, planned_steps
from raycompare.backends import Node
from raycompare.check import Ready
from raycompare.display import Display, RungSteps
from raycompare.errors import UserError
from raycompare.journal import Journal
from raycompare.metrics import MODES
from raycompare.models import load_tokenizer, pinned
from raycompare.packing import resolve
from raycompare.probe import Peak, measure
from raycompare.record import Stage, TrialPlan
from raycompare.results import RunFolder
from raycompare.rungs import DEFAULT_GRACE, Rungs, milestones
from raycompare.schedulers import PerModelHalving, PlanOrder
from raycompare.search import choose, confirm_plans, make_plan, tune_plans
from raycompare.spec import Arguments, Experiment, ModelSpec, Source
from raycompare.token_store import TokenStore
from raycompare.tokenizing import token_key, tokenize, tokenized
from raycompare.tokens import TokenizedData
from raycompare.tuner import WORK, Shared, run_stage, task_of

__all__ = ["WORK", "Stages", "share"]


def share(ready: Ready, folder: RunFolder, nodes: Sequence[Node]) -> Shared:
    """Tokenise the data once per tokenizer and put it where every trial can read it.

    Raises:
        UserError: no machine of the cluster can hold a trial.
    """
    experiment = ready.experiment
    tokens = _tokens(ready, TokenStore(folder.parent.folder("tokens")))
    # Models of one vocabulary share one object.
    stored = {id(data): ray.put(data) for data in tokens.values()}
    data = {model.name: tokens[model.source] for model in experiment.models}
    pin = {"models": tuple(pinned(model) for model in experiment.models)}
    unmeasured = Shared(
        experiment=experiment.model_copy(update=pin),
        folder=folder,
        label_names=ready.data.label_names,
        data={name: stored[id(tokens)] for name, tokens in data.items()},
        lengths={name: tokens.max_length for name, tokens in data.items()},
        rungs={m.name: _rung_steps(experiment, m, data[m.name]) for m in experiment.models},
        resources={},
    )
    resources = resolve(unmeasured.experiment, nodes, partial(_measured, unmeasured))
    return replace(unmeasured, resources=resources)


def _measured(shared: Shared, model: ModelSpec) -> Peak:
    """Measure a trial of the model at its largest batch, on a card of its own."""
    asked = model.resources or shared.experiment.resources
    plan = make_plan("tune", 0, model.name, _largest(shared.experiment, model), seed=0)
    # A process that keeps its part of the card would be in the way of the trials.
    remote = ray.remote(num_cpus=asked.cpu, num_gpus=1, max_calls=1)(measure)
    task = task_of(shared, plan, asked.model_copy(update={"gpu": 1.0}))
    try:
        peak: Peak = ray.get(remote.remote(task))
    except RayTaskError as error:
        raise UserError(
            f"a trial of {model.name} at its largest batch can't take a step on a card: "
            f"{error.cause}. Allow smaller batches, or more gradient_accumulation_steps."
        ) from error
    return peak


def _largest(experiment: Experiment, model: ModelSpec) -> Arguments:
    """Return the largest batch that the model's search space has."""
    space = experiment.search_space_of(model)
    return {key: max(space[key].examples) for key in (TEXTS, TOKENS) if key in space}  # type: ignore[type-var]


def _tokens(ready: Ready, store: TokenStore) -> dict[Source, TokenizedData]:
    """Return the tokens of each checkpoint; those of one vocabulary are one object."""
    spec = ready.experiment.data
    checkpoints = {model.source: model for model in ready.experiment.models}
    tokenizers = {source: load_tokenizer(model) for source, model in checkpoints.items()}
    keys = {source: token_key(ready.data, used, spec) for source, used in tokenizers.items()}

    def made(key: str, tokenizer: PreTrainedTokenizerBase) -> TokenizedData:
        tokens = store.get(key, lambda: tokenize(ready.data, tokenizer, spec))
        return tokenized(tokens, ready.data, tokenizer, spec)

    alike = {key: tokenizers[source] for source, key in keys.items()}
    data = {key: made(key, tokenizer) for key, tokenizer in alike.items()}
    return {source: data[key] for source, key in keys.items()}


def _rung_steps(experiment: Experiment, model: ModelSpec, data: TokenizedData) -> tuple[int, ...]:
    settings = experiment.tune
    if settings.scheduler != "asha":
        return ()
    most = planned_steps(arguments_of(experiment, model, {}), data.train.lengths)
    grace = settings.grace_period or math.ceil(most * DEFAULT_GRACE)
    return milestones(grace, settings.reduction_factor, most)


@dataclass(frozen=True)
class Stages:
    """Runs the stages of one experiment and keeps the journal."""

    shared: Shared
    journal: Journal
    display: Display

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
            self._run("tune", plans, halving or PlanOrder(), halving.steps if halving else {})
            budget = settings.time_budget_s or math.inf
            self._require_ended(plans, out_of_time=perf_counter() - began >= budget)
        return choose(self.experiment, self.journal.trials(), {plan.model for plan in plans})

    def confirm(self, chosen: Mapping[str, Arguments]) -> None:
        """Train the chosen configuration of each model to full budget on every seed; test it."""
        plans = confirm_plans(self.experiment, chosen)
        if plans:
            self._run("confirm", plans, PlanOrder(), {})
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
        return Rungs(self.shared.rungs[model], settings.reduction_factor, MODES[settings.metric])

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

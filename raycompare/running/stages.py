"""The stages that train: tune searches; confirm repeats the best configurations and tests them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import ray
from transformers import PreTrainedTokenizerBase

from raycompare.cluster.machines import Node
from raycompare.cluster.nodes import ACCELERATOR, accelerators
from raycompare.cluster.tasks import Pending, run_alone
from raycompare.data.token_store import TokenStore
from raycompare.data.tokenize import add_padding, token_key, tokenize
from raycompare.data.tokens import TokenizedData
from raycompare.errors import UserError
from raycompare.experiment.hyperparameters import Length, ModelSettings, all_settings
from raycompare.experiment.spec import Arguments, Experiment
from raycompare.models.places import pin_path
from raycompare.models.pretrained import load_tokenizer
from raycompare.records.clock import Clock
from raycompare.records.journal import Journal
from raycompare.records.messages import RungSteps, Stage, TaskFailure, TrialPlan
from raycompare.records.run_folder import RunFolder
from raycompare.records.snapshot import TOKEN_FOLDER
from raycompare.running.check import CheckedExperiment
from raycompare.running.display import Display, StageView
from raycompare.running.gauges import Gauges
from raycompare.running.racing import models_still_racing
from raycompare.training.memory import Peak, measure
from raycompare.tuning.earlier_trials import EvaluatedPoint
from raycompare.tuning.heaviest import heaviest_configurations
from raycompare.tuning.limits import Budgets, MaxCost, SeedBudget
from raycompare.tuning.plan_order import PlanOrder
from raycompare.tuning.plans import (
    FixedProposer,
    Identities,
    Proposer,
    choose,
    confirm_plans,
    make_plan,
    slots_to_search,
    tune_plans,
)
from raycompare.tuning.resources import resolve
from raycompare.tuning.rounds import Rounds
from raycompare.tuning.rule_scheduler import RuleScheduler
from raycompare.tuning.schedulers.registry import rules_for, rungs_of
from raycompare.tuning.tuner import Queue, Shared, at_once, run_stage, task_of


def share(ready: CheckedExperiment, folder: RunFolder, machines: Sequence[Node]) -> Shared:
    """Tokenise the data once per tokenizer and length, and put it into Ray's object store.

    Raises:
        UserError: a trial fits on no machine of the cluster.
    """
    experiment = ready.experiment
    tokens = _tokens(ready, TokenStore(folder.parent.folder(TOKEN_FOLDER)))
    # Models with the same vocabulary share one object.
    stored = {id(data): ray.put(data.for_search) for data in tokens.values()}
    tests = {id(data): ray.put(data.held_out) for data in tokens.values()}
    default = {s.name: tokens[s.name, s.max_length({})] for s in all_settings(experiment)}
    pin = {"models": tuple(pin_path(model) for model in experiment.models)}
    unmeasured = Shared(
        experiment=experiment.model_copy(update=pin),
        folder=folder,
        label_names=ready.data.label_names,
        data={key: stored[id(data)] for key, data in tokens.items()},
        test={key: tests[id(data)] for key, data in tokens.items()},
        lengths={name: data.max_length for name, data in default.items()},
        rungs=rungs_of(experiment, {name: data.train.lengths for name, data in default.items()}),
        text_lengths={key: data.train.lengths for key, data in tokens.items()},
        resources={},
        machines=machines,
        cut={
            name: float((data.train.lengths >= data.max_length).mean())
            for name, data in default.items()
        },
    )
    resources = resolve(unmeasured.experiment, machines, partial(_measure_memory, unmeasured))
    return replace(unmeasured, resources=resources)


def _measure_memory(shared: Shared, settings: ModelSettings) -> list[Peak]:
    """Train the heaviest configurations of a model, each on every kind of GPU of the cluster."""
    card = settings.resources.model_copy(update={"gpu": 1.0})
    retries = shared.experiment.failure.max_failures

    def tokens(searched: Arguments) -> int:
        return int(shared.text_lengths[settings.name, settings.max_length(searched)].max())

    kinds: list[str | None] = [*accelerators()] or [None]
    pending = []
    for searched in heaviest_configurations(settings, tokens):
        task = task_of(shared, make_plan("tune", 0, settings.name, searched, seed=0), card)
        for kind in kinds:
            call = run_alone(measure, task, resources=card, retries=retries, accelerator=kind)
            pending.append((searched, kind, call))
    return [_peak(settings, *measured) for measured in pending]


def _peak(
    settings: ModelSettings, searched: Arguments, kind: str | None, call: Pending[Peak]
) -> Peak:
    peak = call.result()
    if isinstance(peak, TaskFailure):
        what = ", ".join(f"{key} = {value}" for key, value in searched.items()) or "its defaults"
        where = kind.removeprefix(ACCELERATOR) if kind else "a GPU"
        raise UserError(
            f"{settings.name} can't train a single step with {what} on {where}: {peak.cause}. "
            "Allow smaller batches, or more gradient_accumulation_steps."
        )
    return peak


def _tokens(ready: CheckedExperiment, store: TokenStore) -> dict[tuple[str, Length], TokenizedData]:
    """Return the tokens of each model and length; models with one vocabulary share an object."""
    experiment, made = ready.experiment, dict[str, TokenizedData]()
    tokenizers = {
        m.source: load_tokenizer(m) for m in {m.source: m for m in experiment.models}.values()
    }

    def tokens(tokenizer: PreTrainedTokenizerBase, length: Length) -> TokenizedData:
        spec = experiment.data.model_copy(update={"max_length": length})
        key = token_key(ready.data, tokenizer, spec)
        if key not in made:
            stored = store.get(key, lambda: tokenize(ready.data, tokenizer, spec))
            made[key] = add_padding(stored, ready.data, tokenizer, spec)
        return made[key]

    return {
        (settings.name, length): tokens(tokenizers[settings.model.source], length)
        for settings in all_settings(experiment)
        for length in settings.max_lengths
    }


@dataclass(frozen=True)
class Stages:
    """Runs the stages of an experiment and updates its journal."""

    shared: Shared
    journal: Journal
    display: Display
    identities: Identities
    clock: Clock
    earlier: tuple[EvaluatedPoint, ...] = ()
    """Evaluated points of earlier runs, from which the search learns."""

    @property
    def _experiment(self) -> Experiment:
        return self.shared.experiment

    def tune(self) -> dict[str, Arguments]:
        """Search, and return the configuration chosen for each model that has one."""
        learns = self._experiment.tune.search_alg == "optuna"
        propose = self._tpe() if learns else FixedProposer(self._experiment)
        turns = slots_to_search(self._experiment, propose.counts)
        earlier = self.journal.earlier_plans("tune")
        plans = tune_plans(self._experiment, turns, propose, earlier, self.identities)
        if turns:
            queue = Queue(stage="tune", plans=plans, most=len(turns), one_by_one=learns)
            self._run(queue, self._scheduler())
            self._require_ended("tune")
        tuned = {slot.model for slot in turns}
        return choose(self._experiment, self.journal.trials(), tuned)

    def confirm(self, chosen: Mapping[str, Arguments]) -> None:
        """Train the chosen configuration of each model to the end on its seeds, and test it."""
        plans = confirm_plans(self._experiment, chosen, self.identities)
        if not plans:
            return
        if self._experiment.confirm.is_race:
            self._race(plans)
        else:
            cap = MaxCost(self._experiment, self.clock)
            queue = Queue(stage="confirm", plans=iter(plans), most=len(plans))
            self._run(queue, PlanOrder(cap))
        self._require_ended("confirm")

    def _race(self, plans: Sequence[TrialPlan]) -> None:
        """Add seeds in rounds, for the models that may still win."""
        gate = SeedBudget(self._experiment, self.journal, self.clock)
        scheduler = PlanOrder(gate)
        rounds = Rounds(self._rounds(plans, scheduler))
        queue = Queue(stage="confirm", plans=rounds, most=len(plans), has_plan=rounds.has_plan)
        sure = len({plan.model for plan in plans}) * len(self._experiment.confirm.sure_seeds)
        self._show(queue, scheduler, sure)

    def _rounds(
        self, plans: Sequence[TrialPlan], scheduler: PlanOrder
    ) -> Iterator[Sequence[TrialPlan]]:
        """Yield the plans to run in each round: first all seeds that are sure, then one each."""
        confirm = self._experiment.confirm
        sure = [plan for plan in plans if plan.seed in confirm.sure_seeds]
        yield list(self._admit(iter(sure), scheduler))
        for seed in confirm.all_seeds[len(confirm.sure_seeds) :]:
            racing = models_still_racing(self.shared, self.journal, self.display.say)
            if not racing:
                return
            further = (plan for plan in plans if plan.seed == seed and plan.model in racing)
            yield list(self._admit(further, scheduler))

    def _tpe(self) -> Proposer:
        # Imported here because Optuna is an extra.
        from raycompare.tuning.optuna_search import JournalNews, Tpe  # noqa: PLC0415

        return Tpe(self._experiment, JournalNews(self.journal), self.earlier)

    def _scheduler(self) -> PlanOrder:
        settings = self._experiment.tune
        at_a_time = settings.max_concurrent_trials or at_once(self.shared)
        limits = Budgets(self._experiment, self.journal, self.clock, at_a_time)
        rules = rules_for(settings, self.shared.rungs)
        if not rules:
            return PlanOrder(limits)
        return RuleScheduler(rules, settings.metric, limits, self._rung_steps)

    def _run(self, planned: Queue, scheduler: PlanOrder) -> None:
        queue = replace(planned, plans=self._admit(planned.plans, scheduler))
        if not queue.one_by_one:
            # Plan everything now, so that the records have all trials from the start.
            todo = list(queue.plans)
            if not todo:
                self.display.say(f"{queue.stage}: all {queue.most} trials are already finished")
                return
            queue = replace(queue, plans=iter(todo), most=len(todo))
        self._show(queue, scheduler, queue.most)

    def _show(self, queue: Queue, scheduler: PlanOrder, sure: int) -> None:
        """Run a stage of which at least `sure` trials will run, and show its progress."""
        rungs = self._rung_steps if queue.stage == "tune" else None
        view = StageView(queue.stage, self.journal, rungs, sure, queue.most - sure)
        with self.display.stage(view), self._gauges.follow():
            run_stage(self.shared, queue, self.journal, scheduler, say=self.display.say)

    @cached_property
    def _rung_steps(self) -> RungSteps:
        """The function `rung_steps_of`, with a cache, since it is called at each report."""
        steps: dict[str, tuple[int, ...]] = {}

        def steps_of(plan: TrialPlan) -> tuple[int, ...]:
            if plan.trial_id not in steps:
                steps[plan.trial_id] = self.shared.rung_steps_of(plan)
            return steps[plan.trial_id]

        return steps_of

    @cached_property
    def _gauges(self) -> Gauges:
        say, resources = self.display.say, self.shared.resources
        return Gauges(self._experiment, self.journal, resources, self.clock, say)

    def _admit(self, plans: Iterator[TrialPlan], scheduler: PlanOrder) -> Iterator[TrialPlan]:
        """Yield the plans to run; replay trials that are already finished to the scheduler."""
        for plan in map(self.journal.with_recorded_id, plans):
            scheduler.add(plan)
            if self.journal.add(plan):
                yield plan
            else:
                evaluations = self.journal.kept_evaluations(plan.trial_id)
                scheduler.replay(plan, evaluations, self.journal.ended_by_itself(plan.trial_id))
        scheduler.close()

    def _require_ended(self, stage: Stage) -> None:
        """Raise KeyboardInterrupt if trials are unfinished: Tune returns normally after Ctrl-C."""
        entries = [e for e in self.journal.entries.values() if e.plan.stage == stage]
        if any(e.status in ("interrupted", "not_run") and not e.refusal for e in entries):
            raise KeyboardInterrupt

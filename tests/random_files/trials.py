"""Runs the first trials of an experiment in this process: cut off once, then resumed to the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raycompare.data.splits import LabelledData
from raycompare.data.tokenize import add_padding, tokenize
from raycompare.data.tokens import TokenizedData
from raycompare.experiment.hyperparameters import Length, ModelSettings, all_settings
from raycompare.experiment.spec import Experiment
from raycompare.models.pretrained import load_tokenizer
from raycompare.records.messages import Evaluation, TrialEnd, TrialPlan
from raycompare.records.run_folder import RunFolder
from raycompare.training.trial import train_trial
from raycompare.tuning import tuner
from raycompare.tuning.optuna_search import SearchOutcome, Tpe
from raycompare.tuning.plan_order import PlanOrder
from raycompare.tuning.plans import FixedProposer, confirm_plans, slots, tune_plans
from raycompare.tuning.rule_scheduler import RuleScheduler
from raycompare.tuning.schedulers.base import Decision
from raycompare.tuning.schedulers.registry import rules_for, rungs_of
from raycompare.tuning.tuner import Shared
from tests.trials import ListSink, gone_on, trained

TRIALS = 3
"""Trials of the search to try: the defaults come first."""


@dataclass
class FirstTrials:
    """The default of each model, two drawn configurations and a finalist, without Ray."""

    experiment: Experiment
    data: LabelledData
    place: Path

    def __post_init__(self) -> None:
        """Tokenise the texts for each model and length."""
        self.tokens = {
            (settings.name, length): self._tokenised(settings, length)
            for settings in all_settings(self.experiment)
            for length in settings.max_lengths
        }
        lengths = {key: data.train.lengths for key, data in self.tokens.items()}
        default = {s.name: lengths[s.name, s.max_length({})] for s in all_settings(self.experiment)}
        self.shared = Shared(
            experiment=self.experiment,
            folder=RunFolder.at(str(self.place)),
            label_names=self.data.label_names,
            data={},
            lengths={},
            rungs=rungs_of(self.experiment, default),
            text_lengths=lengths,
            resources={s.name: s.resources for s in all_settings(self.experiment)},
        )

    def _tokenised(self, settings: ModelSettings, length: Length) -> TokenizedData:
        spec = self.experiment.data.model_copy(update={"max_length": length})
        parts = self.data, load_tokenizer(settings.model), spec
        return add_padding(tokenize(*parts), *parts)

    def plans(self) -> list[TrialPlan]:
        """Plan the first trials as the search of the file does."""
        search = self.experiment.tune.search_alg
        proposer = Tpe(self.experiment, list[SearchOutcome]) if search == "optuna" else None
        chosen = proposer or FixedProposer(self.experiment)
        turns = slots(self.experiment, chosen.counts)
        return list(islice(tune_plans(self.experiment, turns, chosen, {}, {}), TRIALS))

    def run(self) -> None:
        """Train the trials, each cut off and resumed, under their scheduler; then a finalist."""
        plans = self.plans()
        scheduler = self._scheduler()
        for plan in plans:
            scheduler.add(plan)
        for plan in plans:
            for evaluation in self._evaluations(plan):
                scheduler.take_in(plan, evaluation)
            scheduler.end(plan)
        scheduler.close()
        waiting = [p.trial_id for p in plans if scheduler.standing(p).decision is Decision.WAIT]
        assert not waiting
        searched = {plan.model: plan.hyperparameters for plan in plans}
        self._test(next(iter(confirm_plans(self.experiment, searched))))

    def _scheduler(self) -> PlanOrder:
        tune = self.experiment.tune
        rules = rules_for(tune, self.shared.rungs)
        rung_steps = self.shared.rung_steps_of
        return RuleScheduler(rules, tune.metric, rung_steps=rung_steps) if rules else PlanOrder()

    def _task(self, plan: TrialPlan) -> Any:
        settings = self.shared.settings_of(plan)
        data = self.tokens[plan.model, settings.max_length(plan.hyperparameters)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tuner, "_data_of", lambda *_: data)
            return tuner.task_of(self.shared, plan, settings.resources)

    def _evaluations(self, plan: TrialPlan) -> Iterator[Evaluation]:
        task, place = self._task(plan), self.place / plan.trial_id
        place.mkdir()
        sink = ListSink(place=place, cut_after=0)
        try:
            train_trial(task, sink)
        except SystemExit:  # cut off at its first evaluation
            sink = gone_on(task, place)
        _require_end(sink)
        resumed = [*sink.start.earlier, *sink.evaluations]
        if plan.is_default:
            _require_same(resumed, trained(task).evaluations)
        return iter(resumed)

    def _test(self, plan: TrialPlan) -> None:
        sink = trained(self._task(plan))
        _require_end(sink)
        if sink.end.reason != "diverged":
            (table,) = sink.tables
            assert table.num_rows == len(self.data.test)


def _require_end(sink: ListSink) -> None:
    last = sink.messages[-1]
    assert isinstance(last, TrialEnd), f"{type(last).__name__}: {getattr(last, 'cause', last)}"


def _require_same(some: Sequence[Evaluation], others: Sequence[Evaluation]) -> None:
    assert [evaluation.step for evaluation in some] == [evaluation.step for evaluation in others]
    for one, other in zip(some, others, strict=True):
        pair = list(one.metrics.values()), list(other.metrics.values())
        assert np.allclose(*pair, atol=1e-6, equal_nan=True), f"step {one.step} differs"

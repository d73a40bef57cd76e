"""Plans: which configurations the tune stage tries, which are chosen, and repeated to confirm."""

from __future__ import annotations

import hashlib
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
from ray import tune

from raycompare.messages import PLAN, config_of
from raycompare.metrics import MODES, better
from raycompare.record import Stage, TrialPlan, TrialRecord
from raycompare.space import SearchSpace
from raycompare.spec import Arguments, Experiment, ModelSpec

MAX_DRAWS = 100
"""Draws in a row without a new configuration after which a search space counts as exhausted."""


def tune_plans(experiment: Experiment) -> list[TrialPlan]:
    """Plan the tune stage: the untuned default of each model first, then samples in random order.

    Each model draws from its own stream of random numbers, so that adding a model leaves the
    configurations of the others as they were. A space of a few choices may hold fewer than
    `tune.num_samples` configurations; then each is tried once.
    """
    samples = {model.name: list(_configurations(experiment, model)) for model in experiment.models}
    defaults = [(name, configurations[0]) for name, configurations in samples.items()]
    rest = [(name, sampled) for name, all_ in samples.items() for sampled in all_[1:]]
    order = np.random.default_rng(experiment.seed).permutation(len(rest))
    ordered = chain(defaults, (rest[index] for index in order))
    return [
        make_plan("tune", order, name, searched, experiment.seed)
        for order, (name, searched) in enumerate(ordered)
    ]


def confirm_plans(experiment: Experiment, chosen: Mapping[str, Arguments]) -> list[TrialPlan]:
    """Plan the confirm stage: the chosen configuration of each model, once per seed."""
    pairs = [(name, seed) for seed in experiment.confirm.seeds for name in chosen]
    return [
        make_plan("confirm", order, name, chosen[name], seed)
        for order, (name, seed) in enumerate(pairs)
    ]


def make_plan(stage: Stage, order: int, model: str, searched: Arguments, seed: int) -> TrialPlan:
    """Make one plan; its id is a hash of its content, so that a resumed run knows it again."""
    content = json.dumps([stage, model, searched, seed], sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()[:8]
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", model).strip("-")
    return TrialPlan(
        trial_id=f"{slug}-{stage}-{digest}",
        stage=stage,
        model=model,
        order=order,
        seed=seed,
        is_default=not searched,
        hyperparameters=searched,
    )


def _configurations(experiment: Experiment, model: ModelSpec) -> Iterator[Arguments]:
    """Yield the default, written {}, then distinct samples."""
    space = experiment.search_space_of(model)
    yield {}
    seen: list[Arguments] = []
    stream = _samples(space, experiment.seed, model.name)
    while space and len(seen) < experiment.tune.num_samples - 1:
        sampled = next((new for new in islice(stream, MAX_DRAWS) if new not in seen), None)
        if sampled is None:
            return
        seen.append(sampled)
        yield sampled


def _samples(space: SearchSpace, seed: int, model: str) -> Iterator[Arguments]:
    name = int.from_bytes(hashlib.sha256(model.encode()).digest()[:8])
    random = np.random.default_rng([seed, name])
    domains = {key: getattr(tune, domain.kind)(*domain.args) for key, domain in space.items()}
    while True:
        yield {key: _plain(domain.sample(random_state=random)) for key, domain in domains.items()}


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


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
            chosen[model.name] = json.loads(best.hyperparameters)
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


class Planned(tune.search.Searcher):
    """Hands Tune the plans one after another.

    A grid of the plans would do too, but Tune copies the whole grid for each trial that it makes.
    """

    def __init__(self, plans: Iterable[TrialPlan]) -> None:
        """Hand out the plans in this order."""
        super().__init__()
        self._plans = deque(plans)

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """Return the config of the next trial; Tune asks once for each of `num_samples`."""
        return {PLAN: config_of(self._plans.popleft())}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Learn nothing from a trial."""

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: `Tuner.restore` is not used (docs/decisions/0002)."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing."""

"""Plans of trials: the configurations to tune, and the chosen ones that confirm repeats."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np

from raycompare.data.splits import LabelledData
from raycompare.experiment.hyperparameters import ModelSettings, all_settings
from raycompare.experiment.settings import DEFAULT_SAMPLES
from raycompare.experiment.spec import Arguments, Experiment
from raycompare.metrics import MODES, better
from raycompare.records.messages import Stage, TrialPlan
from raycompare.records.reach import got_furthest
from raycompare.records.rows import TrialRecord
from raycompare.records.versions import code_versions
from raycompare.tuning.sampling import configurations, grid, grid_size


def identities(
    experiment: Experiment, data: LabelledData, made_from: Mapping[str, str]
) -> dict[str, str]:
    """Return a hash of checkpoint, settings, data and code versions, keyed by model name.

    `made_from` are the fingerprints of the checkpoints; runs of earlier versions have none.
    """
    return {
        settings.name: _identity(settings, data, made_from.get(settings.name))
        for settings in all_settings(experiment)
    }


def _identity(settings: ModelSettings, data: LabelledData, made_from: str | None) -> str:
    model, spec = settings.model, settings.experiment.data
    content = [
        model.source,
        model.config,
        settings.training,
        spec.max_length,
        spec.padding,
        data.content_hash,
        code_versions(),
    ]
    if model.building:  # only if set: the identity of all other models must not change
        content.append(model.building)
    if made_from:
        content.append(made_from)
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


DIGITS = 16
"""Hexadecimal digits in a trial's id; with 8, one of 80 runs with 10,000 trials had the same twice.
"""
MAX_DRAWS = 100
"""Repeated draws in a row after which a search space counts as exhausted."""


@dataclass(frozen=True)
class Slot:
    """A position in the order of the tune stage."""

    order: int
    model: str
    number: int
    """Index among the configurations of the model; 0 is the untuned default."""


class Proposer(Protocol):
    """Proposes configurations."""

    @property
    def counts(self) -> dict[str, int]:
        """Number of configurations of each model, including its default."""

    def __call__(self, slot: Slot) -> Arguments | None:
        """Return the next configuration; None if the model's search space is exhausted."""


Identities = Mapping[str, str]
"""Hash of everything but the plan that determines the results of trials, keyed by model name."""
NO_IDENTITIES: Identities = {}


def slots(experiment: Experiment, counts: Mapping[str, int]) -> list[Slot]:
    """Return the order in which the models take turns.

    `counts` is the number of configurations of each model, including its default. The defaults come
    first, then rounds in which each model has one turn, in a random order per round. So whenever a
    budget ends the search, the models differ by at most one turn.
    """
    random = np.random.default_rng(experiment.seed)
    names = [model.name for model in experiment.models]
    turns = [(name, 0) for name in names]
    for number in range(1, max(counts.values())):
        turns += [
            (names[place], number)
            for place in random.permutation(len(names))
            if number < counts[names[place]]
        ]
    planned = [Slot(order, model, number) for order, (model, number) in enumerate(turns)]
    return planned[: experiment.tune.max_trials]


def slots_to_search(experiment: Experiment, counts: Mapping[str, int]) -> list[Slot]:
    """Return the turns of the models with more than one configuration."""
    planned = slots(experiment, counts)
    turns = [slot.model for slot in planned]
    return [slot for slot in planned if turns.count(slot.model) > 1]


class FixedProposer:
    """Proposes configurations that are fixed in advance: random draws, or a whole grid."""

    def __init__(self, experiment: Experiment) -> None:
        """Draw from a separate stream per model, so that adding one does not change the others."""
        self._drawn = {s.name: list(_draw_configurations(s)) for s in all_settings(experiment)}

    @property
    def counts(self) -> dict[str, int]:
        """Number of configurations of each model, including its default."""
        return {model: len(drawn) for model, drawn in self._drawn.items()}

    def __call__(self, slot: Slot) -> Arguments | None:
        """Return the configuration of the slot."""
        return self._drawn[slot.model][slot.number]


def _draw_configurations(settings: ModelSettings) -> Iterator[Arguments]:
    """Yield the default as {}, then distinct configurations."""
    space, tune = settings.space, settings.experiment.tune
    yield {}
    if not space:
        return
    if tune.search_alg == "grid":
        most = tune.num_samples or grid_size(space) + 1
        yield from islice(grid(space), most - 1)
        return
    seen: list[Arguments] = []
    stream = configurations(space, random_of(settings.experiment.seed, settings.name))
    while len(seen) < (tune.num_samples or DEFAULT_SAMPLES) - 1:
        sampled = next((new for new in islice(stream, MAX_DRAWS) if new not in seen), None)
        if sampled is None:
            return
        seen.append(sampled)
        yield sampled


def random_of(*key: int | str) -> np.random.Generator:
    """Return a random generator that is seeded by the key."""
    return np.random.default_rng([_number(part) for part in key])


def _number(part: int | str) -> int:
    if isinstance(part, int):
        return part
    return int.from_bytes(hashlib.sha256(part.encode()).digest()[:8])


def tune_plans(
    experiment: Experiment,
    turns: Sequence[Slot],
    propose: Proposer,
    earlier: Mapping[int, TrialRecord],
    identities: Identities,
) -> Iterator[TrialPlan]:
    """Yield the plans of the tune stage; each configuration is proposed when its plan is taken.

    `earlier` holds the trials that an interrupted run has planned, keyed by order; their
    configurations are reused.
    """
    exhausted: set[str] = set()
    for slot in turns:
        if slot.model in exhausted:
            continue
        before = earlier.get(slot.order)
        if before is not None:
            searched = json.loads(before.hyperparameters)
        else:
            searched = {} if slot.number == 0 else propose(slot)
        if searched is None:
            exhausted.add(slot.model)
            continue
        identity = identities.get(slot.model, "")
        yield make_plan("tune", slot.order, slot.model, searched, experiment.seed, identity)


def drawn_plans(experiment: Experiment) -> list[TrialPlan]:
    """Plan a whole tune stage with a search that does not learn, for all models."""
    drawn = FixedProposer(experiment)
    return list(tune_plans(experiment, slots(experiment, drawn.counts), drawn, {}, {}))


def confirm_plans(
    experiment: Experiment, chosen: Mapping[str, Arguments], identities: Identities = NO_IDENTITIES
) -> list[TrialPlan]:
    """Plan the confirm stage: the chosen configuration of each model, once per seed.

    With `seeds: auto`, these are all plans that there may be.
    """
    pairs = [(name, seed) for seed in experiment.confirm.all_seeds for name in chosen]
    return [
        make_plan("confirm", order, name, chosen[name], seed, identities.get(name, ""))
        for order, (name, seed) in enumerate(pairs)
    ]


MOST_SLUG = 200
"""Longest part of a trial's id that comes from the model's name, so that file names are valid."""


def make_plan(
    stage: Stage, order: int, model: str, searched: Arguments, seed: int, identity: str = ""
) -> TrialPlan:
    """Make a plan, whose id is a hash of all that determines its results."""
    content = json.dumps([stage, model, searched, seed, identity], sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()[:DIGITS]
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", model)[:MOST_SLUG].strip("-.")
    return TrialPlan(
        trial_id=f"{slug}-{stage}-{digest}",
        stage=stage,
        model=model,
        order=order,
        seed=seed,
        is_default=not searched,
        hyperparameters=searched,
    )


def choose(
    experiment: Experiment, trials: Sequence[TrialRecord], tuned: set[str]
) -> dict[str, Arguments]:
    """Choose the configuration of each model with the best validation value of a completed trial.

    If no trial was completed, choose among those that got furthest. Models that were not tuned
    keep their default; tuned models without any evaluation are omitted.
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
    completed = [t for t in tried if t.status == "completed"]
    best: TrialRecord | None = None
    for trial in completed or got_furthest(tried, experiment.tune.time_attr):
        assert trial.best_value is not None
        so_far = best.best_value if best else None
        if better(trial.best_value, so_far, MODES[experiment.tune.metric]):
            best = trial
    return best

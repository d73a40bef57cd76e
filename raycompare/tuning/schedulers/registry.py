"""The rule of each scheduler of an experiment file, and the positions of its rungs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from pkgutil import iter_modules

from raycompare.data.tokens import Ints
from raycompare.experiment.hyperparameters import all_settings
from raycompare.experiment.settings import SchedulerName, TuneSpec
from raycompare.experiment.spec import Experiment
from raycompare.training.arguments import RunLength, run_length
from raycompare.tuning import schedulers
from raycompare.tuning.schedulers.base import DEFAULT_GRACE, Rule, milestones

POOLED, TOP_K = "pooled-asha", "top-k-after-first-rung"


def _load_rules() -> dict[SchedulerName, type[Rule]]:
    names = [f"{schedulers.__name__}.{module.name}" for module in iter_modules(schedulers.__path__)]
    values = [value for name in names for value in vars(import_module(name)).values()]
    rules = [v for v in values if isinstance(v, type) and issubclass(v, Rule)]
    return {name: rule for rule in rules for name in rule.schedulers}


RULES = _load_rules()
"""Rules keyed by scheduler; every module of `raycompare.tuning.schedulers` may define one."""


def rung_positions(settings: TuneSpec, budgets: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Return the positions of each model's rungs, in the unit of `tune.time_attr`.

    `budgets` are the steps, or examples, of each model's default run. A bracket shared by all
    models has the rungs of the shortest run.
    """
    if settings.scheduler not in RULES:
        return dict.fromkeys(budgets, ())
    if settings.scheduler == POOLED:
        return dict.fromkeys(budgets, _positions(settings, min(budgets.values())))
    return {model: _positions(settings, budget) for model, budget in budgets.items()}


def _positions(settings: TuneSpec, budget: int) -> tuple[int, ...]:
    grace = settings.grace_period or math.ceil(budget * DEFAULT_GRACE)
    positions = milestones(grace, settings.reduction_factor, budget)
    return positions[:1] if settings.scheduler == TOP_K else positions


def rules_for(settings: TuneSpec, rungs: Mapping[str, tuple[int, ...]]) -> dict[str, Rule]:
    """Make a rule for each model, keyed by model name; empty if the scheduler has no rule."""
    rule = RULES.get(settings.scheduler)
    if rule is None:
        return {}
    if settings.scheduler == POOLED:
        return dict.fromkeys(rungs, rule(next(iter(rungs.values())), settings))
    return {model: rule(steps, settings) for model, steps in rungs.items()}


def rungs_of(
    experiment: Experiment, text_lengths: Mapping[str, Ints]
) -> dict[str, tuple[int, ...]]:
    """Return the positions of each model's rungs; `text_lengths` are the tokens of its texts."""
    budgets = {
        s.name: budget(experiment.tune, run_length(s.arguments({}), text_lengths[s.name]))
        for s in all_settings(experiment)
    }
    return rung_positions(experiment.tune, budgets)


def budget(settings: TuneSpec, length: RunLength) -> int:
    """Return the length of a run in the unit of `tune.time_attr`."""
    return length.examples if settings.time_attr == "examples" else length.steps


def rung_steps(settings: TuneSpec, positions: Sequence[int], length: RunLength) -> tuple[int, ...]:
    """Return the optimizer steps at which a trial reaches the rungs of its model.

    Trials with other batch sizes reach a rung in `examples` at other steps. Some steps may lie
    beyond the end of the trial.
    """
    if settings.time_attr == "steps":
        return tuple(positions)
    return tuple(length.first_step_at(examples) for examples in positions)


def rungs_reached(steps: Sequence[int], step: int, is_last: bool) -> list[int]:
    """Return the numbers of the rungs that an evaluation at `step` counts for.

    `steps` are those at which the trial reaches the rungs. The last evaluation of a trial shows
    what a whole run is worth, so it counts for a rung only if the rung is at that very step.
    """
    return [n for n, at in enumerate(steps) if at == step or (at < step and not is_last)]

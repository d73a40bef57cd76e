"""Which rule each scheduler of an experiment file is, and where its rungs stand."""

from __future__ import annotations

import math
from collections.abc import Mapping

from raycompare.data.tokens import Ints
from raycompare.experiment.hyperparameters import ModelSettings, all_settings
from raycompare.experiment.settings import TimeAttr, TuneSpec
from raycompare.experiment.spec import Experiment
from raycompare.metrics import MODES
from raycompare.training.arguments import examples_per_step, planned_steps
from raycompare.tuning.schedulers.asha import Rungs
from raycompare.tuning.schedulers.base import DEFAULT_GRACE, Rule, Unit, milestones
from raycompare.tuning.schedulers.median import MedianStopping
from raycompare.tuning.schedulers.pasha import Pasha
from raycompare.tuning.schedulers.top_k import TopK

POOLED, TOP_K = "pooled-asha", "top-k-after-first-rung"
UNITS: Mapping[TimeAttr, Unit] = {"steps": "step", "examples": "example"}


def rung_positions(settings: TuneSpec, budgets: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Return where the trials of each model are compared, in the unit of `tune.time_attr`.

    `budgets` are the steps, or examples, of each model's default run. One bracket for all models
    has its rungs where the shortest run has them.
    """
    if settings.scheduler == "fifo":
        return dict.fromkeys(budgets, ())
    if settings.scheduler == POOLED:
        return dict.fromkeys(budgets, _positions(settings, min(budgets.values())))
    return {model: _positions(settings, budget) for model, budget in budgets.items()}


def _positions(settings: TuneSpec, budget: int) -> tuple[int, ...]:
    grace = settings.grace_period or math.ceil(budget * DEFAULT_GRACE)
    found = milestones(grace, settings.reduction_factor, budget)
    return found[:1] if settings.scheduler == TOP_K else found


def rules_for(settings: TuneSpec, rungs: Mapping[str, tuple[int, ...]]) -> dict[str, Rule]:
    """Make the rule of each model, by its name; none where nothing is compared."""
    if settings.scheduler == "fifo":
        return {}
    if settings.scheduler == POOLED:
        return dict.fromkeys(rungs, _rule(settings, next(iter(rungs.values()))))
    return {model: _rule(settings, steps) for model, steps in rungs.items()}


def _rule(settings: TuneSpec, steps: tuple[int, ...]) -> Rule:
    mode, unit = MODES[settings.metric], UNITS[settings.time_attr]
    match settings.scheduler:
        case "median":
            return MedianStopping(steps, mode, unit=unit)
        case "top-k-after-first-rung":
            return TopK(steps, settings.top_k, mode, unit=unit)
        case "pasha":
            return Pasha(steps, settings.reduction_factor, mode, unit=unit)
        case _:
            return Rungs(steps, settings.reduction_factor, mode, unit=unit)


def rungs_of(experiment: Experiment, lengths: Mapping[str, Ints]) -> dict[str, tuple[int, ...]]:
    """Return where each model's trials are compared; `lengths` are the tokens of its texts."""
    budgets = {s.name: _budget(s, lengths[s.name]) for s in all_settings(experiment)}
    return rung_positions(experiment.tune, budgets)


def _budget(settings: ModelSettings, lengths: Ints) -> int:
    arguments = settings.arguments({})
    steps = planned_steps(arguments, lengths)
    in_examples = settings.experiment.tune.time_attr == "examples"
    return steps * examples_per_step(arguments) if in_examples else steps

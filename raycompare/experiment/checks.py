"""Checks for settings that contradict one another, or that nothing reads."""

from __future__ import annotations

from collections.abc import Iterator

from raycompare.errors import Problem
from raycompare.experiment.needs import Needs, is_importable
from raycompare.experiment.prices import price_of, price_problems
from raycompare.experiment.settings import (
    DEFAULT_SAMPLES,
    READ_BY_SOME,
    SCHEDULERS,
    ConfirmSpec,
    InferenceSpec,
    TuneSpec,
)
from raycompare.experiment.spec import Experiment
from raycompare.extras import install_command


def settings_problems(experiment: Experiment) -> Iterator[Problem]:
    """Find settings that can't be met, or that would not be read."""
    settings = experiment.tune
    yield from price_problems(experiment.cost)
    yield from _budget_problems(experiment)
    yield from _unread(settings)
    yield from _confirm_problems(experiment.confirm)
    yield from _inference_problems(experiment.inference)


def package_problems(needs: Needs) -> Iterator[Problem]:
    """Find extras that the experiment needs and this machine lacks.

    Packages of optimizers are looked for where trials run.
    """
    for package in needs.packages:
        if package.extra and not is_importable(package.module):
            yield Problem(
                where=package.where,
                found=f"{package.reason}, whose package {package.module} is not installed",
                allowed=f"settings whose packages are installed; {package.module} is an extra",
                hint=install_command(package.extra),
            )


def _budget_problems(experiment: Experiment) -> Iterator[Problem]:
    settings, models = experiment.tune, len(experiment.models)
    has_price_problem = any(price_problems(experiment.cost))
    if settings.max_usd and price_of(experiment.cost) is None and not has_price_problem:
        yield Problem(
            where="tune.max_usd",
            found=f"{settings.max_usd:g}, without a price",
            allowed="a cost limit together with cost.instance or cost.usd_per_hour",
        )
    least = settings.min_trials_per_model
    if settings.max_trials and settings.max_trials < models * least:
        yield Problem(
            where="tune.max_trials",
            found=str(settings.max_trials),
            allowed=f"at least {models * least}: tune.min_trials_per_model {least} x "
            f"{models} models",
        )
    most = settings.num_samples or DEFAULT_SAMPLES
    if settings.search_alg != "grid" and least > most:
        yield Problem(
            where="tune.min_trials_per_model",
            found=str(least),
            allowed=f"at most tune.num_samples, which is {most}",
        )


def _inference_problems(settings: InferenceSpec) -> Iterator[Problem]:
    if settings.max_latency_ms is not None and not settings.measure:
        yield Problem(
            where="inference.max_latency_ms",
            found=f"{settings.max_latency_ms:g}, but latency is not measured",
            allowed="a latency if inference.measure is true",
            hint="remove inference.measure, which is true by default",
        )


def _confirm_problems(settings: ConfirmSpec) -> Iterator[Problem]:
    default = ConfirmSpec()
    for name in ("first", "most", "min_chance"):
        value = getattr(settings, name)
        if not settings.is_race and value != getattr(default, name):
            yield Problem(
                where=f"confirm.{name}",
                found=f"{value:g}, with a list of seeds",
                allowed="the default, because only `seeds: auto` reads it",
            )
    if settings.is_race and settings.most < settings.first:
        yield Problem(
            where="confirm.most",
            found=str(settings.most),
            allowed=f"at least confirm.first, which is {settings.first}",
        )


def _unread(settings: TuneSpec) -> Iterator[Problem]:
    """Find settings that differ from their default, but are not read by the scheduler."""
    default, scheduler = TuneSpec(), settings.scheduler
    for name in READ_BY_SOME:
        value = getattr(settings, name)
        if name not in SCHEDULERS[scheduler].reads and value != getattr(default, name):
            yield Problem(
                where=f"tune.{name}",
                found=str(value),
                allowed=f"the default, because the scheduler {scheduler} does not read it",
            )

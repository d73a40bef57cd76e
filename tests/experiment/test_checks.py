from __future__ import annotations

from typing import Any

import pytest

from raycompare.experiment import checks as settings_checks
from raycompare.experiment.checks import package_problems, settings_problems
from raycompare.experiment.needs import needs_of
from raycompare.extras import install_command
from tests.tuning.test_plans import experiment


@pytest.mark.parametrize(
    ("tune", "where", "says"),
    [
        ({"max_usd": 3}, "tune.max_usd", "cost.usd_per_hour"),
        ({"max_trials": 1}, "tune.max_trials", "at least 2: tune.min_trials_per_model 1 x 2"),
        ({"max_trials": 5, "min_trials_per_model": 3}, "tune.max_trials", "at least 6"),
        ({"min_trials_per_model": 9}, "tune.min_trials_per_model", "tune.num_samples, which is 8"),
        ({"top_k": 2}, "tune.top_k", "the scheduler asha does not read it"),
        ({"scheduler": "fifo", "grace_period": 9}, "tune.grace_period", "fifo does not read it"),
        ({"scheduler": "fifo", "time_attr": "examples"}, "tune.time_attr", "fifo does not"),
        (
            {"scheduler": "top-k-after-first-rung", "reduction_factor": 3},
            "tune.reduction_factor",
            "top-k-after-first-rung does not read it",
        ),
    ],
)
def test_settings_that_contradict_one_another_are_found(
    tune: dict[str, Any], where: str, says: str
) -> None:
    (problem,) = settings_problems(experiment(tune=tune))
    assert problem.where == where
    assert says in problem.allowed


@pytest.mark.parametrize(
    "tune",
    [
        {},
        {"scheduler": "top-k-after-first-rung", "top_k": 2, "grace_period": 9},
        {"scheduler": "pasha", "reduction_factor": 3, "time_attr": "examples"},
        {"scheduler": "median", "grace_period": 9},
        {"max_trials": 6, "min_trials_per_model": 3, "time_budget_s": 60},
        {"search_alg": "grid", "min_trials_per_model": 20},
    ],
)
def test_what_fits_together_is_let_through(tune: dict[str, Any]) -> None:
    assert list(settings_problems(experiment(tune=tune))) == []


def test_a_latency_without_a_measurement_is_an_error() -> None:
    of = experiment(inference={"measure": False, "max_latency_ms": 20})
    (problem,) = settings_problems(of)
    assert problem.where == "inference.max_latency_ms"
    assert list(settings_problems(experiment(inference={"max_latency_ms": 20}))) == []


def test_dollars_with_a_price_are_a_budget() -> None:
    of = experiment(tune={"max_usd": 3}, cost={"usd_per_hour": 1.2})
    assert list(settings_problems(of)) == []


def test_a_searcher_that_is_not_installed_is_reported_before_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = {"name": "m", "peft": {}}
    of = experiment(models=[model], tune={"search_alg": "optuna"}, trackers=["mlflow", "wandb"])
    monkeypatch.setattr(settings_checks, "is_importable", lambda _: True)
    assert list(package_problems(needs_of(of))) == []
    monkeypatch.setattr(settings_checks, "is_importable", lambda _: False)
    hints = {problem.where: problem.hint for problem in package_problems(needs_of(of))}
    assert hints["tune.search_alg"] == install_command("optuna")
    assert hints["models.0.peft"] == install_command("peft")
    assert hints["trackers"] == install_command("wandb")

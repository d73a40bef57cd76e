"""What the trials of a search say about its hyperparameters, and when they say nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raycompare.analysis.importance import Importance, importance_of
from raycompare.report.sections.importance import importance_section
from raycompare.report.write import write_report
from tests import runs

SPACE = {"learning_rate": {"loguniform": [1e-5, 1e-3]}, "weight_decay": {"uniform": [0, 0.3]}}
STOPPED = {"status": "stopped_early", "ending": "rung", "reason": runs.STOP, "steps": 100}


def searched(trials: int, *models: str, **sections: Any) -> tuple[runs.Run, list[list[float]]]:
    """Return a run with an untuned default per model, and places of learning rates to try."""
    run = runs.empty(*models, **{"search_space": SPACE, **sections})
    for model in models:
        run.tune(model, 0.5)
    places = np.random.default_rng(3).random((len(models), trials))
    return run, places.tolist()


def settings(place: float, number: int) -> str:
    decay = 0.3 * ((7 * number) % 10) / 10
    return json.dumps({"learning_rate": 1e-5 * 100**place, "weight_decay": decay})


def rising(trials: int, *models: str, **sections: Any) -> runs.Run:
    """Return a run in which larger learning rates are better."""
    run, places = searched(trials, *models, **sections)
    for model, own in zip(models, places, strict=True):
        for number, place in enumerate(own):
            run.tune(model, 0.4 + 0.4 * place, hyperparameters=settings(place, number))
    return run


def gap(importance: Importance | None) -> str:
    assert importance is not None
    assert importance.explained == {}
    return importance.gap or ""


def test_the_one_that_decides_is_named() -> None:
    comparison = rising(7, "a", "b").compare()
    importance = comparison.importance
    assert importance is not None
    assert importance.significant == ["learning_rate"]
    assert (importance.trials, importance.models, importance.omitted) == (14, 2, 0)
    section = importance_section(comparison)
    assert (
        "learning_rate had an effect on validation MCC that chance hardly explains. The trials "
        "show no effect on validation MCC of weight_decay, which doesn't mean that there is none."
        in section
    )
    assert "14 trials of 2 models were compared at the end of their run." in section
    assert section.index("| learning_rate | ") < section.index("| weight_decay | ")


def test_it_is_shown_after_the_best_hyperparameters_and_is_a_table(tmp_path: Path) -> None:
    write_report(rising(7, "a", "b").write(tmp_path))
    report = (tmp_path / "report.md").read_text()
    assert report.index("## Best hyper") < report.index("## Importance") < report.index("## Search")
    lines = (tmp_path / "tables" / "importance.csv").read_text().splitlines()
    assert lines[0] == '"hyperparameter","share","by_chance","p","trials","groups"'
    assert lines[1].startswith('"learning_rate",')


def test_a_lower_loss_is_better_too() -> None:
    importance = rising(12, "a", tune={"metric": "loss"}).compare().importance
    assert importance is not None
    assert importance.significant == ["learning_rate"]


def test_trials_are_compared_where_the_first_was_stopped() -> None:
    """Later scores of those that continue say nothing about those that were stopped."""
    run, (places,) = searched(12, "a")
    for number, place in enumerate(places):
        changes = STOPPED if place < 0.5 else {}
        run.tune("a", 0.6, hyperparameters=settings(place, number), **changes)
    assert gap(importance_of(run.records)).startswith("the trials of a model have the same score")


def test_the_share_of_the_run_is_that_of_the_first_rung() -> None:
    run, (places,) = searched(12, "a")
    for number, place in enumerate(places):
        changes = STOPPED if place < 0.5 else {}
        run.tune("a", 0.4 + 0.4 * place, hyperparameters=settings(place, number), **changes)
    comparison = run.compare()
    assert comparison.importance is not None
    assert comparison.importance.shares == (0.25, 0.25)
    assert comparison.importance.significant == ["learning_rate"]
    assert "compared after 25% of their run" in importance_section(comparison)


def test_trials_that_ended_before_are_not_compared_but_those_that_diverged_are_the_worst() -> None:
    run = rising(8, "a")
    run.tune("a", 0.9, **{**STOPPED, "ending": "max_usd"}, **at(0.01))
    run.tune("a", 0.9, steps=200, status="interrupted", ending="cut_short", **at(0.02))
    run.fail("a", "tune", "ValueError: no")
    run.tune("a", 0.9, steps=200, status="stopped_early", ending="diverged", **at(0.0))
    importance = run.compare().importance
    assert importance is not None
    assert (importance.trials, importance.omitted) == (9, 3)
    assert importance.significant == ["learning_rate"]
    assert "3 other trials could not be compared." in importance_section(run.compare())


def at(place: float) -> dict[str, str]:
    return {"hyperparameters": settings(place, 0)}


def test_those_that_ran_out_of_patience_are_compared() -> None:
    run = rising(7, "a")
    run.tune("a", 0.5, steps=200, ending="patience", **at(0.3))
    importance = run.compare().importance
    assert importance is not None
    assert importance.trials == 8


def test_trials_that_were_evaluated_at_other_shares_are_not_compared() -> None:
    """With a searched batch size, one rung can be at different shares of the runs."""
    run = rising(8, "a")
    for number in range(7):
        run.tune("a", 0.9, planned_steps=800, **{**STOPPED, **at(number / 7)})
    importance = importance_of(run.records)
    assert importance is not None
    assert importance.shares == (0.125, 0.125)
    assert importance.omitted == 0
    run = rising(8, "a")
    for number in range(7):
        quality = 0.5 + 0.05 * number
        run.tune("a", quality, planned_steps=4000, **{**STOPPED, **at(number / 7)})
    importance = importance_of(run.records)
    assert importance is not None
    assert importance.omitted == 8


@pytest.mark.parametrize("trials", [0, 3, 5])
def test_of_few_trials_it_is_said_that_they_are_too_few(trials: int) -> None:
    run = rising(trials, "a", "b")
    if not trials:
        assert importance_of(run.records) is None
        assert importance_section(run.compare()) == ""
        return
    assert f"none has more than {trials}" in gap(importance_of(run.records))
    assert "Not known: too few trials were made to say." in importance_section(run.compare())


def test_if_chance_could_explain_most_of_it_no_share_is_shown() -> None:
    run, (places,) = searched(6, "a")
    for number, place in enumerate(places):
        run.tune("a", (0.5, 0.52, 0.61)[number % 3], hyperparameters=settings(place, number))
    words = gap(importance_of(run.records))
    assert words.startswith("too few trials were made to say. Even if no hyperparameter had an")
    assert words.endswith("% of the variance of the scores of 6 trials")


def test_a_learning_search_says_nothing() -> None:
    run = rising(20, "a", tune={"search_alg": "optuna"})
    assert gap(importance_of(run.records)).startswith("Optuna chose the configurations by")


GRID = {"learning_rate": {"grid": [1e-5, 1e-4, 1e-3]}, "weight_decay": {"grid": [0, 0.1, 0.2]}}


@pytest.mark.parametrize("tried", [8, 9])
def test_a_part_of_a_grid_says_nothing(tried: int) -> None:
    run, _ = searched(0, "a", search_space=GRID, tune={"search_alg": "grid"})
    for number in range(tried):
        rate, decay = [1e-5, 1e-4, 1e-3][number // 3], 0.1 * (number % 3)
        values = json.dumps({"learning_rate": rate, "weight_decay": decay})
        run.tune("a", 0.5 + 0.1 * (number // 3), hyperparameters=values)
    importance = importance_of(run.records)
    if tried == 9:
        assert importance is not None
        assert importance.significant == ["learning_rate"]
    else:
        assert gap(importance).startswith("only part of the grid was tried")

from __future__ import annotations

from typing import Any

from raycompare.records.reach import got_furthest
from tests.tuning.test_plans import trial


def stopped(number: int, steps: int, batch: int) -> Any:
    return trial("a", number, 0.5, steps=steps, examples_per_step=batch, status="stopped_early")


def orders(trials: list[Any]) -> list[int]:
    return [trial.order for trial in trials]


def test_in_steps_the_number_of_steps_counts() -> None:
    trials = [stopped(0, 100, 8), stopped(1, 25, 32), stopped(2, 100, 32)]
    assert orders(got_furthest(trials, "steps")) == [0, 2]


def test_in_examples_trials_of_all_batch_sizes_get_as_far() -> None:
    """A rung at 800 texts is passed at 800, 800 and 806, within the last step of each."""
    trials = [stopped(0, 100, 8), stopped(1, 25, 32), stopped(2, 62, 13), stopped(3, 99, 8)]
    assert orders(got_furthest(trials, "examples")) == [0, 1, 2]


def test_as_many_as_are_needed_and_their_equals() -> None:
    trials = [stopped(0, 10, 8), stopped(1, 40, 8), stopped(2, 20, 8), stopped(3, 20, 8)]
    assert orders(got_furthest(trials, "steps", at_least=2)) == [1, 2, 3]
    assert got_furthest(trials, "steps", at_least=0) == []
    assert got_furthest([], "steps") == []

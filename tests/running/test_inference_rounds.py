from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, RayError, RayTaskError

from raycompare.records.messages import TaskFailure
from raycompare.running import inference_rounds
from raycompare.running.inference_rounds import RayWorkers

Errors = dict[str, list[RayError]]


class Actor:
    """An actor that raises the next error of its model, or returns the model's name."""

    def __init__(self, model: str, errors: Errors) -> None:
        self.model, self.errors, self.alive = model, errors, True
        self.look, self.may_halve = self, False

    def remote(self, may_halve: bool) -> Callable[[], str]:
        self.may_halve = may_halve
        return self.result

    def result(self) -> str:
        assert self.alive
        if own := self.errors.get(self.model):
            raise own.pop(0)
        return self.model


class Cluster:
    """Workers whose actors are in this process; the models a and b are loaded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, errors: Errors, retries: int) -> None:
        self.actors: list[Actor] = []
        self.errors: Errors = {}
        self.workers = RayWorkers(self.start, retries)
        monkeypatch.setattr(inference_rounds.ray, "get", lambda call: call())
        monkeypatch.setattr(
            inference_rounds.ray, "kill", lambda actor: setattr(actor, "alive", False)
        )
        for model in "ab":
            assert self.look(model) == model
            self.workers.kept.add(model)
        self.errors.update(errors)

    def start(self, model: str) -> Actor:
        self.actors.append(Actor(model, self.errors))
        return self.actors[-1]

    def look(self, model: str) -> Any:
        return self.workers.look(model)

    @property
    def loaded(self) -> list[str]:
        return [actor.model for actor in self.actors if actor.alive]


def no_memory() -> RayTaskError:
    return RayTaskError("look", "Traceback", RuntimeError("CUDA out of memory"))


def test_an_actor_is_started_once_and_then_stays_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, {}, retries=0)
    assert [cluster.look("a"), cluster.look("b")] == ["a", "b"]
    assert len(cluster.actors) == 2
    cluster.workers.stop("a")
    assert cluster.loaded == ["b"]
    assert cluster.look("a") == "a"
    assert len(cluster.actors) == 3


def test_the_own_error_of_a_model_is_not_retried_and_stops_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = RayTaskError("look", "Traceback", ValueError("too long"))
    cluster = Cluster(monkeypatch, {"a": [error]}, retries=3)
    failure = cluster.look("a")
    assert isinstance(failure, TaskFailure)
    assert failure.cause == "ValueError: too long"
    assert cluster.loaded == ["b"]
    assert cluster.workers.kept == {"a", "b"}


@pytest.mark.parametrize("error", [no_memory(), ActorDiedError()])
def test_a_model_without_memory_gets_that_of_the_others(
    monkeypatch: pytest.MonkeyPatch, error: RayError
) -> None:
    cluster = Cluster(monkeypatch, {"a": [error]}, retries=0)
    assert cluster.look("a") == "a"
    assert cluster.loaded == ["a"]
    assert cluster.workers.kept == set(), "from now on, no model stays loaded"


def test_a_model_that_needs_more_than_all_memory_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, {"a": [no_memory(), no_memory(), no_memory()]}, retries=3)
    failure = cluster.look("a")
    assert isinstance(failure, TaskFailure)
    assert failure.cause == "RuntimeError: CUDA out of memory"
    assert cluster.loaded == []


def test_batches_are_halved_for_a_model_that_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, {"a": [no_memory(), no_memory()]}, retries=0)
    assert cluster.look("a") == "a"
    assert [actor.may_halve for actor in cluster.actors] == [False, False, False, True]


@pytest.mark.parametrize(("losses", "retries", "is_measured"), [(3, 2, True), (4, 2, False)])
def test_a_lost_actor_is_replaced_as_often_as_a_trial_would_be(
    monkeypatch: pytest.MonkeyPatch, losses: int, retries: int, is_measured: bool
) -> None:
    lost: list[RayError] = [ActorDiedError() for _ in range(losses)]
    cluster = Cluster(monkeypatch, {"a": lost}, retries)
    assert (cluster.look("a") == "a") == is_measured

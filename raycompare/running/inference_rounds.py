"""Loads each model in a separate process, and times the models in rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import ray
from ray.exceptions import RayError, RayTaskError

from raycompare.cluster.tasks import describe_failure
from raycompare.records.messages import TaskFailure
from raycompare.records.rows import ModelFacts
from raycompare.training.failures import is_out_of_memory
from raycompare.training.inference import Pace, Timing, Turn

ROUNDS, ROUNDS_WITH_LOADING = 10, 5
"""Number of rounds, if all models stay loaded, and if some are loaded for each round."""
SPARE = 2.0
"""A model stays loaded if this many more processes of its size would fit into memory."""


@dataclass(frozen=True, kw_only=True)
class FirstLook:
    """What is measured of a model when it is loaded for the first time."""

    facts: ModelFacts
    pace: Pace
    fitting: float
    """Number of further processes of this size that fit into the free memory."""


@dataclass(frozen=True, kw_only=True)
class TimedTurn:
    """A turn of a model in one round."""

    number: int
    """Number of the round, from 1."""
    place: int
    """Place in the order of the round, from 1."""
    timing: Timing
    loaded_for_round: bool


class Workers(Protocol):
    """Processes with a loaded model each, which are started when they are called."""

    kept: set[str]
    """Models that stay loaded between their turns."""

    def look(self, model: str) -> FirstLook | TaskFailure:
        """Measure everything that is needed before the first round."""

    def take_turn(self, model: str, turn: Turn) -> Timing | TaskFailure:
        """Time a model."""

    def stop(self, model: str) -> None:
        """Free the memory of a model."""


@dataclass
class InferenceRounds:
    """Times models in rounds, in which each has one turn, in random order.

    Whatever slows the machine down for a while then slows all models down.
    """

    workers: Workers
    seed: int
    looks: dict[str, FirstLook] = field(default_factory=dict)
    turns: dict[str, list[TimedTurn]] = field(default_factory=dict)
    failures: dict[str, TaskFailure] = field(default_factory=dict)

    def measure(self, models: Sequence[str]) -> None:
        """Time the models, of which the first should be the largest."""
        for model in models:
            self._load(model)
        all_fit = self.workers.kept >= self.looks.keys()
        rounds = ROUNDS if all_fit else ROUNDS_WITH_LOADING
        for number in range(1, rounds + 1):
            for place, model in enumerate(self._order(number), 1):
                self._take_turn(model, number, place, rounds)

    def _load(self, model: str) -> None:
        look = self.workers.look(model)
        if isinstance(look, TaskFailure):
            self.failures[model] = look
            return
        self.looks[model], self.turns[model] = look, []
        if look.fitting >= SPARE:
            self.workers.kept.add(model)
        else:
            self.workers.stop(model)

    def _order(self, number: int) -> list[str]:
        models = list(self.looks)
        order = np.random.default_rng([self.seed, number]).permutation(len(models))
        return [models[place] for place in order]

    def _take_turn(self, model: str, number: int, place: int, rounds: int) -> None:
        must_load = model not in self.workers.kept
        turn = Turn(number=number, rounds=rounds, pace=self.looks[model].pace)
        timing = self.workers.take_turn(model, turn)
        if isinstance(timing, TaskFailure):
            self.failures[model] = timing
            del self.looks[model], self.turns[model]
            return
        self.turns[model].append(
            TimedTurn(number=number, place=place, timing=timing, loaded_for_round=must_load)
        )
        if model not in self.workers.kept:
            self.workers.stop(model)


@dataclass
class RayWorkers:
    """Ray actors with a loaded model each.

    If memory runs out or an actor is lost, all actors are stopped, and the call is repeated; from
    then on models are loaded for each turn. A model's own error is not retried.
    """

    start: Callable[[str], Any]
    """Returns an actor with a model that is loaded; raises the error of an actor that fails."""
    retries: int
    """Maximum number of repetitions for an actor that is lost although no other is loaded."""
    kept: set[str] = field(default_factory=set)
    _actors: dict[str, Any] = field(default_factory=dict)

    def look(self, model: str) -> FirstLook | TaskFailure:
        """Measure everything that is needed before the first round.

        A batch that the memory is not enough for is halved, but only when no other model is loaded.
        """
        look: FirstLook | TaskFailure = self._call(model, "look", False)
        if isinstance(look, TaskFailure) and is_out_of_memory(RuntimeError(look.cause)):
            look = self._call(model, "look", True)
        return look

    def take_turn(self, model: str, turn: Turn) -> Timing | TaskFailure:
        """Time a model."""
        timing: Timing | TaskFailure = self._call(model, "take_turn", turn)
        return timing

    def stop(self, model: str) -> None:
        """Free the memory of a model."""
        actor = self._actors.pop(model, None)
        if actor is not None:
            ray.kill(actor)

    def stop_all(self) -> None:
        """Free the memory of all models."""
        for model in list(self._actors):
            self.stop(model)

    def _call(self, model: str, method: str, *arguments: object) -> Any:
        retries = self.retries
        while True:
            try:
                if model not in self._actors:
                    self._actors[model] = self.start(model)
                return ray.get(getattr(self._actors[model], method).remote(*arguments))
            except RayError as error:
                others = bool(self._actors.keys() - {model})
                self.stop(model)
                if isinstance(error, RayTaskError):
                    may_pass = others and is_out_of_memory(error.cause)
                else:
                    may_pass = others or retries > 0
                if not may_pass:
                    return describe_failure(error)
                retries -= not others
                self.stop_all()
                self.kept.clear()

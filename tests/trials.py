"""Trials without Ray: a sink that keeps what it is told, and short forms."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from raycompare.records.messages import Evaluation, Message, TrialEnd, TrialFailure, TrialStart
from raycompare.training.task import TrialTask
from raycompare.training.trial import train_trial


@dataclass
class ListSink:
    messages: list[Message] = field(default_factory=list)
    tables: list[pa.Table] = field(default_factory=list)
    place: Path | None = None
    """Where checkpoints and weights are kept; nowhere if left out."""
    cut_after: int | None = None
    """The evaluation, from 0, at whose report the trial is ended from outside."""
    saved: int = 0

    def report(self, message: Message) -> None:
        self.messages.append(message)
        if isinstance(message, Evaluation) and len(self.evaluations) - 1 == self.cut_after:
            raise SystemExit  # as Tune ends a trial that it stops

    def save_predictions(self, table: pa.Table) -> None:
        self.tables.append(table)

    def save_weights(self, folder: Path) -> None:
        if self.place:
            shutil.copytree(folder, self.place / "kept-weights")

    def save_checkpoint(self, folder: Path) -> None:
        self.saved += 1
        if self.place:
            shutil.rmtree(self.place / "kept-checkpoint", ignore_errors=True)
            shutil.copytree(folder, self.place / "kept-checkpoint")

    def checkpoint(self, scratch: Path) -> Path | None:
        found = self.place / "kept-checkpoint" if self.place else None
        return found if found and found.exists() else None

    @property
    def start(self) -> TrialStart:
        first = self.messages[0]
        assert isinstance(first, TrialStart)
        return first

    @property
    def evaluations(self) -> list[Evaluation]:
        return [message for message in self.messages if isinstance(message, Evaluation)]

    @property
    def end(self) -> TrialEnd:
        last = self.messages[-1]
        assert isinstance(last, TrialEnd), last
        return last

    @property
    def failure(self) -> TrialFailure:
        last = self.messages[-1]
        assert isinstance(last, TrialFailure), last
        return last


def with_arguments(task: TrialTask, **arguments: Any) -> TrialTask:
    return replace(task, arguments={**task.arguments, **arguments})


def trained(task: TrialTask) -> ListSink:
    sink = ListSink()
    train_trial(task, sink)
    return sink


def cut_off(task: TrialTask, place: Path, after: int) -> ListSink:
    """Train until the trial is ended from outside at its evaluation number `after`."""
    sink = ListSink(place=place, cut_after=after)
    try:
        train_trial(task, sink)
    except SystemExit:
        return sink
    raise AssertionError(f"the trial was not cut off: {sink.messages[-1]}")


def gone_on(task: TrialTask, place: Path) -> ListSink:
    """Go on with a trial from the checkpoint that is there."""
    sink = ListSink(place=place)
    train_trial(task, sink)
    return sink

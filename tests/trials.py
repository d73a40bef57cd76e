"""Trials without Ray: a sink that keeps what it is told, and short forms."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from raycompare.record import Evaluation, Message, TrialEnd
from raycompare.task import TrialTask
from raycompare.trial import train_trial


@dataclass
class ListSink:
    messages: list[Message] = field(default_factory=list)
    tables: list[pa.Table] = field(default_factory=list)

    def report(self, message: Message) -> None:
        self.messages.append(message)

    def save_predictions(self, table: pa.Table) -> None:
        self.tables.append(table)

    @property
    def evaluations(self) -> list[Evaluation]:
        return [message for message in self.messages if isinstance(message, Evaluation)]

    @property
    def end(self) -> TrialEnd:
        last = self.messages[-1]
        assert isinstance(last, TrialEnd)
        return last


def with_arguments(task: TrialTask, **arguments: Any) -> TrialTask:
    return replace(task, arguments={**task.arguments, **arguments})


def trained(task: TrialTask) -> ListSink:
    sink = ListSink()
    train_trial(task, sink)
    return sink

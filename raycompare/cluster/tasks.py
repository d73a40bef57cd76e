"""Runs a function in a Ray worker that exits afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError
from rich.text import Text

from raycompare.errors import summarize
from raycompare.experiment.spec import ResourceSpec
from raycompare.records.messages import TaskFailure

T = TypeVar("T")
SMALL_PART = 0.001
"""Part of a node's resource for its kind of GPU, of which each node has 1; Ray's own convention."""


@dataclass(frozen=True)
class Pending(Generic[T]):
    """A call that is running in a worker or waiting for one."""

    ref: ray.ObjectRef[T]

    def result(self) -> T | TaskFailure:
        """Wait for the value; return a description of the error if the call or its worker fails."""
        try:
            value: T = ray.get(self.ref)
        except RayError as error:
            return describe_failure(error)
        return value


def run_alone(
    function: Callable[..., T],
    *arguments: Any,
    resources: ResourceSpec,
    retries: int,
    accelerator: str | None = None,
) -> Pending[T]:
    """Call the function in a process that exits afterwards and so frees all its memory.

    Object references among the arguments are resolved to their values. A lost worker is replaced up
    to `retries` times. `accelerator` is a kind of GPU, from `accelerators`, to run on.
    """
    remote = ray.remote(
        num_cpus=resources.cpu,
        num_gpus=resources.gpus,
        max_calls=1,
        max_retries=retries,
        resources={accelerator: SMALL_PART} if accelerator else {},
    )(function)
    return Pending(remote.remote(*arguments))


def describe_failure(error: Exception) -> TaskFailure:
    """Describe a Ray error: the exception raised in the worker, if any, and the traceback."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    return TaskFailure(cause=summarize(cause), error=Text.from_ansi(str(error)).plain)

"""What `raycompare serve` checks before it starts, and how it waits for its replicas."""

from __future__ import annotations

import errno
import json
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any

import ray

from raycompare.cluster.machines import Node, list_resources
from raycompare.errors import RaycompareError, RunError, UserError, summarize

START_SECONDS = 900.0
"""Maximum time until all replicas are ready."""
NEWS_SECONDS, POLL_SECONDS = 10.0, 0.5
_CAUSE = "cause of the failed start: "
_TOLD = re.compile(re.escape(_CAUSE) + r"(\{.*\})")


def require_port(host: str, port: int) -> None:
    """Check that the server can listen on a host and port.

    Raises:
        UserError: the port is in use, or the address does not belong to this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            where = "--port" if taken else "--host"
            why = (
                "which is in use by another program" if taken else f"which fails: {error.strerror}"
            )
            raise UserError(
                f"{where}: found {bracket(host)}:{port}, {why}. Allowed: a free port and an "
                "address of this machine, such as 127.0.0.1."
            ) from error


def bracket(host: str) -> str:
    """Return a host as in a URL, which has IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host


def require_room(replicas: int, nodes: Sequence[Node]) -> None:
    """Check that each replica gets a CPU, and a GPU if there are any.

    Raises:
        UserError: there are too few.
    """
    room = sum(node.holds(1, 1 if _has_gpus(nodes) else 0) for node in nodes)
    if replicas > room:
        each = "a CPU and a GPU" if _has_gpus(nodes) else "a CPU"
        raise UserError(
            f"--replicas: found {replicas}, allowed at most {room}: each replica takes {each}, "
            f"and there are {list_resources(nodes)}."
        )


def _has_gpus(nodes: Sequence[Node]) -> bool:
    return any(node.gpus for node in nodes)


@contextmanager
def telling_cause() -> Iterator[None]:
    """Raise errors of a replica's start so that `await_replicas` can read them in Serve's status.

    Serve passes on the text of a traceback only.
    """
    try:
        yield
    except Exception as error:
        is_plain = isinstance(error, RaycompareError)
        cause = {"user": isinstance(error, UserError), "text": str(error)}
        if not is_plain:
            cause["text"] = summarize(error)
        raise RuntimeError(_CAUSE + json.dumps(cause)) from error


def await_replicas(status: Callable[[], Any], replicas: int, say: Callable[[str], None]) -> None:
    """Wait until an application of Serve runs, and say every now and then what it waits for.

    `status` returns its `ray.serve.schema.ApplicationStatusOverview`.

    Raises:
        UserError: the model can't be loaded.
        RunError: a replica failed for another reason, or they are not ready in `START_SECONDS`.
    """
    until, next_news = monotonic() + START_SECONDS, monotonic() + NEWS_SECONDS
    while True:
        application = status()
        (deployment,) = application.deployments.values()
        ready = deployment.replica_states.get("RUNNING", 0)
        if application.status == "RUNNING":
            return
        if application.status in ("DEPLOY_FAILED", "UNHEALTHY"):
            raise _failure(deployment.message or application.message)
        news = f"{ready} of {replicas} replicas ready; {_waited_for(deployment.replica_states)}"
        if monotonic() > until:
            raise RunError(f"{news}. Stopped after {START_SECONDS:g} s.")
        if monotonic() > next_news:
            say(news)
            next_news = monotonic() + NEWS_SECONDS
        sleep(POLL_SECONDS)


def _waited_for(states: Mapping[str, int]) -> str:
    """Return what replicas that are not ready wait for."""
    free = ray.available_resources()
    kind = "GPU" if ray.cluster_resources().get("GPU") else "CPU"
    if states.get("STARTING", 0) and free.get(kind, 0) < 1:
        return f"waiting for a free {kind}, or for the model to be loaded"
    return "waiting for the model to be loaded"


def _failure(message: str) -> RaycompareError:
    """Return the error that `telling_cause` has put into Serve's message."""
    match = _TOLD.search(message)
    if match is None:
        last = next((line for line in reversed(message.splitlines()) if line.strip()), "no reason")
        return RunError(f"the server did not start: {last.strip()}")
    cause = json.loads(match[1])
    return UserError(cause["text"]) if cause["user"] else RunError(cause["text"])

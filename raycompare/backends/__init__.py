"""Where Ray runs. Nothing outside this package knows whether that is a laptop or a cluster."""

from __future__ import annotations

import logging
import math
import os
import platform
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psutil

from raycompare.spec import ResourceSpec

ROUNDING = 1e-9
"""So that ten trials of a tenth of a card fit on it."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """One machine of the cluster."""

    hostname: str
    cpus: float
    gpus: float
    memory_bytes: int
    cpu_model: str | None = None

    def fits(self, resources: ResourceSpec) -> bool:
        """Say whether one trial fits on the machine when nothing else runs there."""
        return resources.cpu <= self.cpus and resources.gpus <= self.gpus

    def holds(self, cpu: float, gpu: float) -> int:
        """Return how many trials of so many CPUs and GPUs fit on the machine together."""
        by_gpu = self.gpus / gpu if gpu else math.inf
        return int(min(self.cpus / cpu, by_gpu) + ROUNDING)


KEPT_BYTES = str(2**32)
ALLOCATOR = {
    # glibc gives memory of this size back to the system when it is freed, and a CPU then spends a
    # good part of each training step on getting it again, page by page.
    "MALLOC_MMAP_THRESHOLD_": KEPT_BYTES,
    "MALLOC_TRIM_THRESHOLD_": KEPT_BYTES,
    "MALLOC_TOP_PAD_": str(2**26),
}

WORKER_ENVIRONMENT = {
    **ALLOCATOR,
    # A reused worker that takes longer than this to unwind a stopped trial hangs the whole run;
    # the default is 2 s.
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "120",
    # Texts are tokenised before the trials; forked tokenizers only warn.
    "TOKENIZERS_PARALLELISM": "false",
}


def is_remote() -> bool:
    """Say whether the run joins a cluster, so that this machine's resources say nothing.

    RAY_ADDRESS names it; without that it is the one that `ray start` has left here.
    """
    address = os.environ.get("RAY_ADDRESS")
    return address != "local" if address else _is_started_here()


def _is_started_here() -> bool:
    from ray._private.utils import read_ray_address

    return read_ray_address() is not None


def this_machine() -> Node:
    """Describe the machine this process runs on; GPUs as CUDA sees them."""
    import torch

    return Node(
        hostname=socket.gethostname(),
        cpus=float(psutil.cpu_count() or 1),
        gpus=float(torch.cuda.device_count()),
        memory_bytes=psutil.virtual_memory().total,
        cpu_model=_cpu_model(),
    )


def _cpu_model() -> str | None:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        return next(names, None)
    return platform.processor() or None


@contextmanager
def connected(wait_nodes: int = 1, say: Callable[[str], None] = print) -> Iterator[Sequence[Node]]:
    """Connect to the cluster at RAY_ADDRESS or the one `ray start` left here, or start Ray here.

    A Ray started here asks for a token at every port, as Ray does by default since 2.59; the
    dashboard takes the one that `ray get-auth-token` prints.

    Yields the machines there are, once there are `wait_nodes`. SIGTERM ends the run as Ctrl-C
    does, so that it can be resumed.

    Raises:
        RunError: machines that were waited for have not come.
    """
    import ray

    from raycompare.backends.cluster import wait_for_nodes

    ray.init(
        logging_level=logging.ERROR,
        log_to_driver=False,
        runtime_env={"env_vars": WORKER_ENVIRONMENT},
    )
    # ray.init installs a handler of its own, which aborts the driver.
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        wait_for_nodes(wait_nodes, say)
        yield _nodes()
    finally:
        signal.signal(signal.SIGTERM, previous)
        ray.shutdown()


def _nodes() -> list[Node]:
    import ray

    return [_node(described) for described in ray.nodes() if described["Alive"]]


def with_joined(nodes: Sequence[Node]) -> list[Node]:
    """Return the machines there were, and those that have joined the cluster since."""
    known = {node.hostname for node in nodes}
    return [*nodes, *(node for node in _nodes() if node.hostname not in known)]


def trial_machines() -> int:
    """Count the machines of the cluster that can hold trials now."""
    import ray

    return sum(bool(node["Alive"] and node["Resources"].get("CPU")) for node in ray.nodes())


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Do what Ctrl-C does now: Tune has a handler of its own; a background job ignores SIGINT."""
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):
        raise KeyboardInterrupt
    handler(signal.SIGINT, frame)


def _node(described: dict[str, object]) -> Node:
    resources = described["Resources"]
    assert isinstance(resources, dict)
    hostname = str(described["NodeManagerHostname"])
    here = hostname == socket.gethostname()
    return Node(
        hostname=hostname,
        cpus=float(resources.get("CPU", 0)),
        gpus=float(resources.get("GPU", 0)),
        memory_bytes=int(psutil.virtual_memory().total if here else resources.get("memory", 0)),
        cpu_model=_cpu_model() if here else None,
    )

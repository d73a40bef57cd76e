"""Connects to a Ray cluster, or starts Ray on this machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

from raycompare.cluster.machines import Node
from raycompare.cluster.nodes import _nodes
from raycompare.cluster.ports import keep_token_private, only_loopback
from raycompare.cluster.stopping import interrupt_on_signals

KEPT_BYTES = str(2**32)
ALLOCATOR = {
    # By default glibc returns large freed blocks to the system, and a CPU then spends much of each
    # training step on page faults to get them back.
    "MALLOC_MMAP_THRESHOLD_": KEPT_BYTES,
    "MALLOC_TRIM_THRESHOLD_": KEPT_BYTES,
    "MALLOC_TOP_PAD_": str(2**26),
}

WORKER_ENVIRONMENT = {
    **ALLOCATOR,
    # A reused worker that takes longer than this to unwind a stopped trial hangs the whole run;
    # the default is 2 s.
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "120",
    # Otherwise a task that requests no GPU sees all of them.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    # Texts are tokenised before the trials; forked tokenizers only warn.
    "TOKENIZERS_PARALLELISM": "false",
}


def is_remote() -> bool:
    """Return whether the run joins a cluster: at RAY_ADDRESS, or started here by `ray start`."""
    address = os.environ.get("RAY_ADDRESS")
    return address != "local" if address else _is_started_here()


def _is_started_here() -> bool:
    from ray._private.utils import read_ray_address

    return read_ray_address() is not None


@contextmanager
def connect(wait_nodes: int = 1, say: Callable[[str], None] = print) -> Iterator[Sequence[Node]]:
    """Connect to a cluster (see `is_remote`), or start Ray on this machine.

    If Ray is started here, it listens on the loopback interface only. Every port but those for
    metrics requires a token, the default since Ray 2.59; for the dashboard, `ray get-auth-token`
    prints it.

    Yields the machines of the cluster once at least `wait_nodes` have joined. SIGTERM and
    SIGHUP end the run as Ctrl-C does, so that it can be resumed.

    Raises:
        RunError: fewer than `wait_nodes` machines have joined in time.
    """
    import ray

    from raycompare.cluster.nodes import wait_for_nodes

    is_here = not is_remote()
    keep_token_private(create=is_here)
    with only_loopback() if is_here else nullcontext():
        ray.init(
            logging_level=logging.ERROR,
            log_to_driver=False,
            runtime_env={"env_vars": WORKER_ENVIRONMENT},
        )
        # ray.init installs a handler that aborts the driver.
        undo = interrupt_on_signals()
        try:
            wait_for_nodes(wait_nodes, say)
            yield _nodes()
        finally:
            undo()
            ray.shutdown()

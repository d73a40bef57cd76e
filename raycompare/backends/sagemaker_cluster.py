"""Whether the instances of a training job have found each other."""

from __future__ import annotations

import logging
import socket
from collections.abc import Collection, Sequence
from time import monotonic, sleep

from raycompare.errors import RunError


def await_instances(hosts: Sequence[str], seconds: float) -> None:
    """Wait until every instance is a node of the cluster at RAY_ADDRESS.

    Raises:
        RunError: some are not after `seconds`; the message names them.
    """
    import ray

    ray.init(logging_level=logging.ERROR, log_to_driver=False)
    try:
        until = monotonic() + seconds
        while missing := missing_of(hosts, _addresses()):
            if monotonic() > until:
                raise RunError(not_joined(hosts, missing, seconds))
            sleep(1)
    finally:
        ray.shutdown()


def _addresses() -> set[str]:
    import ray

    return {str(node["NodeManagerAddress"]) for node in ray.nodes() if node["Alive"]}


def missing_of(hosts: Sequence[str], joined: Collection[str]) -> list[str]:
    """Return the instances whose address is none of those that have joined."""
    return [host for host in hosts if _address(host) not in joined]


def _address(host: str) -> str | None:
    try:
        return socket.gethostbyname(host)
    except OSError:
        return None


def not_joined(hosts: Sequence[str], missing: Sequence[str], seconds: float) -> str:
    """Say which instances have not joined, and what may be the cause."""
    return (
        f"{len(hosts) - len(missing)} of {len(hosts)} instances have joined within {seconds:g} s; "
        f"{', '.join(missing)} did not. The log streams of these instances say more; in a VPC the "
        "security group must let its members reach each other at all ports."
    )

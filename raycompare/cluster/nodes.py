"""The machines of a Ray cluster, and those that its autoscaler can start."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Generic, TypeVar

import psutil

from raycompare.cluster.machines import Node, _cpu_model
from raycompare.errors import RunError

WAIT_S = 900.0
"""Time for machines to boot, install torch and join, in seconds."""
ANSWER_S = 60.0
"""Time for a machine to start a Ray worker and answer, in seconds."""
LAUNCHER_CONFIG = Path("~/ray_bootstrap_config.yaml")
"""Cluster file that `ray up` writes on the head as JSON, with the node types filled in."""
ACCELERATOR = "accelerator_type:"
"""Start of the resource that a node with GPUs has for their kind, such as accelerator_type:A100."""
HEAD = "node:__internal_head__"
"""A resource that only the head node has."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class NodeType:
    """A type of machine that the autoscaler can start."""

    name: str
    most: int
    resources: Mapping[str, float]
    """Resources from the cluster file or the cloud; empty if unknown until a machine joins."""

    def as_node(self) -> Node:
        """Return the machine that would join, named after its type."""
        return Node(
            hostname=f"{self.name} (can be started)",
            cpus=self.resources.get("CPU", 0.0),
            gpus=self.resources.get("GPU", 0.0),
            memory_bytes=int(self.resources.get("memory", 0)),
        )


@dataclass(frozen=True)
class NodeResult(Generic[T]):
    """Value returned by a machine, or the reason why it returned none."""

    hostname: str
    value: T | None = None
    failure: str | None = None


def wait_for_nodes(wanted: int, say: Callable[[str], None], seconds: float = WAIT_S) -> None:
    """Wait until the cluster has this many nodes, including the head.

    Raises:
        RunError: nodes are missing after `seconds`.
    """
    import ray

    until, number = monotonic() + seconds, 0
    while (hosts := _hostnames(ray.nodes())) and len(hosts) < wanted:
        if len(hosts) != number:
            number = len(hosts)
            say(f"waiting for {wanted} machines; {number} have joined: {', '.join(hosts)}")
        if monotonic() > until:
            raise RunError(
                f"{number} of {wanted} machines joined within {seconds:g} s: {', '.join(hosts)}. "
                "`ray monitor CLUSTER.yaml` shows the state of the others. --wait-nodes includes "
                "the head, but not machines that are started on demand."
            )
        sleep(1)


def accelerators() -> list[str]:
    """Return the resources that Ray names the kinds of GPU of this cluster by, sorted."""
    import ray

    names = {str(name) for node in ray.nodes() if node["Alive"] for name in node["Resources"]}
    return sorted(name for name in names if name.startswith(ACCELERATOR))


def _hostnames(nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted(str(node["NodeManagerHostname"]) for node in nodes if node["Alive"])


def on_each_node(ask: Callable[[str], T], seconds: float = ANSWER_S) -> list[NodeResult[T]]:
    """Call a function with the Ray node id on every other machine, even if its CPUs are busy."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def answer(node_id: str) -> T:
        return ask(node_id)

    here = ray.get_runtime_context().get_node_id()
    remote = ray.remote(num_cpus=0, max_retries=0)(answer)
    pending = {
        str(node["NodeManagerHostname"]): remote.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(node["NodeID"])
        for node in ray.nodes()
        if node["Alive"] and node["NodeID"] != here
    }
    until = monotonic() + seconds
    refs = sorted(pending.items())
    return [_await_answer(name, ref, max(until - monotonic(), 0)) for name, ref in refs]


def _await_answer(hostname: str, ref: Any, seconds: float) -> NodeResult[T]:
    import ray
    from ray.exceptions import GetTimeoutError, RayError

    try:
        return NodeResult(hostname, value=ray.get(ref, timeout=seconds))
    except GetTimeoutError:
        return NodeResult(hostname, failure=f"no answer within {ANSWER_S:g} s")
    except RayError as error:
        return NodeResult(hostname, failure=str(error).strip().splitlines()[-1])


def startable() -> tuple[NodeType, ...] | None:
    """Return the node types that the autoscaler can start; None if they are unknown.

    `ray up` leaves them in a file on the head, KubeRay in the GCS. Ray's private state module is
    the only access to the GCS (`ray.data` and `ray.train` use it too).
    """
    import ray
    from ray._private.state import state

    cluster = state.get_cluster_config()
    if cluster is not None:
        return tuple(
            NodeType(name=group.name, most=group.max_count, resources=dict(group.resources))
            for group in cluster.node_group_configs
        )
    read = ray.remote(num_cpus=0, resources={HEAD: 0.001})(_launcher_config)
    config = ray.get(read.remote(), timeout=ANSWER_S)
    return None if config is None else node_types(config)


def _launcher_config() -> dict[str, Any] | None:
    path = LAUNCHER_CONFIG.expanduser()
    return dict(json.loads(path.read_text())) if path.exists() else None


def node_types(config: Mapping[str, Any]) -> tuple[NodeType, ...]:
    """Read the worker types from the cluster file that `ray up` leaves on the head."""
    return tuple(
        NodeType(name=name, most=most, resources=entry.get("resources", {}))
        for name, entry in config["available_node_types"].items()
        if (most := entry.get("max_workers", 0))
    )


def _nodes() -> list[Node]:
    import ray

    return [_read_node(entry) for entry in ray.nodes() if entry["Alive"]]


def with_joined(nodes: Sequence[Node]) -> list[Node]:
    """Return `nodes` and the machines that have joined the cluster since."""
    hostnames = {node.hostname for node in nodes}
    return [*nodes, *(node for node in _nodes() if node.hostname not in hostnames)]


def trial_machines() -> int:
    """Count the running machines that have CPUs for trials."""
    import ray

    return sum(bool(node["Alive"] and node["Resources"].get("CPU")) for node in ray.nodes())


def _read_node(entry: dict[str, object]) -> Node:
    resources = entry["Resources"]
    assert isinstance(resources, dict)
    hostname = str(entry["NodeManagerHostname"])
    here = hostname == socket.gethostname()
    return Node(
        hostname=hostname,
        cpus=float(resources.get("CPU", 0)),
        gpus=float(resources.get("GPU", 0)),
        memory_bytes=int(psutil.virtual_memory().total if here else resources.get("memory", 0)),
        cpu_model=_cpu_model() if here else None,
    )

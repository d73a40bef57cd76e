"""`python -m benchmarks.scale`: simulated trials on many small nodes on this machine."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated

import ray
import typer
from ray.cluster_utils import Cluster

from benchmarks.scale.measure import Measured, measure
from benchmarks.scale.report import page
from benchmarks.scale.simulated import Work

WORK = Work(seconds=30.0, evaluations=8, factor=60.0)
TRIALS, TRIALS_OF_A_NODE = 1000, 125
"""Maximum number of trials; few nodes get fewer, or they would take the longest."""
NODES, QUICK_NODES = (1, 2, 4, 8, 16), (1, 2)
QUICK_TRIALS = 40
OBJECT_STORE_BYTES = 80 * 2**20
"""Size of each node's object store; Ray accepts no less than 75 MiB."""


@contextmanager
def growing_cluster() -> Iterator[Cluster]:
    """Connect to a cluster of one node that holds one trial; more can be added."""
    head = {"num_cpus": 1, "object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def grow(cluster: Cluster, nodes: int) -> None:
    """Add nodes until there are this many."""
    while len(cluster.list_all_nodes()) < nodes:
        cluster.add_node(num_cpus=1, object_store_memory=OBJECT_STORE_BYTES)
    cluster.wait_for_nodes()


def main(
    quick: Annotated[bool, typer.Option(help="A smoke run: few nodes, few trials.")] = False,
) -> None:
    """Measure each size of cluster, then one evaluation a trial at the last; write the page."""
    sizes = QUICK_NODES if quick else NODES
    most, of_a_node = (QUICK_TRIALS, QUICK_TRIALS // 2) if quick else (TRIALS, TRIALS_OF_A_NODE)
    stages: list[Measured] = []
    with growing_cluster() as cluster:
        for nodes in sizes:
            grow(cluster, nodes)
            stages.append(measure(nodes, min(of_a_node * nodes, most), WORK))
        whole = measure(sizes[-1], most, replace(WORK, evaluations=1))
    page(stages, whole, quick).write()


if __name__ == "__main__":
    typer.run(main)

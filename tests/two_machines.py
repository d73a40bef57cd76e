"""A cluster of a head without CPUs and two nodes of one CPU each, all on this machine.

A process of its own, since Ray leaves sockets open. Prints the address; each line that it reads
kills or adds a node; it ends with its input.
"""

from __future__ import annotations

import sys

from ray.cluster_utils import Cluster

OBJECT_STORE_BYTES = 100 * 2**20

if __name__ == "__main__":
    memory = {"object_store_memory": OBJECT_STORE_BYTES}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **memory})
    nodes = [cluster.add_node(num_cpus=1, **memory) for _ in range(2)]
    cluster.wait_for_nodes()
    print(f"address {cluster.address}", flush=True)  # noqa: T201
    for line in sys.stdin:
        if line.startswith("kill"):
            cluster.remove_node(nodes.pop(0), allow_graceful=False)
        else:
            nodes.append(cluster.add_node(num_cpus=1, **memory))
    cluster.shutdown()

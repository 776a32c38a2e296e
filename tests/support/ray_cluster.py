"""Ray clusters of several nodes on this machine, on loopback only."""

import os
from contextlib import contextmanager, suppress

import psutil

HERE = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "a" * 64,
}
NODE = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 80 << 20}


@contextmanager
def cluster_of(num_nodes):
    """Yield a cluster of nodes with one CPU each; the head has none."""
    before = {name: os.environ.get(name) for name in HERE}
    os.environ.update(HERE)
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0})
    try:
        cluster.others = [add_node(cluster) for _ in range(num_nodes)]
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def add_node(cluster, **more):
    return cluster.add_node(**NODE | more)


def listening():
    """Return the addresses at which our descendants listen."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            for connection in process.net_connections("inet"):
                if connection.status == psutil.CONN_LISTEN:
                    found.add(connection.laddr.ip.removeprefix("::ffff:"))
    return found

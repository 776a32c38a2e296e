"""Run every fault on a Ray cluster several times, and count lost, doubled and wrongly blamed rows.

    python tests/ray_matrix.py --runs 5

The cluster has a head and two nodes with a CPU each, on loopback; the engines are scripted. Exit
code 1 if any row was lost, doubled or blamed wrongly.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "support")]

from ray_cluster import add_node, cluster_of  # noqa: E402
from ray_faults import Run, drain_a_node, kill_actor, remove_a_node  # noqa: E402

from rollout.errors import EngineError  # noqa: E402


def stories(cluster: object, number: int) -> Iterator[tuple[str, Callable[[Path], Run], list[int]]]:
    """Yield a name, how to run it, and the rows to be blamed."""
    address = cluster.address

    def drained(directory: Path) -> Run:
        run = Run(address, directory, fault=drain_a_node(cluster), count=600)
        gone = next(node for node in cluster.others if node.node_id == run.drained)
        cluster.others.remove(gone)
        cluster.remove_node(gone)
        cluster.others.append(add_node(cluster))
        return run

    poison = [(37 * number) % 300]
    yield "actor killed", lambda d: Run(address, d, fault=kill_actor), []
    yield "engine dies", lambda d: Run(address, d, die_after_steps=150), []
    yield "node removed and added", lambda d: Run(address, d, fault=remove_a_node(cluster)), []
    yield "node drained", drained, []
    yield "poison row, 1 replica", lambda d: Run(address, d, num_replicas=1, poison=poison), poison
    yield "poison row, 2 replicas", lambda d: Run(address, d, poison=poison), poison


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default="", help="faults whose name contains this")
    wanted = parser.parse_args()
    bad = 0
    print(f"{'fault':<24} runs deaths  lost  doubled  wrongly blamed  seconds")
    with cluster_of(2) as cluster, tempfile.TemporaryDirectory() as directory:
        names = [name for name, _, _ in stories(cluster, 0) if wanted.only in name]
        for name in names:
            deaths = lost = doubled = wrong = 0
            began = time.monotonic()
            for number in range(wanted.runs):
                found = {n: (run, blamed) for n, run, blamed in stories(cluster, number)}
                start, blamed = found[name]
                try:
                    run = start(Path(directory))
                except EngineError as error:
                    print(f"{name}: {error}")
                    bad += 1
                    continue
                deaths += len(run.deaths)
                lost += len(run.lost)
                doubled += len(run.doubled)
                wrong += run.failed != blamed
            bad += lost + doubled + wrong
            seconds = time.monotonic() - began
            counts = f"{wanted.runs:>4} {deaths:>6} {lost:>5} {doubled:>8} {wrong:>15}"
            print(f"{name:<24} {counts} {seconds:>8.0f}", flush=True)
    sys.exit(int(bool(bad)))


if __name__ == "__main__":
    main()

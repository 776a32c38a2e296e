"""The Ray cluster: connect to it or start one here, its nodes, and what they have.

A cluster started here listens on loopback only, with Ray's token authentication, and ends with this
process.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from rollout.config.sections.scale import ScaleOut
from rollout.engines.placement import Bundle, room_in
from rollout.engines.ray.ask import ask, knock
from rollout.errors import EngineError, UserError
from rollout.system import machine
from rollout.system.machine import Machine

END_S = 2.0  # for the processes of a cluster to end
SILENT_S = 30.0
NODES_S = 2.0  # between two looks at the nodes
ON_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # else it takes the machine's own address
HERE = {  # for a cluster on this machine
    **ON_LOOPBACK,
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
}
LOOPBACK = ("127.", "localhost:", "[::1]")
STORE_BYTES = 1 << 30  # of shared memory, for reports above 100 KB


class Cluster:
    """A connection to a Ray cluster. The caller closes it."""

    def __init__(self, scale: ScaleOut):
        self.address = address_of(scale)
        self.name = f"the Ray cluster at {self.address}" if self.address else "Ray on this machine"
        self._is_closed = threading.Event()
        self._before = processes_of_ray()  # of another cluster
        self.is_lost = False
        try:
            self.ray = connect(scale, self.address, self._is_closed)
        except BaseException:
            self.close()
            raise
        self._nodes: dict[str, dict[str, Any]] = {}
        self._looked_at = float("-inf")
        self._head = self.ray.get_runtime_context().gcs_address
        self._silent_since: float | None = None
        self.draining: set[str] = set()  # nodes that will soon be taken away, as of the last look

    def __str__(self) -> str:
        count = len(self.nodes())
        return f"{self.name}, {count} node{'s' * (count != 1)}"

    def nodes(self, now: bool = False) -> dict[str, dict[str, float]]:
        """Return what each node that is alive has in all, by its id; read again every NODES_S."""
        at = time.monotonic()
        if (now or at - self._looked_at >= NODES_S) and self._answers(at):
            self._looked_at = at
            alive = {node["NodeID"]: node for node in self.ray.nodes() if node["Alive"]}
            self._nodes = {name: node["Resources"] for name, node in alive.items()}
            # Spot instances that got their notice, for example; Ray has no public name for it.
            self.draining = set(self.ray._private.state.state.get_draining_nodes())
        return self._nodes

    def _answers(self, at: float) -> bool:
        """Whether the head is there. Raises EngineError if it has not been for SILENT_S.

        Ray would end this process in C++ after a minute, without a word on how to resume.
        """
        try:
            knock(self._head)
            self._silent_since = None
        except OSError as error:
            self._silent_since = self._silent_since or at
            if at - self._silent_since > SILENT_S:
                self.is_lost = True
                raise EngineError(
                    f"the head of {self.name} has not answered for {SILENT_S:.0f} seconds ({error})"
                ) from error
        return self._silent_since is None

    def staying(self) -> list[dict[str, float]]:
        """Return what the nodes have that are not about to be taken away."""
        return [has for name, has in self.nodes().items() if name not in self.draining]

    @property
    def gpus_per_node(self) -> int:
        return int(max((has.get("GPU", 0) for has in self.nodes().values()), default=0))

    def room(self, bundles: list[Bundle]) -> int:
        """Return how many replicas of these bundles the nodes could hold if they were empty."""
        return room_in(self.staying(), bundles)

    def machine(self) -> Machine:
        """Return a node with the most GPUs as a machine, with the GPUs of all nodes like it.

        A task reads them there. Raises UserError if rollout can't be imported there.
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        most = self.gpus_per_node
        names = [name for name, has in self.nodes().items() if int(has.get("GPU", 0)) == most]
        there = NodeAffinitySchedulingStrategy(names[0], soft=False)
        look = self.ray.remote(machine.look).options(num_cpus=0, scheduling_strategy=there)
        try:
            found = self.ray.get(look.remote())
        except self.ray.exceptions.RayError as error:
            text = " ".join(str(error).split())
            raise UserError(
                f"{self}: a node could not be asked for its devices ({text[-200:]}); install "
                "rollout and vLLM on every node, in the versions that are here"
            ) from error
        return replace(found, gpus=found.gpus[:most] * len(names), num_nodes=len(names))

    def close(self) -> None:
        """Leave the cluster; one started here ends, with all its processes."""
        import psutil

        here = processes_of_ray() if self.address is None else []
        ours = [process for process in here if process not in self._before]
        if (ray := sys.modules.get("ray")) and not self.is_lost:
            ray.shutdown()
        for process in ours:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(ours, timeout=END_S)
        self._is_closed.set()


def processes_of_ray() -> list[Any]:
    """Return the processes of a cluster that this process started, and their descendants."""
    import psutil

    found = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if any("/ray/" in word or word.startswith("ray::") for word in child.cmdline()):
                found += [child, *child.children(recursive=True)]
    return found


def address_of(scale: ScaleOut) -> str | None:
    """Return the cluster to connect to; None: one is started here.

    In a job of `ray job submit`, Ray names its cluster in the environment.
    """
    return scale.address or os.environ.get("RAY_ADDRESS") or None


def connect(scale: ScaleOut, address: str | None, until: threading.Event) -> Any:
    """Return Ray, connected to the cluster at `address`, or to one started here, `until` then.

    Raises UserError if that does not work.
    """
    if address and address.startswith("ray://"):
        raise UserError(
            f"scale.address={address} is a Ray client's; start rollout on a node of the cluster "
            "with scale.address=auto, or by ray job submit"
        )
    given: dict[str, Any] = {
        "address": "local",
        "num_cpus": len(os.sched_getaffinity(0)),
        "include_dashboard": scale.dashboard,
        "object_store_memory": STORE_BYTES,
        "_node_ip_address": "127.0.0.1",
    }
    name = "scale.address" if scale.address else "RAY_ADDRESS"
    where = f"{name}={address}: no cluster answers" if address else "Ray did not start here"
    advice = "type the HOST:PORT that ray start --head printed" if address else "see /tmp/ray"
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        if address:
            address = ask(address)
            given = {"address": address}
        tell(HERE if address is None else ON_LOOPBACK if address.startswith(LOOPBACK) else {})
        import ray

        if not ray.is_initialized():
            quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
            in_thread(lambda: ray.init(**given, **quiet), until)
    except ImportError as error:
        raise UserError(
            f"scale=ray needs Ray ({error}); type pip install 'rollout[ray]'"
        ) from error
    except UserError:
        raise
    except Exception as error:  # Ray raises many kinds
        reason = " ".join(str(error).split())[:300]
        if "missing packages" in reason:
            advice = "type pip install 'ray[default]', or leave scale.dashboard out"
        if address and ("Auth" in reason or "token" in reason):
            raise UserError(
                f"{name}={address}: the cluster refuses our token; set RAY_AUTH_MODE=token and "
                "RAY_AUTH_TOKEN to the cluster's token"
            ) from error
        raise UserError(f"{where} ({reason}); {advice}") from error
    return ray


def tell(values: Mapping[str, str]) -> None:
    """Set environment variables that are not set. Raises UserError if Ray has read them before."""
    missing = {name: value for name, value in values.items() if name not in os.environ}
    if missing and sys.modules.get("ray"):
        raise UserError(
            "scale=ray has to start before an engine in this process, since vLLM imports Ray; run "
            "the points with scale=ray by a command of their own"
        )
    os.environ.update(missing)


def in_thread(start: Callable[[], Any], until: threading.Event) -> None:
    """Call `start` in a thread of its own, and keep our handler of SIGTERM.

    Ray installs its own: in Python, if called in the main thread, and in C++, which aborts. If a
    signal interrupts the wait, `start` is waited for all the same. The thread lives `until` the
    event is set: Linux kills the processes that Ray started with the thread that started them.
    """
    errors: list[BaseException] = []
    is_done = threading.Event()

    def work() -> None:
        try:
            start()
        except BaseException as error:
            errors.append(error)
        is_done.set()
        until.wait()

    threading.Thread(target=work, daemon=True, name="rollout-ray").start()
    try:
        while not is_done.wait(0.05):
            keep_our_handler()
    finally:
        is_done.wait()
        keep_our_handler()
    if errors:
        raise errors[0]


def keep_our_handler() -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))

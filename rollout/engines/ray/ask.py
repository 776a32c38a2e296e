"""Ask whether a Ray cluster answers, before this process connects to it.

In another process: Ray tries for minutes, in C++, where no signal interrupts it, and remembers from
its import whether an address on loopback stays as it is.
"""

import socket
import subprocess
import sys

ANSWER_S = 15.0
KNOCK_S = 5.0
CODE = "import sys; from rollout.engines.ray import ask; print(ask.in_child(sys.argv[1]))"


def ask(address: str) -> str:
    """Return the host and port of the cluster at `address`, which may be auto.

    Raises ConnectionError if none answers or it refuses our token, ImportError without Ray.
    """
    command = [sys.executable, "-c", CODE, address]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S)
    except subprocess.TimeoutExpired as error:
        raise ConnectionError("no answer") from error
    if done.returncode == 0:
        return done.stdout.split()[-1]
    said = done.stderr.strip().splitlines() or ["no answer"]
    if "No module named 'ray'" in said[-1]:
        raise ImportError(said[-1])
    named = [line for line in said if "Auth" in line or "token" in line]
    raise ConnectionError((named or said)[-1][:200])


def in_child(address: str) -> str:
    """As `ask`, in this process, which Ray may keep waiting. Raises what Ray raises."""
    import ray
    from ray._private.services import get_ray_address_from_environment

    found = get_ray_address_from_environment(address, None) if address == "auto" else address
    knock(found)
    ray._raylet.GcsClient(address=found).internal_kv_keys(b"", b"")
    return found


def knock(address: str) -> None:
    """Raise OSError if nothing listens at HOST:PORT, ValueError if it is no such thing."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()):
        raise ValueError(f"{address} is not HOST:PORT")
    socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_S).close()

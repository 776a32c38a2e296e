"""The exit status of an engine's core is known, whichever thread waited for its process first."""

import multiprocessing
import os
import queue
import signal
import time
from types import SimpleNamespace

import pytest

from rollout.engines.vllm.core_watch import CoreWatch


def watched(process):
    """Return a CoreWatch for one process, and the queue it writes to, as in vLLM's client."""
    outputs = queue.Queue()
    manager = SimpleNamespace(processes=[process])
    resources = SimpleNamespace(engine_manager=manager)
    return CoreWatch(SimpleNamespace(outputs_queue=outputs, resources=resources)), outputs


def sleeping():
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    process.start()
    return process


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_core_names_its_signal(number):
    process = sleeping()
    watch, outputs = watched(process)
    os.kill(process.pid, number)
    assert watch.exit_status() == -number
    assert f"was killed by signal {int(number)}" in str(outputs.get(timeout=5))
    process.join()


class WaitedFor:
    """A process that another thread has just waited for, and whose exit code is stored later."""

    pid = os.getpid()  # not a child of this process

    def __init__(self, *exit_codes):
        self._exit_codes = list(exit_codes)

    @property
    def exitcode(self):
        return self._exit_codes.pop(0) if len(self._exit_codes) > 1 else self._exit_codes[0]


def test_an_exit_code_that_is_stored_late_is_waited_for():
    watch, outputs = watched(WaitedFor(None, None, None, -9))
    assert watch.exit_status() == -9
    assert "was killed by signal 9" in str(outputs.get(timeout=5))


def test_an_exit_code_that_is_never_stored_is_unknown():
    watch, outputs = watched(WaitedFor(None))
    assert watch.exit_status() is None
    assert str(outputs.get(timeout=5)) == "its core's process ended"

"""Watch the process of an engine's core: notice that it died, and find out how.

Must not know about the engine, only processes and a queue.
"""

import os
import signal
import threading
import time
from typing import Any

from rollout.system.machine import num_oom_kills

EXIT_S = 2.0  # how long to wait for a dying core's exit status
POLL_S = 0.01


class CoreWatch:
    """Wakes `step` up when the core's process is killed; vLLM 0.32 would wait forever.

    vLLM's own monitor marks the client dead and ends the thread that fills the queue `step` waits
    on. Watches nothing if the core runs in this process.
    """

    def __init__(self, client: Any):
        self._outputs = getattr(client, "outputs_queue", None)
        manager = getattr(getattr(client, "resources", None), "engine_manager", None)
        self._processes = list(getattr(manager, "processes", ()))
        self._num_oom_kills = num_oom_kills()
        self._ended = threading.Event()
        self._exit_status: int | None = None
        if self._outputs is not None:
            for process in self._processes:
                threading.Thread(
                    target=self._watch, args=(process,), daemon=True, name="rollout-core-watch"
                ).start()

    def _watch(self, process: Any) -> None:
        try:  # WNOWAIT: leave the status for multiprocessing and vLLM
            ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            was_killed = ended.si_code in (os.CLD_KILLED, os.CLD_DUMPED)
            self._exit_status = -ended.si_status if was_killed else ended.si_status
        except ChildProcessError:  # vLLM's monitor was faster, and may not have stored it yet
            self._exit_status = _stored_exit_code(process)
        self._ended.set()
        status = self._exit_status
        how = f"was killed by signal {-status}" if status is not None and status < 0 else "ended"
        self._outputs.put(RuntimeError(f"its core's process {how}"))

    def exit_status(self) -> int | None:
        """Return the exit status of a dead core; None if unknown.

        Also -9 if the kernel's OOM killer ended any process meanwhile: a core does not report
        that of its workers.
        """
        if not self._processes:
            return None
        if num_oom_kills() > self._num_oom_kills:
            return -signal.SIGKILL
        self._ended.wait(EXIT_S)
        return self._exit_status


def _stored_exit_code(process: Any) -> int | None:
    """Return the exit code of a process that another thread has waited for; None if never stored.

    `multiprocessing` returns None between that thread's `waitpid` and storing the result.
    """
    end = time.monotonic() + EXIT_S / 2  # before exit_status gives up
    while process.exitcode is None and time.monotonic() < end:
        time.sleep(POLL_S)
    return process.exitcode

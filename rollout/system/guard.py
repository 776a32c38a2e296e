"""The guard: processes started under it do not outlive this process, even if it is killed.

vLLM's EngineCore and Workers survive the SIGKILL of their parent and keep its GPUs. So a small
watcher in a separate session lists our processes a few times a second. When the parent is gone, it
sends them SIGTERM, then SIGKILL after GRACE_S, and ends.

A process is ours if it is not older than the watcher and one of these holds, each of them exact:
its parent is the guarded process or one of ours; it holds the guard's pipe (after a fork: exec
closes it); it has the guard's token in its environment (after an exec). These two marks find
processes born between the last look and the parent's death. vLLM's children soon overwrite their
environment with a process title, so looks are needed as well. A process in the middle of exec shows
no mark, and is looked at again. Process groups, sessions and names are never used: neighbors in a
shell pipeline, and earlier processes of the host program, are not ours. Linux only; elsewhere there
is no watcher. Must not know about vLLM.

This file is also the watcher's program, run as `python -I -S guard.py`: standard library only.
"""

# pathlib would double the watcher's start-up time and the cost of a look.
# ruff: noqa: PTH115, PTH123, PTH208

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

TOKEN = "ROLLOUT_GUARD"
POLL_S = 0.25
MAX_POLL_S = 2.0
CPU_SHARE = 0.005  # of one core: the more a look costs, the rarer looks are
GRACE_S = 3.0
# multiprocessing's tracker ignores SIGTERM, and removes shared memory that dead processes left.
TRACKER, TRACKER_GRACE_S = b"multiprocessing.resource_tracker", 4.0
GIVE_UP_S = 15.0
PF_KTHREAD = 0x00200000  # of the flags in /proc/PID/stat (Linux, include/linux/sched.h)


# In the guarded process.


@contextmanager
def guard(note: Callable[[str], object] = lambda line: None) -> Iterator[None]:
    """End processes started in the block if this process dies in it; a normal end kills none.

    If no watcher can be started, `note` is called with the reason and the block runs unguarded.
    """
    watcher = None
    try:
        if sys.platform == "linux":
            watcher = Watcher()
    except OSError as error:
        note(f"no guard: if this process is killed, its engine keeps running ({error})")
    try:
        yield
    finally:
        if watcher:
            watcher.close()


class Watcher:
    """The watcher's process, and the two marks of our children."""

    def __init__(self) -> None:
        import subprocess

        self._owner = os.getpid()
        self._outer = os.environ.get(TOKEN)
        token = f"{self._owner}-{os.urandom(8).hex()}"
        # Nothing is ever written: any process that has this end open is a fork of this one.
        end, self._mark = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, str(self._owner), token],
                stdin=end,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        except BaseException:
            os.close(self._mark)
            raise
        finally:
            os.close(end)
        os.environ[TOKEN] = token

    def close(self) -> None:
        """End the watcher and wait for it. Does nothing in a forked child that leaves the block."""
        if os.getpid() != self._owner:
            return
        self._process.kill()
        if self._outer is None:
            os.environ.pop(TOKEN, None)
        else:
            os.environ[TOKEN] = self._outer
        os.close(self._mark)
        self._process.wait()


# In the watcher.


def watch(parent: int, token: str) -> None:
    """Keep a list of our processes while `parent` lives; end them when it is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    ours = Ours(parent, token)
    bell = select.poll()
    with suppress(AttributeError, OSError):  # before Linux 5.3: noticed at the next look
        bell.register(os.pidfd_open(parent), select.POLLIN)
    ours.look()
    pause = POLL_S
    while os.getppid() == parent:  # exact: the kernel reparents an orphan at once
        bell.poll(1000 * pause)
        before = time.process_time()
        ours.look()
        cost = time.process_time() - before
        pause = min(max(POLL_S, cost / CPU_SHARE), MAX_POLL_S)
    end(ours)


class Ours:
    """Our live processes, as of the last look."""

    def __init__(self, parent: int, token: str):
        born = stat(os.getpid())
        self._born = born[1] if born else 0
        self._parent = parent
        self._token = f"{TOKEN}={token}".encode()
        self._pipe = os.readlink("/proc/self/fd/0")
        self._strangers: set[int] = {os.getpid()}
        self.born: dict[int, int] = {}  # process id -> start time, which detects reused ids
        self.undecided: set[int] = set()  # processes without an environment yet

    def look(self) -> None:
        """Find new ones by their parent, while the guarded process lives."""
        new = self._new()
        if os.getppid() == self._parent:  # so its id was not reused in `new`
            self._adopt(new, {self._parent})

    def look_for_orphans(self) -> None:
        """Also find those that lost their parent before a look saw them."""
        new = self._new()
        found = {pid: self._is_marked(pid) for pid in new}
        marked = {pid for pid, is_ours in found.items() if is_ours}
        self._adopt(new, marked)
        self.born |= {pid: new[pid][1] for pid in marked}
        self.undecided = {pid for pid, is_ours in found.items() if is_ours is None} - set(self.born)
        self._strangers -= self.undecided

    def forget_strangers(self) -> None:
        self._strangers = {os.getpid()}

    def _new(self) -> dict[int, tuple[int, int]]:
        """Return the parent and start of each process not seen before; forget dead ones."""
        pids = {int(name) for name in os.listdir("/proc") if name.isdigit()}
        self.born = {pid: born for pid, born in self.born.items() if is_alive(pid, born)}
        found = {pid: stat(pid) for pid in pids - self._strangers - self.born.keys()}
        self._strangers = (self._strangers & pids) | found.keys()
        return {pid: seen for pid, seen in found.items() if seen and seen[1] >= self._born}

    def _adopt(self, new: dict[int, tuple[int, int]], parents: set[int]) -> None:
        parents = parents | self.born.keys()
        while kin := {pid for pid in new.keys() - parents if new[pid][0] in parents}:
            self.born |= {pid: new[pid][1] for pid in kin}
            self._strangers -= kin
            parents |= kin

    def _is_marked(self, pid: int) -> bool | None:
        """Whether it has one of our marks; None during an exec, when it has neither yet.

        It has lost the pipe by then and has no environment yet, while its parent runs on already.
        """
        # Descriptors first: a process that execs in between has lost the pipe but has the token.
        with suppress(OSError):
            for number in os.listdir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    if os.readlink(f"/proc/{pid}/fd/{number}") == self._pipe:
                        return True
            environment = read(f"/proc/{pid}/environ")
            if environment or is_of_the_kernel(pid):
                return self._token in environment.split(b"\0")
            return None
        return False


def end(ours: Ours) -> None:
    """Send SIGTERM, then SIGKILL, to all of ours, until two looks find none alive."""
    ours.forget_strangers()
    asked: set[tuple[int, int]] = set()
    began, num_quiet = time.monotonic(), 0
    while num_quiet < 2 and (elapsed := time.monotonic() - began) < GIVE_UP_S:
        ours.look_for_orphans()
        for pid, born in ours.born.items():
            if elapsed >= (TRACKER_GRACE_S if is_tracker(pid) else GRACE_S):
                send(pid, born, signal.SIGKILL)
            elif (pid, born) not in asked:
                asked.add((pid, born))
                send(pid, born, signal.SIGTERM)
        num_quiet = 0 if ours.born or ours.undecided else num_quiet + 1
        time.sleep(0.1)


def send(pid: int, born: int, number: int) -> None:
    if is_alive(pid, born):
        with suppress(OSError):
            os.kill(pid, number)


def is_alive(pid: int, born: int) -> bool:
    seen = stat(pid)
    return seen is not None and seen[1] == born


def is_tracker(pid: int) -> bool:
    with suppress(OSError):
        return TRACKER in read(f"/proc/{pid}/cmdline")
    return False


def is_of_the_kernel(pid: int) -> bool:
    """Whether it is a kernel thread, which never has an environment."""
    return bool(int(stat_words(pid)[6]) & PF_KTHREAD)


def stat_words(pid: int) -> list[bytes]:
    """Return the fields of /proc/PID/stat from the third on; the name before may hold anything."""
    return read(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def stat(pid: int) -> tuple[int, int] | None:
    """Return a running process's parent id and start (clock ticks since boot), or None."""
    try:
        words = stat_words(pid)
    except OSError:
        return None
    return None if words[0] in b"ZX" else (int(words[1]), int(words[19]))


def read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read()


if __name__ == "__main__":
    watch(int(sys.argv[1]), sys.argv[2])

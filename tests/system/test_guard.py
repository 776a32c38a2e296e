"""Processes started under the guard end with its process; others are left alone.

Every child here holds the guarded process's standard output, so that ends with the last of them.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest
from processes import ROOT, children_with, environment, start, wait_for
from tiny_model import words

from rollout.system import guard as guard_module
from rollout.system.guard import GRACE_S, TOKEN, guard

SOURCE = ROOT / "rollout/system/guard.py"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the guard reads /proc")

PRELUDE = """
import multiprocessing, os, signal, subprocess, sys, time
from multiprocessing.shared_memory import SharedMemory
from rollout.system.guard import guard

def say(word):
    os.write(1, f"{word}\\n".encode())  # at once: others write too

def live():
    say(os.getpid())
    time.sleep(60)

def forked(child):
    if os.fork() == 0:
        child()
        os._exit(0)

def executed(code="", **options):
    code += "\\nimport os, time; os.write(1, b'%d\\\\n' % os.getpid()); time.sleep(60)"
    return subprocess.Popen([sys.executable, "-c", code], start_new_session=True, **options)

def spawned(child):
    multiprocessing.get_context("spawn").Process(target=child).start()

def deaf():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    live()

def daemon():  # its parent ends: it is given another
    os.setsid()
    forked(live)

def family():
    executed()
    forked(live)
    live()

def holds_memory():
    memory = SharedMemory(create=True, size=1)
    say(memory.name)
    deaf()

def killed():
    os.kill(os.getpid(), signal.SIGKILL)
"""
TITLED = "executed('from setproctitle import setproctitle as to; to(99 * \"VLLM::EngineCore\")')"


class Guarded:
    """A process that runs `lines` under the guard, `first` before it and `last` after it."""

    def __init__(self, tmp_path, lines, first="", last="", **options):
        script = tmp_path / f"guarded_{time.monotonic_ns()}.py"
        block = "".join(f"    {x}\n" for x in (first, "with guard():", f"    {lines}", last))
        script.write_text(f"{PRELUDE}\nif __name__ == '__main__':\n{block}")
        command = [sys.executable, str(script)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=environment(), **options
        )

    def says(self, number):
        return [self.process.stdout.readline().strip() for _ in range(number)]

    def watcher(self):
        """Return the watcher after its first look; call it after the process has printed a line."""
        wait_for(lambda: [*children_with(str(SOURCE), self.process.pid)])
        watcher = next(iter(children_with(str(SOURCE), self.process.pid)))
        wait_for(lambda: "anon_inode:[pidfd]" in open_files(watcher.pid))
        time.sleep(0.6)
        return watcher

    def kill(self):
        """Send SIGKILL, and return the seconds until all of its processes are gone."""
        began = time.monotonic()
        self.process.kill()
        self.process.communicate(timeout=10)
        return time.monotonic() - began


@pytest.fixture
def guarded(tmp_path):
    """`guarded("forked(live)")`: a process that runs this under the guard and waits."""
    started = []

    def begin(lines, **options):
        started.append(Guarded(tmp_path, f"{lines}; time.sleep(60)", **options))
        return started[-1]

    yield begin
    for each in started:
        each.process.kill()
        each.process.wait()
        each.process.stdout.close()


def open_files(pid):
    """Return a process's open files, except those it is reading in /proc."""
    files = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            files.add(str(file.readlink()))
    return {file for file in files if not file.startswith("/proc")}


def is_alive(pid):
    try:
        return psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


CHILDREN = ["forked(live)", "executed()", "spawned(live)", "forked(daemon)", "forked(family)"]


@pytest.mark.parametrize("child", [*CHILDREN, TITLED])
def test_what_a_killed_process_has_started_ends_soon(guarded, child):
    parent = guarded(child)
    children = parent.says(3 if "family" in child else 1)
    watcher = parent.watcher()
    assert all(map(is_alive, children))
    assert parent.kill() < 2
    wait_for(lambda: not any(map(is_alive, [*children, watcher.pid])), timeout_s=2)


@pytest.mark.parametrize("child", CHILDREN)
def test_a_child_born_just_before_the_kill_ends_too(guarded, child):
    parent = guarded("time.sleep(0.7); " + child + "; killed()")
    parent.process.communicate(timeout=10)


@pytest.mark.parametrize("child", CHILDREN)
def test_a_process_killed_before_its_watcher_is_up_is_guarded(guarded, child):
    guarded(f"{child}; killed()").process.communicate(timeout=10)


def test_who_ignores_sigterm_is_killed_and_leaves_no_shared_memory(guarded):
    parent = guarded("spawned(holds_memory)")
    memory, _ = parent.says(2)
    parent.watcher()
    assert GRACE_S - 0.5 < parent.kill() < GRACE_S + 2
    assert not Path("/dev/shm", memory).exists()


def test_signals_do_not_end_the_watcher(guarded):
    parent = guarded("executed()")
    parent.says(1)
    watcher = parent.watcher()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        watcher.send_signal(number)
    time.sleep(0.2)
    assert parent.kill() < 2


def test_a_normal_end_kills_nothing_and_leaves_no_watcher(tmp_path):
    parent = Guarded(tmp_path, "executed(); forked(live)", last="say('left'); time.sleep(60)")
    lines = parent.says(3)
    children = sorted(map(int, set(lines) - {"left"}))
    time.sleep(1)
    try:
        assert sorted(c.pid for c in psutil.Process(parent.process.pid).children()) == children
        parent.process.kill()
        time.sleep(0.5)
        assert all(map(is_alive, children))
    finally:
        for pid in (*children, parent.process.pid):
            os.kill(pid, signal.SIGKILL)
        parent.process.communicate()


def test_strangers_survive_in_the_same_group_and_so_does_what_ran_before(guarded):
    """Such as `tee` behind a pipe, another run, or a child of the host program."""
    with subprocess.Popen(["sleep", "60"], process_group=0) as stranger:
        other = guarded("executed()", process_group=stranger.pid)
        earlier = "forked(live); time.sleep(0.1)"
        parent = guarded("executed()", first=earlier, process_group=stranger.pid)
        before, child = sorted(map(int, parent.says(2)))
        survivors = [stranger.pid, other.process.pid, *map(int, other.says(1)), before]
        parent.watcher()
        parent.process.kill()
        wait_for(lambda: not is_alive(child), timeout_s=2)
        time.sleep(GRACE_S + 0.5)
        assert all(map(is_alive, survivors))
        for pid in survivors:
            os.kill(pid, signal.SIGKILL)


def test_the_watcher_holds_no_file_of_ours(guarded, tmp_path):
    parent = guarded("say('up')", first=f"lock = open({str(tmp_path / 'lock')!r}, 'w')")
    parent.says(1)
    pipe, *others = sorted(open_files(parent.watcher().pid), reverse=True)
    assert pipe.startswith("pipe:")
    assert others == ["anon_inode:[pidfd]", "/dev/null"]
    assert os.getpgid(parent.watcher().pid) == os.getsid(parent.watcher().pid)


def test_a_watcher_that_can_not_start_is_one_line_and_the_block_runs(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    notes, ran = [], False
    with guard(notes.append):
        ran = True
    assert ran and len(notes) == 1
    assert "/nowhere/python" in notes[0]


def test_guards_nest_and_leave_the_environment_as_it_was(monkeypatch):
    monkeypatch.delenv(TOKEN, raising=False)
    with guard():
        outer = os.environ[TOKEN]
        with guard():
            assert os.environ[TOKEN] != outer
        assert os.environ[TOKEN] == outer
    assert TOKEN not in os.environ


def test_a_fork_that_leaves_the_block_leaves_the_guard_on(guarded):
    parent = guarded("os.fork() or sys.exit(); executed()")
    parent.says(1)
    time.sleep(0.5)
    parent.watcher()
    assert parent.kill() < 2


@pytest.mark.vllm
def test_a_killed_run_leaves_nothing_of_vllm(tmp_path, tiny_model):
    pd.DataFrame({"prompt": [f"q {i}" for i in range(20_000)]}).to_parquet(tmp_path / "in.parquet")
    own_core = {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    run = "data.input=in.parquet", "run_dir=run", *words(tiny_model)
    process = start(*run, cwd=tmp_path, **own_core)
    wait_for(lambda: list((tmp_path / "run" / "shards").glob("*")), timeout_s=180)
    family = psutil.Process(process.pid).children(recursive=True)
    assert children_with("EngineCore", process.pid)
    process.kill()
    wait_for(lambda: not any(is_alive(child.pid) for child in family), timeout_s=10)
    process.communicate(timeout=1)


def test_a_child_seen_amid_its_exec_is_looked_at_again(monkeypatch):
    """The pipe is closed already, and the kernel has not set up the environment yet."""
    with subprocess.Popen(["sleep", "60"], env=os.environ | {TOKEN: "the-token"}) as child:
        environment = f"/proc/{child.pid}/environ"
        shown = [b"", b"", f"{TOKEN}=the-token\0".encode()]
        read = guard_module.read
        monkeypatch.setattr(
            guard_module, "read", lambda path: shown.pop(0) if path == environment else read(path)
        )
        ours = guard_module.Ours(parent=1, token="the-token")
        ours._born, ours._pipe = guard_module.stat(child.pid)[1], "no pipe"
        for _ in range(2):
            ours.look_for_orphans()
            assert child.pid in ours.undecided and child.pid not in ours.born
        ours.look_for_orphans()
        assert child.pid not in ours.undecided and child.pid in ours.born
        child.kill()


def test_a_thread_of_the_kernel_is_no_process_amid_an_exec():
    """By psutil: the kernel's own hang on process 2. A container has none."""
    assert not guard_module.is_of_the_kernel(os.getpid())
    for process in psutil.process_iter(["pid", "ppid"]):
        if process.info["ppid"] == 2:
            assert guard_module.is_of_the_kernel(process.info["pid"])
            return

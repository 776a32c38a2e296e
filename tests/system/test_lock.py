"""The lock: only one process runs in a run directory."""

import json
import os
import platform
import subprocess
import sys

import pytest
from disturbed import SLOW, WORDS, finished, refused
from processes import start

from rollout.errors import UserError
from rollout.system import lock


def test_a_directory_in_use_is_refused_naming_the_holder_until_it_is_let_go(tmp_path):
    """Two launches into one directory published a mixture of both."""
    named = f"in use by another launch .process {os.getpid()} on"
    with lock.held(tmp_path), pytest.raises(UserError, match=named), lock.held(tmp_path):
        pass
    with lock.held(tmp_path):
        pass


def test_what_a_dead_process_left_is_taken_over(tmp_path):
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    left = {"pid": int(dead.stdout), "host": platform.node(), "started": "then"}
    (tmp_path / ".rollout.lock").write_text(json.dumps(left))
    with lock.held(tmp_path):
        pass


@pytest.mark.parametrize("text", ["", "{", '{"pid": 12', "\0\0"])
def test_a_lock_file_cut_off_is_no_obstacle(tmp_path, text):
    (tmp_path / ".rollout.lock").write_text(text)
    with lock.held(tmp_path):
        pass


OTHERS = {
    "a text": lambda path: path.write_text("mine"),
    "other JSON": lambda path: path.write_text('{"packages": {}}'),
    "bytes": lambda path: path.write_bytes(b"\xff\xfe\0"),
    "a directory": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a link": lambda path: path.symlink_to(path.with_name("keep")),
}


@pytest.mark.parametrize("other", OTHERS)
def test_what_no_launch_made_is_left_as_it_is(tmp_path, other):
    """The file that a link there led to was emptied."""
    (tmp_path / "keep").write_text("mine")
    OTHERS[other](tmp_path / ".rollout.lock")
    before = (tmp_path / ".rollout.lock").lstat()
    with pytest.raises(UserError, match=r"lock that rollout did not create"), lock.held(tmp_path):
        pass
    after = (tmp_path / ".rollout.lock").lstat()
    assert (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, before.st_size)
    assert (tmp_path / "keep").read_text() == "mine"


@pytest.mark.parametrize(("host", "pid", "free"), [("here", "dead", True), ("here", "own", False),
                                                   ("elsewhere", "own", False)])  # fmt: skip
def test_without_flock_the_words_in_the_file_count(tmp_path, monkeypatch, host, pid, free):
    def no_flock(*_):
        raise OSError(lock.NO_FLOCK[0], "no locks available")

    monkeypatch.setattr("fcntl.flock", no_flock)
    monkeypatch.setattr(lock, "PATIENCE_S", 0.0)
    holder = {
        "pid": os.getpid() if pid == "own" else 2**22 + 1,
        "host": platform.node() if host == "here" else "another-node",
        "started": "then",
    }
    (tmp_path / ".rollout.lock").write_text(json.dumps(holder))
    if free:
        with lock.held(tmp_path):
            return
    with pytest.raises(UserError, match="in use by another launch"), lock.held(tmp_path):
        pass


# Two launches.


def test_of_two_launches_at_once_one_goes_on_and_the_other_names_it(here, finishes):
    two = [start(*WORDS, SLOW, cwd=here) for _ in range(2)]
    done = sorted(map(finished, two), key=lambda d: d.returncode)
    assert done[0].returncode == 0, done[0].stderr
    winner = next(p.pid for p in two if p.returncode == 0)
    refused(done[1], 2, f"in use by another launch (process {winner} on")
    assert "finished already" in finishes().stdout


def test_a_lock_left_by_a_killed_process_is_taken_over(begun, finishes):
    assert "pid" in json.loads((begun / "run" / ".rollout.lock").read_text())
    finishes()

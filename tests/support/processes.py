"""Run the real process from outside: `python -m rollout` as a user would type it."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests/data"


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "rollout", *map(str, words)]


def environment(**more: str) -> dict[str, str]:
    """Return a user's environment: without what these tests tell their own Ray."""
    ours = {name: text for name, text in os.environ.items() if not name.startswith("RAY_")}
    return ours | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | more


def rollout(*words: str, cwd: Path, timeout: float = 300, **env: str):
    """Run to the end; return the finished process with its output as text."""
    return subprocess.run(
        command(*words),
        cwd=cwd,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def run_module(name: str, *words: str, cwd: Path, timeout: float = 300):
    """Run `python -m name` to its end, which must be successful."""
    done = subprocess.run(
        [sys.executable, "-m", name, *map(str, words)],
        cwd=cwd, env=environment(), capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
    return done


def start(*words: str, cwd: Path, **env: str) -> subprocess.Popen:
    return subprocess.Popen(
        command(*words),
        cwd=cwd,
        env=environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def children_with(word: str, pid: int | None = None) -> list[psutil.Process]:
    """Return the descendants whose name or command line has `word`; not those that have ended."""
    found = []
    for child in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # a zombie too
            if word in " ".join([child.name(), *child.cmdline()]):
                found.append(child)
    return found


def wait_for(condition, timeout_s=30.0):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)

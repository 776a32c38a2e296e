"""One of our commands, run in this process: its exit code, output and seconds."""

import contextlib
import importlib
import io
import os
import re
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

COMMANDS = {
    "rollout": "rollout.__main__",
    "rollout.plan": "rollout.plan.__main__",
    "rollout.prepare": "rollout.prepare.__main__",
    "rollout.postprocess": "rollout.postprocess.__main__",
}


@dataclass(frozen=True)
class Done:
    code: int | None
    out: str
    err: str
    seconds: float
    crash: str = ""  # the exception that escaped, or the time limit

    def errors(self, name: str) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith(f"{name}: ")]


class TooSlow(BaseException):
    pass


def run(name: str, words: list[str], env: dict[str, str] | None = None, limit_s=30) -> Done:
    """Run one of COMMANDS in the current directory, stopped at the time limit."""
    out, err, code, crash = io.StringIO(), io.StringIO(), None, ""
    main = importlib.import_module(COMMANDS[name]).main
    saved, argv, began = dict(os.environ), sys.argv, time.monotonic()
    handler = signal.signal(signal.SIGALRM, _too_slow)
    signal.alarm(limit_s)
    os.environ.update(env or {})
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main(words)
    except SystemExit as ended:
        code = ended.code
    except (Exception, TooSlow) as error:
        crash = f"{type(error).__name__}: {error}"[:300]
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        os.environ.clear()
        os.environ.update(saved)
        sys.argv = argv
    return Done(code, out.getvalue(), err.getvalue(), time.monotonic() - began, crash)


def _too_slow(*_):
    raise TooSlow("over the time limit")


def files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


def fault_of(name: str, done: Done, allowed=(0, 2), one_line=True) -> str:
    """Return what a command must never do, whatever was typed; empty if it did nothing of it."""
    said = done.out + done.err
    if done.crash:
        return f"ended in {done.crash}"
    if never := re.search(r"Traceback|a bug in rollout|unexpected \w*(Error|Exception)", said):
        return f"said {next(line for line in said.splitlines() if never[0] in line)[:300]}"
    if done.code not in allowed:
        return f"exit code {done.code}: {done.err[-300:]}"
    lines = [line for line in done.err.splitlines() if not line.startswith(("from ", "no data."))]
    if done.code == 2 and one_line and (len(lines) != 1 or not lines[0].startswith(f"{name}: ")):
        return f"not one line: {lines[:4]}"
    return ""


def one_prompt(directory: Path) -> Path:
    """Write a prompt file of one row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"prompt": ["a"]}), directory / "in.parquet")
    return directory / "in.parquet"

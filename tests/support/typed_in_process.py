"""A command typed in a forked process: what a shell would see, without starting Python again."""

import os
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy  # noqa: F401
import rich.progress
import rich.table  # noqa: F401

import rollout.__main__
import rollout.postprocess.postprocess
import rollout.run
import rollout.sweeps.launcher
import rollout.sweeps.task  # noqa: F401

ROLLOUT, POSTPROCESS = "rollout.__main__", "rollout.postprocess.__main__"


class Said(NamedTuple):
    """The output and exit code of a command."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """Return output that no command may write to a terminal; empty if there is none."""
        signs = ("Traceback", "Warning", "a bug in rollout", "unexpected ", "Exception ignored")
        return next((sign for sign in signs if sign in self.out + self.err), "")


def typed(module: str, *words: str, timeout_s: float = 180.0) -> Said:
    """Run `main` of this module with these words, in the current directory.

    A command that has not ended by then is killed, and its code is -9. Warnings are all shown, in
    Python's default form, whatever a test runner changes.
    """
    with tempfile.TemporaryDirectory() as name:
        streams = [Path(name, "out"), Path(name, "err")]
        child = os.fork()
        if not child:
            code = 70
            try:
                code = _run(module, words, streams)
            finally:
                os._exit(code)
        until, ended, status = time.monotonic() + timeout_s, 0, 0
        while not ended:
            ended, status = os.waitpid(child, os.WNOHANG)
            time.sleep(0.005)
            if time.monotonic() > until:
                os.kill(child, signal.SIGKILL)
        texts = [path.read_text(encoding="utf-8", errors="replace") for path in streams]
    return Said(os.waitstatus_to_exitcode(status), *texts)


def _run(module: str, words: tuple[str, ...], streams: list[Path]) -> int:
    import importlib
    import traceback

    for number, path in enumerate(streams, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.stdout, sys.stderr = (os.fdopen(n, "w", buffering=1, errors="replace") for n in (1, 2))
    warnings.resetwarnings()
    warnings.filterwarnings("default")
    for silent in (DeprecationWarning, ImportWarning, ResourceWarning, PendingDeprecationWarning):
        warnings.filterwarnings("ignore", category=silent)
    warnings.showwarning = warnings._showwarning_orig
    code = 70
    try:
        importlib.import_module(module).main(list(words))
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    return code

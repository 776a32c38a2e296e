"""A command of ours run in this process: quick enough for fuzzers."""

import contextlib
import io
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it said."""

    code: Any
    out: str
    err: str

    @property
    def fault(self) -> str:
        """What no command may say, whatever it was given."""
        if self.code not in (0, 1, 2):
            return f"exit {self.code}"
        for sign in ("Traceback", "a fault of rollout", "RuntimeWarning"):
            if sign in self.err:
                return f"{sign}: {self.err[-1500:]}"
        errors = [line for line in self.err.splitlines() if line.startswith("rollout")]
        return "" if self.code == 0 or len(errors) == 1 else f"errors {errors}, exit {self.code}"


def command(*words: Any, module: str = "rollout.cli") -> Said:
    """Run `main` of a module with these words."""
    import importlib

    main = importlib.import_module(module).main
    out, err = io.StringIO(), io.StringIO()
    code: Any = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(word) for word in words])
        except SystemExit as ended:
            code = ended.code
    return Said(code, out.getvalue(), err.getvalue())

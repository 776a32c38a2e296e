"""How every command ends: one line for an error, the exit code, closed streams minded."""

import os
import sys
from collections.abc import Callable

from rollout.console import flush_streams, say
from rollout.errors import RolloutError


def run_command(name: str, command: Callable[[list[str]], int], argv: list[str] | None) -> None:
    """Run `command` with the words typed and exit with its code.

    0 done, 1 failed or incomplete, 2 configuration or input error, 130 and 143 signals.
    """
    argv = sys.argv[1:] if argv is None else argv
    _open_closed_streams()
    message, details, code = "", [], 0
    try:
        code = command(argv)
    except RolloutError as error:
        message, details, code = str(error.args[0]), error.details, error.exit_code
    except KeyboardInterrupt:
        message, code = "interrupted", 130
    except BrokenPipeError:
        code = 1
    except FileNotFoundError as error:  # Path.cwd
        message, code = f"the current directory is gone ({error}); cd to another", 2
    except OSError as error:  # a full disk behind stdout
        message, code = f"can't write: {error.strerror or error}", 1
    if message:
        say(f"{name}: " + r"\n".join(message.splitlines()), sys.stderr)
    for line in details:
        say(line, sys.stderr)
    flush_streams()
    if code == 1 and not message:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python would complain at exit
    sys.exit(code)


def _open_closed_streams() -> None:
    """A shell may close our streams (`>&-`): what we open must not get their numbers."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)

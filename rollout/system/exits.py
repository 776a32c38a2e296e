"""End every command with an exit code and, on an error, one line without a traceback.

Unexpected exceptions are explained by unexpected.py. A command that was asked to stop ends with
the signal's exit code, even if a library swallowed the request.
"""

import os
import sys
from collections.abc import Callable

from rollout.errors import Interrupted, RolloutError
from rollout.system.signals import StopRequest, stop_on_signals
from rollout.system.terminal import flush_streams, say
from rollout.system.unexpected import explained


def run_command(
    name: str,
    command: Callable[[list[str]], int],
    argv: list[str] | None,
    on_error: Callable[[str, int], None] = lambda message, code: None,
) -> None:
    """Run `command` with the typed words and exit with its code.

    0 done, 1 failed or incomplete, 2 configuration or input error, 130 and 143 signals. An error's
    message is printed after `on_error` is called with it and the code.
    """
    argv = sys.argv[1:] if argv is None else argv
    _open_closed_streams()
    code, message, details = _ended(name, command, argv)
    if message:
        on_error(message, code)
        say(f"{name}: " + r"\n".join(message.splitlines()), sys.stderr)
    for line in details:
        say(line, sys.stderr)
    flush_streams()
    if code == 1 and not message:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python prints an error at exit
    sys.exit(code)


def _ended(
    name: str, command: Callable[[list[str]], int], argv: list[str]
) -> tuple[int, str, list[str]]:
    """Return the command's exit code, and the message and details to print."""
    stop, error = StopRequest(), None
    unraisable = sys.unraisablehook
    try:
        with stop_on_signals(ends_process=True) as stop:
            stop.command = name
            stop.print_line = lambda line: None  # there is no work to finish first
            sys.unraisablehook = lambda args: _is_stop(args) or unraisable(args)
            try:
                code = command(argv)
            finally:
                stop.is_over = True
    except KeyboardInterrupt as interruption:
        error = interruption
    except Exception as failure:
        error = failure
    finally:
        sys.unraisablehook = unraisable
    if error is None and (code == 0 or stop.signal_number is None):
        return code, "", []
    if not isinstance(error, Interrupted) and stop.signal_number is not None:
        return 128 + stop.signal_number, stop.last_line(), []
    return _report(error)


def _is_stop(unraisable: "sys.UnraisableHookArgs") -> bool:
    """Whether it is a request to stop that arrived within a `__del__`; `stop` has recorded it."""
    return issubclass(unraisable.exc_type, Interrupted)


def _report(error: BaseException) -> tuple[int, str, list[str]]:
    """Return the exit code, message and details for an exception."""
    if isinstance(error, Interrupted):
        return error.exit_code, str(error), []
    if isinstance(error, KeyboardInterrupt):
        return 130, "interrupted", []
    if isinstance(error, BrokenPipeError):
        return 1, "", []
    if isinstance(error, RolloutError):
        return error.exit_code, str(error.args[0]), error.details
    if isinstance(error, FileNotFoundError) and error.filename is None:  # Path.cwd
        return 2, f"the current directory no longer exists ({error}); cd to another", []
    if isinstance(error, OSError) and error.filename is None:  # a full disk behind stdout
        return 1, f"can't write: {error.strerror or error}", []
    error = explained(error)
    return error.exit_code, str(error.args[0]), error.details


def _open_closed_streams() -> None:
    """Reopen streams closed by the shell (`>&-`), so that no file we open gets their numbers."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)

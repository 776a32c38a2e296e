"""Every error a user may meet, with its exit code.

A message says what is wrong with which value, why it matters where that is not obvious, and what
to type next, on one line if possible. Secrets in it are starred.
"""

from typing import Any, Self

from rollout.errors.secret_texts import without_secrets


class RolloutError(Exception):
    """A run ended early; everything finished is on disk."""

    exit_code = 1

    def __init__(self, *args: str):
        super().__init__(*map(without_secrets, args))  # it is printed, logged and kept
        self.details: list[str] = []  # further lines, such as a table
        self.fault: Any = None  # a MemoryFault, where memory ran out
        self.excuse: str | None = None  # of an engine's death: why no row is to blame

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *self.details])

    def with_message(self, message: str) -> Self:
        """Return the same error with another message."""
        other = type(self)(message)
        other.details, other.fault, other.__cause__ = self.details, self.fault, self.__cause__
        other.excuse = self.excuse
        return other.with_traceback(self.__traceback__)


class UserError(RolloutError):
    """The configuration, the input or the machine can't serve the request; nothing was started."""

    exit_code = 2


class EmptyExport(RolloutError):
    """Responses and scores are written, but none of them qualifies for the export."""


class EngineError(RolloutError):
    """The engine could not be started, or died."""


class Interrupted(KeyboardInterrupt):
    """SIGINT, SIGTERM or SIGHUP arrived; everything finished is on disk.

    Not an Exception: it may arrive at any line of any library, and many libraries catch those to
    continue or to raise their own. They let a KeyboardInterrupt pass.
    """

    def __init__(self, signal_number: int, message: str = "interrupted"):
        super().__init__(message)
        self.signal_number = signal_number

    @property
    def exit_code(self) -> int:
        return 128 + self.signal_number

    def __reduce__(self) -> tuple[Any, ...]:  # pickled in a launcher's worker process
        return type(self), (self.signal_number, str(self))


class RequestRefused(Exception):
    """An engine rejects this one request; the message is recorded on its row."""


def did_you_mean(word: str, known) -> str:
    """Return ` Did you mean 'x'?`, or an empty text if no known word is close."""
    import difflib

    known = list(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if not close:  # compare the last parts too: `temprature` against `sampling.temperature`
        leaves = {name.rsplit(".", 1)[-1]: name for name in known}
        leaf = difflib.get_close_matches(word.rsplit(".", 1)[-1], leaves, n=1, cutoff=0.7)
        close = [leaves[name] for name in leaf]
    return f" Did you mean {close[0]!r}?" if close else ""

"""The file of a scoring's errors: one JSON object per line, in input order.

Guarantees: the file appears whole, and only if there are errors. A file that no scoring wrote is
never replaced.
"""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rollout.postprocess.scoring.scorers import Mark, Verdict
from rollout.store.places import Place, Writer
from rollout.system.formats import strict_json

KEYS = {"row", "sample", "verdict", "error", "trace"}


def error_path(scored: Path) -> Path:
    """Return the path of the errors beside the scored file: scored.errors.jsonl."""
    return scored.with_suffix(".errors.jsonl")


def is_error_file(path: Path) -> bool:
    """Return whether the file holds the errors of a scoring."""
    try:
        with path.open(encoding="utf-8") as file:
            first = json.loads(file.readline())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(first, dict) and set(first) == KEYS


class ErrorFile:
    """Writes errors in order. Use it in a `with` block: the file appears when the block ends."""

    def __init__(self, place: Place, writer: Writer):
        self.num_lines = 0
        self._place, self._writer = place, writer
        self._stack, self._file = ExitStack(), None

    def __enter__(self) -> "ErrorFile":
        return self

    def add(self, row: int, sample: int, mark: Mark, verdict: Verdict) -> None:
        """Write one sample's error; `row` counts from 0."""
        if self._file is None:
            temporary = self._stack.enter_context(self._writer.written(self._place))
            file = temporary.open("w", encoding="utf-8", errors="backslashreplace")
            self._file = self._stack.enter_context(file)
        line = dict(
            row=row, sample=sample, verdict=verdict.name, error=mark.error, trace=mark.trace
        )
        self._file.write(strict_json.dumps(line, ensure_ascii=False) + "\n")
        self.num_lines += 1

    def __exit__(self, *exception: Any) -> None:
        self._stack.__exit__(*exception)
        if exception[0] is None and not self.num_lines:  # an earlier scoring's is stale
            self._writer.remove(self._place)

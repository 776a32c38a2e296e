"""Read a reasoning-gym entry (question, answer, metadata) from the column that holds it."""

import contextlib
import json
import warnings
from collections.abc import Iterator
from typing import Any

TUPLES = ("arc_agi", "rearc")  # their verifiers compare tuples, which JSON does not have


@contextlib.contextmanager
def imports_quietly() -> Iterator[None]:
    """Hide the SyntaxWarnings of cellpylib, which reasoning-gym imports, while it is compiled."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        yield


def entry_of(value: Any, key: str) -> dict[str, Any]:
    """Return the entry as a dict. Raises ValueError if it is not one, or names no task."""
    try:
        entry = json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"{key} is not JSON: {error}") from error
    if entry is None:
        raise ValueError(f"{key} is null")
    metadata = entry.get("metadata") if isinstance(entry, dict) else None
    if not isinstance(metadata, dict) or not isinstance(metadata.get("source_dataset"), str):
        raise ValueError(f"{key} has no metadata.source_dataset that names its task")
    return _with_tuples(entry) if metadata["source_dataset"] in TUPLES else entry


def _with_tuples(value: Any) -> Any:
    """Return the value with its lists as tuples, as it was before it became JSON."""
    if isinstance(value, dict):
        return {name: _with_tuples(member) for name, member in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value

"""An entry of reasoning-gym: question, answer and metadata, as a column of ours keeps it."""

import json
from typing import Any

TUPLES = ("arc_agi", "rearc")  # whose verifiers compare tuples, which JSON has not


def entry_of(value: Any, key: str) -> dict[str, Any]:
    """The entry as a dict. Raises ValueError where it is none, or names no task."""
    try:
        entry = json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"{key} is no JSON: {error}") from error
    if entry is None:
        raise ValueError(f"{key} is null")
    metadata = entry.get("metadata") if isinstance(entry, dict) else None
    if not isinstance(metadata, dict) or not isinstance(metadata.get("source_dataset"), str):
        raise ValueError(f"{key} has no metadata.source_dataset that names its task")
    return _with_tuples(entry) if metadata["source_dataset"] in TUPLES else entry


def _with_tuples(value: Any) -> Any:
    """The value with tuples for its lists, as it was before it was JSON."""
    if isinstance(value, dict):
        return {name: _with_tuples(member) for name, member in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value

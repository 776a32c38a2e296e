"""Throughput of this machine's finished runs, one line each, for time estimates.

Kept in the user's cache directory. Guarantees that a failed write never fails a run, and that only
records of the same model, dtype and machine are used. Must not know about engines.
"""

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from rollout.system.disk import cache_dir
from rollout.system.formats import strict_json

LEAST_SAMPLES = 64  # shorter runs are not representative
MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """One finished attempt."""

    at_s: float
    host: str
    machine: str
    model: str
    dtype: str
    num_gpus: int
    max_num_seqs: int
    preset: str
    output_tokens_per_s: float
    mean_response_tokens: float
    num_samples: int
    max_tokens: int


def record(found: Record) -> None:
    """Append a line. Ignores errors: the only loss is an estimate."""
    with suppress(OSError):
        path = _path()
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > MOST_BYTES:
            path.replace(path.with_suffix(".old.jsonl"))
        with path.open("a") as file:
            file.write(strict_json.dumps(asdict(found)) + "\n")


def last_like(model: str, dtype: str, machine: str) -> Record | None:
    """Return the newest record of this model on this machine."""
    wanted = _host(), machine, model, dtype
    try:
        lines = _path().read_text(errors="replace").splitlines()
    except OSError:
        return None
    for found in map(_read, reversed(lines)):
        if found is not None and found.num_samples >= LEAST_SAMPLES:
            if (found.host, found.machine, found.model, found.dtype) == wanted:
                return found
    return None


def new_record(**values: Any) -> Record:
    return Record(at_s=time.time(), host=_host(), **values)


def _read(line: str) -> Record | None:
    try:
        values = json.loads(line)
        found = Record(**{field.name: values[field.name] for field in fields(Record)})
        for field in fields(Record):
            value, is_text = getattr(found, field.name), field.type in (str, "str")
            if isinstance(value, str) is not is_text or isinstance(value, bool):
                raise TypeError(field.name)
        return found
    # A line may be cut off, or come from another version.
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _path() -> Path:
    return cache_dir() / "throughput.jsonl"


def _host() -> str:
    return os.uname().nodename

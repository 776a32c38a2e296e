"""What this machine has answered before, for estimates of time: one line a finished run.

Kept in the user's cache directory. Promises that writing never hurts a run, and that what is
not comparable is not used: another model, dtype or machine. Must not know engines.
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

LEAST_SAMPLES = 64  # a run of fewer says little
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
    """Add a line; where that can't be done there will be no estimate, and nothing else."""
    with suppress(OSError):
        path = _path()
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > MOST_BYTES:
            path.replace(path.with_suffix(".old.jsonl"))
        with path.open("a") as file:
            file.write(strict_json.dumps(asdict(found)) + "\n")


def last_like(model: str, dtype: str, machine: str) -> Record | None:
    """The newest record of this model on this machine."""
    newest = None
    for line in _lines():
        found = _read(line)
        if found is None or found.num_samples < LEAST_SAMPLES:
            continue
        same = (found.host, found.model, found.dtype) == (_host(), model, dtype)
        if same and found.machine == machine:
            newest = found
    return newest


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
    except (
        ValueError,
        KeyError,
        TypeError,
        OverflowError,
        RecursionError,
    ):  # torn, or of another version
        return None


def _lines() -> list[str]:
    try:
        return _path().read_text(errors="replace").splitlines()
    except OSError:
        return []


def _path() -> Path:
    return cache_dir() / "throughput.jsonl"


def _host() -> str:
    return os.uname().nodename

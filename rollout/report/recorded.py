"""Values in records of any shape: None for what is missing or of another type."""

import math
from collections.abc import Iterable, Mapping
from typing import Any


def value_in(record: Any, key: str) -> Any:
    """Return what is under a dotted key of nested records; None if nothing is."""
    value = record
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def number_of(value: Any) -> float | None:
    """Return a number as a float; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def number_in(record: Mapping[str, Any], key: str) -> float | None:
    """Return the finite number under `key`; None for anything else."""
    value = number_of(record.get(key))
    return value if value is not None and math.isfinite(value) else None


def ks_in(names: Iterable[str]) -> list[int]:
    """Return each k of the scores `pass@k` among these names, ascending."""
    ks = {name.removeprefix("pass@") for name in names if name.startswith("pass@")}
    return sorted({int(k) for k in ks if k.isascii() and k.isdecimal()})

"""The figures that a scoring wrote beside its rows: used as a whole, or not at all.

Guarantees: what is returned has the right types, is finite, and fits the rows, whatever the file
holds. Must not know how figures are shown.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from rollout.postprocess.export.estimates import VERDICTS, Group, Value
from rollout.report.recorded import ks_in, number_of
from rollout.system.disk import read_json

MAX_CONFIDENCE = 0.9999  # as postprocess.estimate.confidence
COUNTERS = [f.name for f in fields(Group) if f.type is int or f.type == "int"]
SHARES = ("pass@", "maj@")


@dataclass(frozen=True, slots=True)
class Figures:
    """What was recorded: `groups[0]` is all rows; the most frequent reason is first."""

    groups: list[Group]
    confidence: float
    reasons: list[tuple[str, int]]


def recorded_figures(
    path: Path, num_rows: int, num_samples: int, count: Callable[[str], int]
) -> Figures | str:
    """Return the figures in `path`; else why they can't be used: `is missing or damaged`, ...

    `count` returns the number of samples with a verdict.
    """
    found = read_json(path) or {}
    try:
        groups = [_group(group) for group in _list(found["groups"])]
        confidence = _number(found["confidence"])
        reasons = [(_text(r["reason"]), _count(r["num"])) for r in _list(found.get("reasons", []))]
        _check(0 < confidence <= MAX_CONFIDENCE and len(groups) > 0)
        everything = groups[0]
        if everything.num_rows != num_rows or any(
            getattr(everything, counter) != count(name) for name, counter in VERDICTS.items()
        ):
            return "is of other rows"
        for group in groups:
            _check_size(group, num_rows, num_samples)
        _check(all([*group.name] == [*groups[-1].name] != [] for group in groups[1:]))
        _check(all(number <= num_samples for _, number in reasons))
    except (KeyError, TypeError, ValueError):
        return "is missing or damaged"
    return Figures(groups, confidence, reasons)


def _group(found: Any) -> Group:
    """Return a recorded group. Raises KeyError, TypeError or ValueError if it is none."""
    found = _mapping(found)
    name = {_text(key): _text(value) for key, value in _mapping(found["name"]).items()}
    counters = {counter: _count(found[counter]) for counter in COUNTERS if counter in found}
    group = Group(name, **counters)
    group.errors_fail = found.get("errors_fail", True)
    _check(isinstance(group.errors_fail, bool))
    group.values = {
        _text(figure): _value(_mapping(value), figure.startswith(SHARES))
        for figure, value in _mapping(found["values"]).items()
    }
    return group


def _value(found: Mapping[str, Any], is_share: bool) -> Value:
    """Return a recorded estimate: a number, and both ends of its interval or none."""
    value, low, high = (
        None if found[name] is None else _number(found[name]) for name in ("value", "low", "high")
    )
    if low is not None and high is not None:
        _check(value is not None and low <= high)
    else:
        _check(low is high)
    _check(not is_share or value is None or -1e-9 <= value <= 1 + 1e-9)
    return Value(value, low, high, _count(found["num_rows"]))


def _check_size(group: Group, num_rows: int, num_samples: int) -> None:
    """Raise ValueError if a count is larger than the file, or a pass@k is of more samples."""
    most = max(num_rows, num_samples)
    _check(all(getattr(group, counter) <= most for counter in COUNTERS))
    _check(all(value.num_rows <= num_rows for value in group.values.values()))
    passes = {name: v for name, v in group.values.items() if name.startswith("pass@")}
    known = {name for name, value in passes.items() if value.value is not None}
    ks = ks_in(known)
    _check(known == {f"pass@{k}" for k in ks} and all(1 <= k <= num_samples for k in ks))
    _check(bool(passes) or not group.num_judged)


def _check(is_right: bool) -> None:
    if not is_right:
        raise ValueError("a record that no scoring writes")


def _mapping(found: Any) -> dict[Any, Any]:
    _check(isinstance(found, dict))
    return found


def _list(found: Any) -> list[Any]:
    _check(isinstance(found, list))
    return found


def _text(found: Any) -> str:
    _check(isinstance(found, str))
    return found


def _count(found: Any) -> int:
    _check(isinstance(found, int) and not isinstance(found, bool) and found >= 0)
    return found


def _number(found: Any) -> float:
    """Return a finite number as a float."""
    number = number_of(found)
    if number is None or not math.isfinite(number):
        raise ValueError("not a finite number")
    return number

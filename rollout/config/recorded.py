"""Recorded settings that are used again: a run's record, or a config file with starred secrets.

Owns which of them apply beside newly given ones, and which are starred. Must not know where they
were read, Hydra, or the order of precedence.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rollout.config.names import GROUPS, bag_of
from rollout.config.overrides import override
from rollout.errors import UserError
from rollout.errors.secret_texts import STARS, TEXT_STARS


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run's settings by dotted key, the presets it chose, and which keys were set by hand."""

    run_dir: Path
    values: dict[str, Any]
    presets: dict[str, str]
    given: list[str]
    missing: list[str]  # keys that held a secret

    def filled_in(self, in_force: Iterable[str], also_given: Iterable[str]) -> list[str]:
        """Return overrides for `presets` and `given`, as if the settings had been typed.

        `in_force` are the keys that keep the record's value, `also_given` the keys and presets set
        beside it. Raises UserError for a starred secret that is not among the latter.
        """
        also = set(also_given)
        refuse_missing(self.missing, also, "the run's record", "run_dir")
        chosen = {group: name for group, name in self.presets.items() if group not in also}
        kept = set(in_force)
        given = {key for key in self.given if key in kept or bag_of(key)}
        given |= {key for key in also if key not in GROUPS}
        return [override("presets", chosen), override("given", sorted(given))]


# (run_dir, start_dir, keys set beside it) -> the settings of the last launch there; None: no run.
ReadRun = Callable[[Path, Path, Iterable[str]], Recorded | None]


def take_starred(values: dict[str, Any]) -> list[str]:
    """Remove starred values from `values`, and return their keys."""
    missing = [key for key in values if _is_starred(values[key], bag_of(key) is not None)]
    for key in missing:
        del values[key]
    for key in [key for key in values if isinstance(values[key], dict)]:
        missing += [f"{key}.{inner}" for inner in _starred(values[key])]
        values[key] = _without_stars(values[key])
    return missing


def refuse_missing(
    missing: Iterable[str], also_given: Iterable[str], place: str, word: str
) -> None:
    """Raise UserError for a starred key that is not set again beside the record."""
    also = set(also_given)
    for key in missing:
        if not any(key == k or key.startswith(f"{k}.") for k in also):
            raise UserError(
                f"{key} is starred in {place}, since it looks like a secret; type {key}=... "
                f"beside {word}="
            )


def _is_starred(value: Any, is_free_form: bool = True) -> bool:
    stars = {STARS, TEXT_STARS} if is_free_form else {TEXT_STARS}
    members = value if isinstance(value, list) else [value]
    return any(isinstance(v, str) and v in stars for v in members)


def _starred(members: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of starred values within a free-form setting."""
    for name, member in members.items():
        if _is_starred(member):
            yield f"{prefix}{name}"
        elif isinstance(member, dict):
            yield from _starred(member, f"{prefix}{name}.")


def _without_stars(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _without_stars(v) for name, v in value.items() if not _is_starred(v)}

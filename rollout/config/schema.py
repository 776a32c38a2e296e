"""How a setting is declared, and what its declaration says.

Imports nothing heavy. Must not know about any section: those are in sections/.
"""

import math
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any

from rollout.errors import UserError

# WHAT changes the samples, HOW only how they are made, ABOUT neither (names, tracking, paths).
WHAT, HOW, ABOUT = "what", "how", "about"
ROWS = "rows"  # which rows there are: compared row by row on resume
MAX_INT = 2**63 - 1  # what parquet and vLLM's messages hold


def setting(default: Any, help: str, **checks: Any) -> Any:
    """Declare a setting: its default, one sentence of meaning with unit, and its range.

    Checks: `minimum`, `maximum`, `above` (exclusive minimum), `kind` (WHAT, HOW, ABOUT, ROWS),
    `shown` (how to show a default that is not a plain value).
    """
    metadata = {"help": help, **checks}
    if isinstance(default, dict | list):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Key:
    """One setting as users see it."""

    name: str  # dotted
    type: Any
    default: Any
    help: str
    kind: str
    checks: dict[str, Any]

    @property
    def is_bag(self) -> bool:
        """Whether the setting is free-form: any key may be set below it."""
        return typing.get_origin(self.type) is dict


@cache
def keys_of(schema: type, prefix: str = "", kind: str = ABOUT) -> Mapping[str, Key]:
    """Return every setting of a dataclass by its dotted name, in the order of declaration."""
    kind = getattr(schema, "kind", kind)
    hints = typing.get_type_hints(schema)
    found: dict[str, Key] = {}
    for f in fields(schema):
        name, hint = prefix + f.name, hints[f.name]
        if is_dataclass(hint):
            found |= keys_of(hint, name + ".", kind)
            continue
        default = f.default if f.default is not MISSING else f.default_factory()
        checks = {k: v for k, v in f.metadata.items() if k not in ("help", "kind")}
        found[name] = Key(
            name, hint, default, f.metadata["help"], f.metadata.get("kind", kind), checks
        )
    return types.MappingProxyType(found)


def type_name(hint: Any) -> str:
    """Return the type as a user would write it: `int or null`, `record|skip|fail`."""
    if isinstance(hint, types.UnionType):
        parts = [type_name(arg) for arg in hint.__args__ if arg is not type(None)]
        return " or ".join(parts + ["null"] * (type(None) in hint.__args__))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "|".join(member.name for member in hint)
    origin = typing.get_origin(hint) or hint
    return {str: "text", dict: "mapping", list: "list"}.get(origin, origin.__name__)


def get(settings: Any, name: str) -> Any:
    """Return the value of a dotted key."""
    for part in name.split("."):
        settings = getattr(settings, part)
    return settings


def check_finite(name: str, value: Any) -> None:
    """Refuse NaN and infinity in a free-form setting: the records are JSON and can't hold them."""
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{name}={value} is not a finite number; type a number, or leave it out")
    members = value.items() if isinstance(value, dict) else ()
    members = enumerate(value) if isinstance(value, list | tuple) else members
    for key, member in members:
        check_finite(f"{name}.{key}", member)


def check_range(key: Key, value: float) -> None:
    """Raise UserError if a number is outside the setting's range."""
    low, above, high = (key.checks.get(c) for c in ("minimum", "above", "maximum"))
    if high is None and isinstance(value, int) and value > MAX_INT:
        high = MAX_INT
    if (
        -math.inf < value < math.inf  # false of NaN
        and (low is None or value >= low)
        and (above is None or value > above)
        and (high is None or value <= high)
    ):
        return
    bounds = [f"at least {low}"] if low is not None else []
    bounds += [f"above {above}"] if above is not None else []
    bounds += [f"at most {high}"] if high is not None else []
    raise UserError(
        f"{key.name}={value} is out of range: {' and '.join(bounds) or 'a finite number'} "
        f"({key.help})"
    )

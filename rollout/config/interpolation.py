r"""`${...}` in texts: escape literal ones, and inspect those that were typed.

Owns omegaconf's syntax: `${` opens an interpolation, `\${` is a literal `${`. Guarantees that no
other module escapes by hand. Must not know the settings, or where a text came from.
"""

import re
from collections.abc import Iterator
from typing import Any

OPEN = "${"
_OPENING = re.compile(r"(\\*)\$\{")
_PLAIN_NAME = re.compile(r"\s*([A-Za-z_][\w.-]*)\s*\}")


def without_interpolation(value: Any) -> Any:
    """Return plain values with `${` escaped in every text, so that omegaconf leaves them alone."""
    if isinstance(value, dict):
        return {k: without_interpolation(v) for k, v in value.items()}
    if isinstance(value, list):
        return [without_interpolation(v) for v in value]
    if isinstance(value, str):
        return _OPENING.sub(lambda m: m[1] * 2 + "\\${", value)
    return value


def texts_in(value: Any) -> Iterator[str]:
    """Yield every text with `${` in a value of Hydra or omegaconf, at any depth."""
    return (text for text in _leaves(value) if isinstance(text, str) and OPEN in text)


def holds(value: Any, text: str) -> bool:
    """Whether one of the texts in a value of Hydra or omegaconf equals `text`."""
    return text in _leaves(value)


def _leaves(value: Any) -> Iterator[Any]:
    """Yield names and scalars, quoted strings of Hydra as their text."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list | tuple):
        for member in value:
            yield from _leaves(member)
    else:
        yield getattr(value, "text", value)


def names_in(text: str) -> list[str]:
    """Return the dotted names of the settings that a text refers to: `x` in `a ${x}`."""
    found = (
        _PLAIN_NAME.match(text, m.end()) for m in _OPENING.finditer(text) if len(m[1]) % 2 == 0
    )
    return [m[1] for m in found if m]


def is_broken(text: str) -> bool:
    """Whether omegaconf can't parse a text's interpolations: `${`, `${a b}`."""
    from omegaconf.errors import OmegaConfBaseException
    from omegaconf.grammar_parser import parse

    try:
        parse(text)
    except OmegaConfBaseException:
        return True
    except RecursionError:  # thousands of nested ones
        return True
    return False


def alone(text: str) -> str | None:
    """Return a text with its interpolations resolved; None if it refers to another setting."""
    if OPEN not in text:
        return text
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return str(OmegaConf.create({"text": text}).text)
    except (OmegaConfBaseException, RecursionError):
        return None

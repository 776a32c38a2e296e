r"""`${...}` in texts: what means itself is escaped, what was typed is filled in or refused.

Owns omegaconf's signs: `${` begins an interpolation, `\${` stands for `${`. Promises that no other
room escapes one by hand. Must not know which settings there are, or where a text came from.
"""

import re
from collections.abc import Iterator
from typing import Any

OPEN = "${"
_OPENING = re.compile(r"(\\*)\$\{")
_PLAIN_NAME = re.compile(r"\s*([A-Za-z_][\w.-]*)\s*\}")


def without_interpolation(value: Any) -> Any:
    """Plain values that omegaconf takes as they are: `${` is escaped in every text."""
    if isinstance(value, dict):
        return {k: without_interpolation(v) for k, v in value.items()}
    if isinstance(value, list):
        return [without_interpolation(v) for v in value]
    if isinstance(value, str):
        return _OPENING.sub(lambda m: m[1] * 2 + "\\${", value)
    return value


def texts_in(value: Any) -> Iterator[str]:
    """Every text with `${` in a value of Hydra's or of omegaconf's, however deep."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list | tuple):
        for member in value:
            yield from texts_in(member)
    elif (text := getattr(value, "text", value)) and isinstance(text, str) and OPEN in text:
        yield text


def holds(value: Any, text: str) -> bool:
    """Whether one of the texts in a value of Hydra's or of omegaconf's is just `text`."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list | tuple):
        return any(holds(member, text) for member in value)
    return getattr(value, "text", value) == text


def names_in(text: str) -> list[str]:
    """The settings that a text asks for by their dotted names: `x` in `a ${x}`."""
    found = (
        _PLAIN_NAME.match(text, m.end()) for m in _OPENING.finditer(text) if len(m[1]) % 2 == 0
    )
    return [m[1] for m in found if m]


def is_broken(text: str) -> bool:
    """Whether omegaconf can't read the interpolations of a text at all: `${`, `${a b}`."""
    from omegaconf.errors import OmegaConfBaseException
    from omegaconf.grammar_parser import parse

    try:
        parse(text)
    except OmegaConfBaseException:
        return True
    except RecursionError:  # thousands of them, one in another
        return True
    return False


def alone(text: str) -> str | None:
    """What a text comes to where there are no other settings; None where it needs one."""
    if OPEN not in text:
        return text
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return str(OmegaConf.create({"text": text}).text)
    except (OmegaConfBaseException, RecursionError):
        return None

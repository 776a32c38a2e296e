"""One override, `key=value`: written and read in Hydra's grammar, its key known to exist.

Promises that a text, from wherever it came, means itself: a path with commas, `1e3`, `${x}`
from a file. Must not know which source an override came from, or what beats what.
"""

import json
import os
import re
from enum import Enum
from pathlib import Path
from typing import Any

from rollout.errors import UserError
from rollout.names import GROUPS, bag_of, declared
from rollout.presets import preset_names, unknown_preset
from rollout.schema import Key, type_name

# Writing: exact values.


def override(key: str, value: Any) -> str:
    """A Hydra override that sets `key` to exactly `value`.

    Raises UserError for a mapping whose keys Hydra's grammar can't hold.
    """
    text = f"{'++' if bag_of(key) else ''}{key}={_literal(value)}"
    if isinstance(value, dict | list) and parse(text) is None:
        raise UserError(f"{key}={value} has a name that can't be written here")
    return text


def _literal(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join(_literal(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_name(k)}:{_literal(v)}" for k, v in value.items()) + "}"
    return quoted(os.fspath(value) if isinstance(value, os.PathLike) else str(value))


def _name(key: Any) -> str:
    """A mapping's key, which Hydra's grammar can't quote, escaped."""
    return re.sub(r"([\\()\[\]{}:=, \t])", r"\\\1", key) if isinstance(key, str) else str(key)


def quoted(text: str) -> str:
    """`text` as a quoted string of Hydra's grammar, interpolations switched off."""
    escaped = re.sub(r"(\\*)'", lambda m: m[1] * 2 + "\\'", without_interpolation(text))
    return "'" + re.sub(r"(\\+)\Z", lambda m: m[1] * 2, escaped) + "'"


def without_interpolation(value: Any) -> Any:
    """Plain values that omegaconf takes as they are: `${` is escaped in every text."""
    if isinstance(value, dict):
        return {k: without_interpolation(v) for k, v in value.items()}
    if isinstance(value, list):
        return [without_interpolation(v) for v in value]
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", lambda m: m[1] * 2 + "\\${", value)
    return value


# Reading: what was typed.


def parts(text: str) -> tuple[str, str]:
    """Key and value of an override, without the plus or tilde before it."""
    key, _, value = text.partition("=")
    return key.lstrip("+~"), value


def parse(text: str) -> Any:
    """Hydra's reading of an override; None where its grammar can't read it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(text)
    except HydraException:
        return None


def unquoted(text: str) -> str:
    """`text` without the quotes around it."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def closing(value: str) -> str:
    """The brackets that a list or mapping lacks at its end; nothing where that is not plain."""
    missing = ""
    for sign in value if value[:1] in ("[", "{") else "":
        if sign in "()'\"\\":
            return ""
        if sign in "[{":
            missing = ("]" if sign == "[" else "}") + missing
        missing = missing.removeprefix(sign) if sign in "]}" else missing
    return missing


def at_home(path: str) -> str:
    """`path` with a leading ~ written out. Raises UserError where there is no such home."""
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:
        raise UserError(f"{path}: there is no such home directory; type ./{path}") from None


def checked_override(text: str, config_dir: Path | None, multirun: bool) -> str:
    """The override, its key known to exist; fit for Hydra's grammar where it was plain text.

    `config_dir` holds the user's own presets. Raises UserError with what to type instead.
    """
    key, value = parts(text)
    if key == "hydra.run.dir" and not multirun:
        key = "run_dir"
    if text.lstrip("+").startswith("~"):
        example = f"{key}=NAME" if key in GROUPS else f"{key}=null where null is allowed"
        raise UserError(f"{text}: settings can't be deleted; type {example}")
    if key.startswith(("hydra.", "hydra/")):
        return text
    if key in GROUPS:
        return checked_preset(key, value, config_dir, multirun)
    if "/" in key or (key and config_dir and (config_dir / key).is_dir()):
        return text  # a group of the user's own; Hydra knows whether it is there
    setting = declared(key, value)
    plus = "" if key == setting.name else "++"
    return f"{plus}{key}={_fit(setting, key, value, multirun)}"


def checked_preset(group: str, value: str, config_dir: Path | None, multirun: bool) -> str:
    """The choice of a preset, or of several in a sweep; Hydra knows whether they are there."""
    text = f"{group}={value}"
    parsed = parse(text)
    if parsed is not None and parsed.is_sweep_override():
        if not multirun:
            raise UserError(_several_values(text))
        return text
    chosen = "" if parsed is None else parsed.value()
    is_none = chosen is None and group == "experiment"
    # A mapping holds values of the group's settings: sampling={n_samples:4}.
    if chosen == "" or not (is_none or isinstance(chosen, str | dict)):
        raise UserError(unknown_preset(group, value, preset_names(group, config_dir)))
    return text


def _fit(setting: Key, key: str, value: str, multirun: bool) -> str:
    """The value as Hydra's grammar wants it: text that it would misread is quoted.

    A key that holds text takes any text: a path with spaces or commas, `1e3`, `true`.
    """
    is_text = setting.type in (str, str | None)
    if key == setting.name and setting.is_bag and value[:1] != "{" and "${" not in value:
        raise UserError(f"{key}={value} is not a mapping; type {key}.NAME=... ({setting.help})")
    if setting.type == str | None and value == "":
        return "null"
    if key == "run_dir":
        value = at_home(value)
    parsed = parse(f"x={value}")
    if parsed is None:
        if is_text and multirun and "," in value:
            raise UserError(
                f"{key}={value} can't be read as several values: one that holds a sign such as = "
                f"needs quotes; type \"{key}='...','...'\" (or \"{key}='...'\" for one text)"
            )
        if is_text or (setting.is_bag and value[:1] not in "[{"):
            return quoted(value)
        kind = "a value" if setting.is_bag else type_name(setting.type)
        missing = closing(value)
        hint = f"; a bracket is open: type {key}={value}{missing}" if missing else ""
        raise UserError(f"{key}={value} is not {kind}{hint} ({setting.help})")
    if parsed.is_sweep_override():
        if not multirun and not is_text:
            raise UserError(_several_values(f"{key}={value}"))
        return value if multirun else quoted(value)
    meant = parsed.value()
    if setting.type == list[str] and not isinstance(meant, list) and "${" not in value:
        raise UserError(f"{key}={value} is not a list; type {key}=[{value}] ({setting.help})")
    # A quoted string, an interpolation, an escape and null are the user's; in a text, what looks
    # like a number, a list or padding is text.
    is_plain = meant is None or (isinstance(meant, str) and value == value.strip())
    return quoted(value) if is_text and not is_plain else value


def _several_values(text: str) -> str:
    return f"{text} has several values; for a sweep type -m before it, for a list [a,b]"

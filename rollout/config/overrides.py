"""Write and read one override, `key=value`, in Hydra's grammar, and check its key.

Guarantees that any text is taken literally: a path with commas, `1e3`, `${x}` from a file. Must not
know which source an override came from, or the order of precedence.
"""

import json
import os
import re
import shlex
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Any

from rollout.config.interpolation import (
    OPEN,
    alone,
    holds,
    is_broken,
    names_in,
    texts_in,
    without_interpolation,
)
from rollout.config.names import GROUPS, bag_of, declared, known_keys
from rollout.config.plain_values import MISSING, check_scalar
from rollout.config.presets import preset_names, unknown_preset
from rollout.config.schema import Key, type_name
from rollout.errors import UserError
from rollout.system.disk import expand_home
from rollout.system.storage.paths import text_of


def override(key: str, value: Any) -> str:
    """Return a Hydra override that sets `key` to exactly `value`.

    Raises UserError for a mapping with keys that Hydra's grammar can't express.
    """
    text = f"{'++' if bag_of(key) else ''}{key}={_literal(value)}"
    if isinstance(value, dict | list) and parse(text) is None:
        raise UserError(f"{key}={value} has a name that Hydra can't read; rename it")
    return text


def _literal(value: Any, sign: str = "'") -> str:
    if value is None:
        return "null"
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join(_literal(v, sign) for v in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_name(k)}:{_literal(v, sign)}" for k, v in value.items()) + "}"
    return quoted(text_of(value) if isinstance(value, os.PathLike) else str(value), sign)


def _name(key: Any) -> str:
    """Return a mapping's key escaped: Hydra's grammar can't quote it."""
    return re.sub(r"([\\()\[\]{}:=, \t])", r"\\\1", key) if isinstance(key, str) else str(key)


def quoted(text: str, sign: str = "'") -> str:
    """Return `text` as a quoted string of Hydra's grammar, with interpolations escaped."""
    return _in_quotes(without_interpolation(text), sign)


def _in_quotes(text: str, sign: str = "'") -> str:
    """Return `text` as a quoted string of Hydra's grammar, with live interpolations."""
    escaped = re.sub(rf"(\\*){sign}", lambda m: m[1] * 2 + "\\" + sign, text)
    return sign + re.sub(r"(\\+)\Z", lambda m: m[1] * 2, escaped) + sign


def how_to_type(key: str, value: Any, multirun: bool = False) -> str:
    """Return the simplest word to type in a shell that sets `key` to exactly `value`."""
    plainest = without_interpolation(value)
    if isinstance(value, str) and _is_read_as(declared(key), plainest, value, multirun):
        return shlex.quote(f"{key}={plainest}")
    sign = "'" if any('"' in text for text in texts_in(value)) else '"'
    return shlex.quote(f"{key}={_literal(value, sign)}")


def _is_read_as(setting: Key, typed: str, value: str, multirun: bool) -> bool:
    """Whether `_fit` makes `value` of `typed`, which has no quotes."""
    parsed = parse(f"x={typed}")
    is_text = setting.type in (str, str | None)
    if parsed is None:
        is_whole = is_text or (setting.is_bag and typed[:1] not in "[{")
        return is_whole and not (multirun and "," in typed) and alone(typed) == value
    if parsed.is_sweep_override():
        return is_text and not multirun and alone(typed) == value
    meant = parsed.value()
    if meant is None:
        return False
    is_kept = isinstance(meant, str) and typed == typed.strip()
    return (is_kept and alone(meant) == value) or (
        is_text and not is_kept and alone(typed) == value
    )


def parts(text: str) -> tuple[str, str]:
    """Return an override's key and value, without a leading plus or tilde."""
    key, _, value = text.partition("=")
    return key.lstrip("+~"), value


def parse(text: str) -> Any:
    """Parse an override by Hydra's grammar; None if that fails."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(text)
    except (HydraException, ValueError, RecursionError):  # thousands of digits, or of brackets
        return None


def unquoted(text: str) -> str:
    """Return `text` without the quotes around it."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def closing(value: str) -> str:
    """Return the brackets missing at the end of a list or mapping; empty if that is unclear."""
    missing = ""
    for sign in value if value[:1] in ("[", "{") else "":
        if sign in "()'\"\\":
            return ""
        if sign in "[{":
            missing = ("]" if sign == "[" else "}") + missing
        missing = missing.removeprefix(sign) if sign in "]}" else missing
    return missing


def checked_override(text: str, config_dir: Path | None, multirun: bool) -> str:
    """Check an override's key, and return it in Hydra's grammar.

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
        return text  # the user's own group; Hydra reports it if it is unknown
    setting = declared(key, value)
    plus = "" if key == setting.name else "++"
    return f"{plus}{key}={_fit(setting, key, value, multirun)}"


def checked_preset(group: str, value: str, config_dir: Path | None, multirun: bool) -> str:
    """Check the choice of a preset, or of several in a sweep; Hydra reports unknown ones."""
    text = f"{group}={value}"
    parsed = parse(text)
    if parsed is not None and parsed.is_sweep_override():
        if not multirun:
            raise UserError(_several_values(text))
        return text
    chosen = "" if parsed is None else parsed.value()
    is_none = chosen is None and group == "experiment"
    # A mapping holds values of the group's settings: sampling={n_samples:4}.
    is_broken_text = isinstance(chosen, str) and OPEN in chosen and is_broken(chosen)
    if chosen == "" or is_broken_text or not (is_none or isinstance(chosen, str | dict)):
        raise UserError(unknown_preset(group, value, preset_names(group, config_dir)))
    return text


def _fit(setting: Key, key: str, value: str, multirun: bool) -> str:
    """Return the value in Hydra's grammar: text that it would misread is quoted.

    A text setting takes any text: a path with spaces or commas, `1e3`, `true`.
    """
    is_text = setting.type in (str, str | None)
    if key == setting.name and setting.is_bag and value[:1] != "{" and "${" not in value:
        raise UserError(f"{key}={value} is not a mapping; type {key}.NAME=... ({setting.help})")
    if setting.type == str | None and value == "":
        return "null"
    if key == "run_dir":
        value = expand_home(value)
    parsed = parse(f"x={value}")
    if parsed is None:
        if is_text and multirun and "," in value:
            raise UserError(
                f"{key}={value} can't be read as several values: one with a character such as = "
                f"needs quotes; type \"{key}='...','...'\" (or \"{key}='...'\" for one text)"
            )
        if is_text or (setting.is_bag and value[:1] not in "[{"):
            return _quote_unreadable(key, value, multirun)
        if OPEN in value and (setting.is_bag or setting.type == list[str]):
            is_list = value[:1] == "["
            example = how_to_type(key, _list_items(value), multirun) if is_list else r'"\${..."'
            raise UserError(
                f"{key}={value} can't be read; a text with ${{ needs quotes and a backslash before "
                f"it; type {example}, or put it into a YAML file (config_file=)"
            )
        kind = "a value" if setting.is_bag else type_name(setting.type)
        missing = closing(value)
        hint = f"; a bracket is open: type {key}={value}{missing}" if missing else ""
        raise UserError(f"{key}={value} is not {kind}{hint} ({setting.help})")
    meant = parsed.value()
    if value == MISSING or holds(getattr(meant, "list", meant), MISSING):
        check_scalar(key, MISSING)
    if parsed.is_sweep_override():
        if not multirun and not is_text:
            raise UserError(_several_values(f"{key}={value}"))
        if not multirun:
            _refuse_broken(key, [value], value, multirun)
            return _in_quotes(value)
        for text in texts_in(getattr(meant, "list", None)):
            _refuse_broken(key, [text], text, multirun)
        return value
    _refuse_broken(key, texts_in(meant), meant, multirun)
    if setting.type == list[str] and not isinstance(meant, list) and "${" not in value:
        raise UserError(f"{key}={value} is not a list; type {key}=[{value}] ({setting.help})")
    # Quotes, interpolations, escapes and null count as typed. In a text, a value that looks like
    # a number, a list or padding is text.
    is_plain = meant is None or (isinstance(meant, str) and value == value.strip())
    return _in_quotes(value) if is_text and not is_plain else value


def _quote_unreadable(key: str, value: str, multirun: bool) -> str:
    r"""Quote a text that Hydra can't read; its interpolations stay live if they name settings.

    `a(1)/${sampling.seed}` names one; `\text{${x}$}`, which is LaTeX, is taken literally.
    """
    names = names_in(value)
    if names and not is_broken(value) and not any("." in n or _is_there(n) for n in names):
        return quoted(value)
    _refuse_broken(key, [value], value, multirun)
    return _in_quotes(value)


def _list_items(value: str) -> list[str]:
    """Return the likely items of a list that can't be read: its texts, split at commas."""
    inner = value.removeprefix("[").removesuffix("]")
    return [unquoted(part.strip()) for part in inner.split(",")]


def _refuse_broken(key: str, texts: Iterable[str], meant: Any, multirun: bool) -> None:
    """Raise UserError for a typed interpolation that can't be resolved."""
    for text in texts:
        if is_broken(text):
            raise UserError(broken(key, meant, "this one can't be parsed", multirun))
        if unknown := next((n for n in names_in(text) if not _is_there(n)), None):
            reason = f"there is no setting {unknown!r}"
            raise UserError(broken(key, meant, reason, multirun))


def broken(key: str, meant: Any, reason: str, multirun: bool = False) -> str:
    """Return the message for an interpolation typed in `meant`, with how to type it as text."""
    setting = declared(key)
    may_be_text = setting.is_bag or setting.type in (str, str | None, list[str])
    hint = f"; for the text itself type {how_to_type(key, meant, multirun)}" if may_be_text else ""
    return f"{key}={meant}: ${{...}} means another setting's value, and {reason}{hint}"


def _is_there(name: str) -> bool:
    first = name.partition(".")[0]
    is_above = any(key.startswith(f"{name}.") for key in known_keys())
    return name in known_keys() or bag_of(name) is not None or is_above or first == "hydra"


def _several_values(text: str) -> str:
    return f"{text} has several values; for a sweep type -m before it, for a list type [a,b]"

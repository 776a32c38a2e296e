"""What a value may be, whatever the setting: plain, finite, valid Unicode; a path that can be.

Promises a UserError in one line, before Hydra sees the value. Must not know a setting's own range.
"""

import math
import os
from enum import Enum
from pathlib import Path
from typing import Any

from rollout.errors import UserError
from rollout.system.disk import at_home

MISSING = "???"  # omegaconf's mark, which it can't quote
MAX_DEPTH = 50
MAX_VALUES = 1_000_000
# Settings whose texts are paths, and those whose texts may be one.
PATHS = (
    "run_dir", "output.path", "prepare.output.path", "postprocess.output.path",
    "postprocess.export.path", "data.input", "postprocess.input", "model.model_path",
    "model.lora_path", "prepare.source", "prepare.few_shot",
)  # fmt: skip
PATHS_OR_TEXTS = (
    "model.model_path", "model.lora_path", "model.chat_template", "data.template",
    "data.system_prompt", "data.tools", "prepare.source", "prepare.template", "prepare.system",
    "prepare.few_shot", "prepare.few_shot_answer", "postprocess.json_schema.schema",
    "postprocess.python.function",
)  # fmt: skip
LEAST_INT, LARGEST_INT = -(2**63), 2**64 - 1  # what msgpack and the engines take
MAX_PATH, MAX_NAME = 4095, 255  # bytes; of Linux


def plain(key: str, value: Any) -> Any:
    """`value` as text, numbers, lists and mappings of those.

    Raises UserError for what is none, refers to itself, or is more than settings can be.
    """
    return _Walk(key).plain(value, 0, frozenset())


class _Walk:
    def __init__(self, key: str):
        self._key, self._num_values = key, 0

    def plain(self, value: Any, depth: int, above: frozenset[int]) -> Any:
        self._num_values += 1
        if id(value) in above:
            raise UserError(f"{self._key} refers to itself, so it has no end")
        if depth > MAX_DEPTH:
            raise UserError(f"{self._key} is nested more than {MAX_DEPTH} deep")
        if self._num_values > MAX_VALUES:
            raise UserError(f"{self._key} holds more than {MAX_VALUES:,} values")
        if isinstance(value, dict):
            inner = above | {id(value)}
            return {self._name(k): self.plain(v, depth + 1, inner) for k, v in value.items()}
        if isinstance(value, list | tuple):
            inner = above | {id(value)}
            return [self.plain(v, depth + 1, inner) for v in value]
        if value is None or isinstance(value, bool | Enum):
            return value
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if not isinstance(value, str | int | float) and hasattr(value, "item"):
            value = value.item() if getattr(value, "ndim", 0) == 0 else value  # numpy's scalars
        if not isinstance(value, str | int | float):
            raise UserError(
                f"{self._key}={short(repr(value))} is {type(value).__name__}, and settings are "
                "text, numbers, true, false, null, lists or mappings of them"
            )
        if depth or isinstance(value, str):  # a setting's own number has a range of its own
            check_scalar(self._key, value)
        return value

    def _name(self, name: Any) -> str | int:
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise UserError(
                f"{self._key}: {short(repr(name))} is no name; names are texts, so quote it"
            )
        check_scalar(self._key, name)
        return name


def check_scalar(key: str, value: str | int | float) -> None:
    """Raise UserError for a text that is no Unicode and a number that no engine takes."""
    if value == MISSING:
        raise UserError(
            f"{key}={value}: three question marks mean that nothing is set, so they can't be a "
            "text; add a space or another sign"
        )
    if isinstance(value, str):
        # On Linux a name is bytes; what is not UTF-8 in it, Python keeps as surrogates.
        is_name = key in PATHS or key in PATHS_OR_TEXTS
        try:
            value.encode("utf-8", "surrogateescape" if is_name else "strict")
        except UnicodeEncodeError as error:
            raise UserError(
                f"{key}={short(value)} is not valid UTF-8 ({value[error.start]!r} at position "
                f"{error.start}); type it as UTF-8"
            ) from None
    elif isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{key}={value} is not a finite number; quote it if it is a text")
    elif isinstance(value, int) and not LEAST_INT <= value <= LARGEST_INT:
        raise UserError(f"{key}: a number has at most 64 bits; quote it if it is a text")


def check_path(key: str, path: str, room: int = 0) -> None:
    """Raise UserError for a path that no file can have; whether there is one is another question.

    `room` is how many bytes it leaves for names that are put below it, or beside it.
    """
    if "\0" in path:
        raise UserError(f"{key}={short(path)} can't be a path: it has a null byte")
    try:
        whole = Path(at_home(path))
        names = [len(os.fsencode(part)) for part in whole.parts]
        length = len(os.fsencode(whole.absolute()))
    except ValueError:
        raise UserError(f"{key}={short(path)} can't be a path: it is not UTF-8") from None
    # A hub id, a glob and a run's file may be longer than what is written beside it.
    longest = MAX_NAME - 25 if room else MAX_NAME
    if max(names, default=0) > longest:
        raise UserError(
            f"{key}={short(path)} can't be a path: File name too long ({max(names)} bytes; at most "
            f"{longest}); type a shorter one"
        )
    if length > MAX_PATH - room:
        raise UserError(
            f"{key}={short(path)} can't be a path: File name too long ({length:,} bytes; at most "
            f"{MAX_PATH - room:,} here); type a shorter one"
        )
    try:
        whole.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise UserError(f"{key}={short(path)} can't be a path: {error.strerror}") from error


def short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:60]}...{text[-15:]}"

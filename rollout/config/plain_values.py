"""Check values of any setting: plain types, finite numbers, valid Unicode, possible paths.

Guarantees a one-line UserError before Hydra sees the value. Must not know about a setting's own
range.
"""

import math
import os
from enum import Enum
from pathlib import Path
from typing import Any

from rollout.errors import UserError
from rollout.system.disk import expand_home
from rollout.system.storage.paths import is_remote, text_of

MISSING = "???"  # omegaconf's mark for an unset value; it can't be quoted
MAX_DEPTH = 50
MAX_VALUES = 1_000_000
# Settings whose texts are paths, and those whose texts may be.
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
MIN_INT, MAX_INT = -(2**63), 2**64 - 1  # the range of msgpack and the engines
MAX_PATH, MAX_NAME = 4095, 255  # bytes, on Linux


def plain(key: str, value: Any) -> Any:
    """Return `value` as text, numbers, lists and mappings of those.

    Raises UserError for other types, a reference to itself, or more values than settings may have.
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
            value = text_of(value)
        if not isinstance(value, str | int | float) and hasattr(value, "item"):
            value = value.item() if getattr(value, "ndim", 0) == 0 else value  # numpy's scalars
        if not isinstance(value, str | int | float):
            raise UserError(
                f"{self._key}={short(repr(value))} is of type {type(value).__name__}; settings are "
                "text, numbers, true, false, null, lists or mappings of them"
            )
        if depth or isinstance(value, str):  # a number that is the setting has its own range
            check_scalar(self._key, value)
        return value

    def _name(self, name: Any) -> str | int:
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise UserError(
                f"{self._key}: {short(repr(name))} is not a name; names are text, so quote it"
            )
        check_scalar(self._key, name)
        return name


def check_scalar(key: str, value: str | int | float) -> None:
    """Raise UserError for text that is not valid Unicode, or a number that no engine takes."""
    if value == MISSING:
        raise UserError(
            f"{key}={value}: three question marks mean that nothing is set, so they can't be "
            "text; add a space or another character"
        )
    if isinstance(value, str):
        # On Linux a name is bytes. Python represents those that are not UTF-8 as surrogates.
        is_name = key in PATHS or key in PATHS_OR_TEXTS
        try:
            value.encode("utf-8", "surrogateescape" if is_name else "strict")
        except UnicodeEncodeError as error:
            raise UserError(
                f"{key}={short(value)} is not valid UTF-8 ({value[error.start]!r} at position "
                f"{error.start}); type it as UTF-8"
            ) from None
    elif isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{key}={value} is not a finite number; quote it if it is text")
    elif isinstance(value, int) and not MIN_INT <= value <= MAX_INT:
        raise UserError(f"{key}: a number has at most 64 bits; quote it if it is text")


def check_path(key: str, path: str, room: int = 0) -> None:
    """Raise UserError for a path that no file can have; the file need not exist.

    `room` is the number of bytes to leave for names below it, or beside it.
    """
    if "\0" in path:
        raise UserError(f"{key}={short(path)} can't be a path: it has a null byte")
    if key == "run_dir":
        check_run_dir(path)
    if is_remote(path):  # its store may have other limits
        return
    try:
        whole = Path(expand_home(path))
        names = [len(os.fsencode(part)) for part in whole.parts]
        length = len(os.fsencode(whole.absolute()))
    except ValueError:
        raise UserError(f"{key}={short(path)} can't be a path: it is not UTF-8") from None
    # With room, leave 25 bytes for the temporary name beside it. Inputs need none.
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


def check_run_dir(path: str) -> None:
    """Raise UserError for a run directory on an object store."""
    if is_remote(path):
        raise UserError(
            f"run_dir={short(path)}: a run appends to its files and locks them, which an object "
            "store can't do; type a run_dir= on a disk, and output.path= on the store"
        )


def short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:60]}...{text[-15:]}"

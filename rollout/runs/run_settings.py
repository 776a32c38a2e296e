"""The settings that a run was last launched with, for `run_dir=DIR` alone: it goes on with them.

Owns how what a run wrote down becomes settings again: paths relative to where its command was
typed, prompts that were prepared for it. Promises a UserError that says what to type where the
record can't serve.
"""

import glob
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rollout.config.names import GROUPS, declared, flatten
from rollout.config.plain_values import PATHS_OR_TEXTS
from rollout.config.recorded import Recorded, take_starred
from rollout.errors import UserError
from rollout.postprocess.scoring.function import as_said_from
from rollout.store.run_dir import is_a_run, last_attempt
from rollout.store.run_records import environment_of, run_record
from rollout.system import disk
from rollout.system.disk import at_home
from rollout.system.formats.plain_yaml import read_yaml

# A launch that goes on is told these anew.
OF_ONE_LAUNCH = ("resume", "dry_run", "run_dir")
# What the planner and engine=auto ask of a key is whether the user set it; others are not asked.
ASKED_FOR = ("engine.", "model.")
PATHS = (
    "data.input", "output.path", "prepare.output.path", "postprocess.output.path",
    "postprocess.export.path",
)  # fmt: skip


def recorded(run_dir: Path, start_dir: Path, given: Iterable[str] = ()) -> Recorded | None:
    """The settings of the last launch of the run in `run_dir`; None where there is no run.

    Its relative paths hang on where it was typed; they are made absolute where that is not
    `start_dir`. `given` are the keys set beside it. Raises UserError where the record can't be
    read.
    """
    try:
        holds_a_run = is_a_run(run_dir)
    except (OSError, ValueError):  # no path at all, as the check of settings will say
        return None
    if not holds_a_run:
        if (run_dir / "sweep.json").is_file():
            point = next(iter(sorted(run_dir.glob("*/run.json"))), run_dir / "POINT" / "run.json")
            raise UserError(
                f"run_dir={run_dir} is a sweep's; type the directory of a point, such as run_dir="
                f"{point.parent}, or the command of the sweep again"
            )
        return None
    content, place = _last_launch(run_dir)
    presets, given = content.pop("presets", None) or {}, content.pop("given", None) or []
    values = {k: v for k, v in flatten(content).items() if k not in OF_ONE_LAUNCH}
    try:
        for key in values:
            declared(key)
    except UserError as error:
        raise UserError(
            f"run_dir={run_dir} was written by another version of rollout: {error}; type the whole "
            "command"
        ) from None
    before = Path(str(content.get("run_dir") or run_dir))
    place = place and _moved_along(place, before, run_dir)
    for key in (*PATHS, *PATHS_OR_TEXTS):
        if isinstance(value := values.get(key), str):
            values[key] = _here(key, value, place or start_dir, start_dir, before, run_dir)
    missing = take_starred(values)
    if values.get("prepare.source") is not None:
        _as_prepared(values, is_changed=any(key.startswith("prepare.") for key in given))
    given = [key for key in given if str(key).startswith(ASKED_FOR)]
    chosen = {k: str(v) for k, v in presets.items() if k in GROUPS and v is not None}
    return Recorded(run_dir, values, chosen, given, missing)


def _last_launch(run_dir: Path) -> tuple[dict[str, Any], Path | None]:
    """What the last launch wrote of its settings, and where its command was typed, if it says."""
    attempt = last_attempt(run_dir)
    file = attempt / "config.yaml" if attempt else None
    if file and os.path.lexists(file):
        try:
            content = read_yaml(disk.read_regular(file).decode("utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            line = " ".join(str(error).split())[:200]
            raise UserError(f"{file} can't be read: {line}; type the whole command") from error
        # The last two keys: without them the file was cut off, and settings are missing.
        if not isinstance(content, dict) or not {"presets", "given"} <= content.keys():
            raise UserError(f"{file} is damaged (it is not whole); type the whole command")
        told = environment_of(attempt)
    else:
        file, told = run_dir / "run.json", run_record(run_dir) or {}
        content = told.get("config") or {}
    presets, given = content.get("presets") or {}, content.get("given") or []
    if not (content and isinstance(presets, dict) and isinstance(given, list)):
        raise UserError(f"{file} is damaged (it holds no settings); type the whole command")
    return content, Path(told["cwd"]) if "cwd" in told else None


def _moved_along(place: Path, before: Path, run_dir: Path) -> Path:
    """Where a launch's own directory is now, if it was moved together with the run's."""
    if place.exists() or not before.is_absolute():
        return place
    now = Path(os.path.abspath(run_dir / os.path.relpath(place, before)))  # noqa: PTH100
    return now if now.is_dir() else place


def _here(
    key: str, value: str, place: Path, start_dir: Path, run_before: Path, run_dir: Path
) -> str:
    """The path as it is to be said from `start_dir`, in a run directory that may have moved."""
    path = Path(value)
    if path.is_absolute():
        is_inside = run_before != run_dir and path.is_relative_to(run_before)
        moved = run_dir / path.relative_to(run_before) if is_inside else path
        return str(moved) if key in PATHS and (moved.exists() or not path.exists()) else value
    if place == start_dir or value.startswith("~") or "://" in value:
        return value
    if key == "postprocess.python.function":
        return as_said_from(value, place)
    return str(place / value) if key in PATHS or _is_there(place, value) else value


def _is_there(place: Path, text: str) -> bool:
    """Whether a text names files; most are too long, or hold signs that no path has."""
    try:
        magic = glob.has_magic(text)
        return bool(text) and ((place / text).exists() or (magic and any(place.glob(text))))
    except (OSError, ValueError, NotImplementedError):
        return False


def _as_prepared(values: dict[str, Any], is_changed: bool) -> None:
    """Take the prompts as they were made for the run, where what they were made of is gone.

    Else whoever prepares them sees whether they still are what they would be made again.
    """
    path, here = values.get("data.input"), Path.cwd()
    stands = not is_changed and path and Path(at_home(str(path))).exists()
    named = [values.get(key) for key in PATHS_OR_TEXTS if key.startswith("prepare.")]
    if stands and not any(isinstance(text, str) and _is_there(here, text) for text in named):
        for key in [key for key in values if key.startswith("prepare.")]:
            del values[key]
    else:
        values.pop("data.input", None)

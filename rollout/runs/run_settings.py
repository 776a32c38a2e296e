"""Read the settings of a run's last launch, so that `run_dir=DIR` alone resumes it.

Owns how the record of a launch becomes settings again: relative paths, and prompts that were
prepared for the run. Guarantees a UserError that says what to type if the record is unusable.
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
from rollout.postprocess.scoring.function import name_relative_to
from rollout.store.run_dir import is_a_run, last_attempt
from rollout.store.run_records import environment_of, run_record
from rollout.system import disk
from rollout.system.disk import path_of
from rollout.system.formats.plain_yaml import read_yaml

OF_ONE_LAUNCH = ("resume", "dry_run", "run_dir", "console")  # not taken over from the record
ASKED_FOR = ("engine.", "model.")  # engine=auto and the planner depend on who set these keys
PATHS = (
    "data.input", "output.path", "prepare.output.path", "postprocess.output.path",
    "postprocess.export.path",
)  # fmt: skip


def recorded(run_dir: Path, start_dir: Path, given: Iterable[str] = ()) -> Recorded | None:
    """Return the settings of the last launch of the run in `run_dir`; None if it holds no run.

    The record's relative paths are made absolute if it was launched elsewhere than in
    `start_dir`. `given` are the keys set in addition. Raises UserError if the record is unusable.
    """
    try:
        holds_a_run = is_a_run(run_dir)
    except (OSError, ValueError):  # not a path; the check of settings refuses it
        return None
    if not holds_a_run:
        if (run_dir / "sweep.json").is_file():
            point = next(iter(sorted(run_dir.glob("*/run.json"))), run_dir / "POINT" / "run.json")
            raise UserError(
                f"run_dir={run_dir} is a sweep's directory; type a point's, such as run_dir="
                f"{point.parent}, or the command of the sweep again"
            )
        return None
    content, place = _last_launch(run_dir)
    presets, recorded_keys = content.pop("presets", None) or {}, content.pop("given", None) or []
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
            values[key] = _seen_from(key, value, place or start_dir, start_dir, before, run_dir)
    missing = take_starred(values)
    if values.get("prepare.source") is not None:
        set_keys = {*recorded_keys, *given}
        _keep_prepared(values, is_changed=any(key.startswith("prepare.") for key in set_keys))
    asked_for = [key for key in recorded_keys if str(key).startswith(ASKED_FOR)]
    chosen = {k: str(v) for k, v in presets.items() if k in GROUPS and v is not None}
    return Recorded(run_dir, values, chosen, asked_for, missing)


def _last_launch(run_dir: Path) -> tuple[dict[str, Any], Path | None]:
    """Return the settings that the last launch wrote, and its working directory, if recorded."""
    attempt = last_attempt(run_dir)
    file = attempt / "config.yaml" if attempt else None
    if file and os.path.lexists(file):
        try:
            content = read_yaml(disk.read_regular(file).decode("utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            line = " ".join(str(error).split())[:200]
            raise UserError(f"{file} can't be read: {line}; type the whole command") from error
        # The last two keys are missing if the file was cut off.
        if not isinstance(content, dict) or not {"presets", "given"} <= content.keys():
            raise UserError(f"{file} is damaged (it is incomplete); type the whole command")
        record = environment_of(attempt)
    else:
        file, record = run_dir / "run.json", run_record(run_dir) or {}
        content = record.get("config") or {}
    presets, given = content.get("presets") or {}, content.get("given") or []
    if not (content and isinstance(presets, dict) and isinstance(given, list)):
        raise UserError(f"{file} is damaged (it holds no settings); type the whole command")
    return content, Path(record["cwd"]) if "cwd" in record else None


def _moved_along(place: Path, before: Path, run_dir: Path) -> Path:
    """Return where a launch's working directory is now, if it moved together with the run."""
    if place.exists() or not before.is_absolute():
        return place
    now = Path(os.path.abspath(run_dir / os.path.relpath(place, before)))  # noqa: PTH100
    return now if now.is_dir() else place


def _seen_from(
    key: str, value: str, place: Path, start_dir: Path, run_before: Path, run_dir: Path
) -> str:
    """Return the path for use in `start_dir`, although the run directory may have moved."""
    path = Path(value)
    if path.is_absolute():
        is_inside = run_before != run_dir and path.is_relative_to(run_before)
        moved = run_dir / path.relative_to(run_before) if is_inside else path
        return str(moved) if key in PATHS and (moved.exists() or not path.exists()) else value
    if place == start_dir or value.startswith("~") or "://" in value:
        return value
    if key == "postprocess.python.function":
        return name_relative_to(value, place)
    return str(place / value) if key in PATHS or _is_there(place, value) else value


def _is_there(place: Path, text: str) -> bool:
    """Whether a text names existing files; most texts are too long or invalid as a path."""
    text = os.path.expanduser(text)  # noqa: PTH111  Path's raises for an unknown user
    try:
        if glob.has_magic(text):
            found = glob.iglob(text, root_dir=place, recursive=True)  # noqa: PTH207
            return (place / text).exists() or any(found)
        return bool(text) and (place / text).exists()
    except (OSError, ValueError):  # too long for a path, or it has a null character
        return False


def _keep_prepared(values: dict[str, Any], is_changed: bool) -> None:
    """Use the prompts that were prepared for the run if the files they were made from are gone.

    Otherwise they are prepared again, which keeps them if nothing has changed.
    """
    path, here = values.get("data.input"), Path.cwd()
    is_usable = not is_changed and path and path_of(str(path)).exists()
    named = [values.get(key) for key in PATHS_OR_TEXTS if key.startswith("prepare.")]
    if is_usable and not any(isinstance(text, str) and _is_there(here, text) for text in named):
        for key in [key for key in values if key.startswith("prepare.")]:
            del values[key]
    else:
        values.pop("data.input", None)

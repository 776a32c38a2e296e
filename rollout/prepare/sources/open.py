"""Open the source that `prepare.source` names: files, a directory, a hub dataset, reasoning_gym.

Guarantees a UserError with what to type if it names nothing. Must not know about rows.
"""

import glob
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rollout.config.sections.prepare import FileFormat, Prepare
from rollout.errors import UserError, did_you_mean
from rollout.prepare.sources.gym import NAME, open_gym
from rollout.prepare.sources.row_files import COMPRESSED, open_rows
from rollout.prepare.sources.source import Source, Tally
from rollout.prepare.sources.tables import (
    open_arrow_files,
    open_hub,
    open_parquet_files,
    open_saved,
)
from rollout.system.disk import expand_home, path_of
from rollout.system.storage.faults import StorageError
from rollout.system.storage.paths import RemotePath, find_glob, has_magic, is_remote

EXTENSIONS = {
    ".jsonl": FileFormat.jsonl,
    ".ndjson": FileFormat.jsonl,
    ".json": FileFormat.json,
    ".csv": FileFormat.csv,
    ".tsv": FileFormat.tsv,
    ".parquet": FileFormat.parquet,
    ".pq": FileFormat.parquet,
    ".arrow": FileFormat.arrow,
    ".feather": FileFormat.arrow,
    ".ipc": FileFormat.arrow,
}
SAVED = ("state.json", "dataset_dict.json")  # written by save_to_disk of datasets
DATASET_KEYS = ("split", "subset", "revision")
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def open_source(
    settings: Prepare, start_dir: Path, tally: Tally, note: Callable[[str], Any]
) -> Source:
    """Open what `source` names; relative paths are relative to `start_dir`. Raises UserError.

    `note` is called with a line before slow steps.
    """
    text = settings.source
    if not text:
        raise UserError(
            "source is not set; type source=FILE.jsonl (or .json, .csv, .parquet, .arrow, a glob, "
            "a directory), source=ORG/NAME of the hub, or source=reasoning_gym task=leg_counting"
        )
    if text == NAME:
        _refuse_others(settings, DATASET_KEYS, "a dataset")
        return open_gym(settings, tally)
    _refuse_others(settings, ("task", "task_config"), "source=reasoning_gym")
    path = path_of(text, start_dir)
    if not is_remote(path) and path.is_dir() and any((path / name).is_file() for name in SAVED):
        return open_saved(path, settings, tally)
    files = files_of(text, start_dir, settings.format)
    if not files:
        if HUB_NAME.fullmatch(text) and not _extension(Path(text)):
            note(f"looking up {text} on the hub ...")
            return open_hub(settings, tally)
        raise UserError(f"source={text} does not exist.{_suggestion(path)}")
    _refuse_others(settings, DATASET_KEYS, "a dataset")
    kinds = {format_of(file, settings.format) for file in files}
    if len(kinds) > 1:
        raise UserError(
            f"source={text} has files of several formats "
            f"({', '.join(sorted(k.name for k in kinds))}); type a glob for one format, such as "
            "'*.jsonl'"
        )
    kind = kinds.pop()
    if kind is FileFormat.parquet:
        return open_parquet_files(files, tally)
    if kind is FileFormat.arrow:
        return open_arrow_files(files, tally)
    return open_rows(files, kind, tally)


def files_of(text: str, start_dir: Path, kind: FileFormat) -> list[Path]:
    """Return the file, the directory's files, or the glob's matches, sorted; empty if none exists.

    Raises UserError for a directory without known files, and for a glob without matches.
    """
    path = path_of(text, start_dir)
    try:
        if path.is_dir():
            known = [p for p in sorted(path.iterdir()) if not _hidden(p)]
            known = [p for p in known if is_remote(p) or p.is_file()]
            if kind is FileFormat.auto:
                known = [file for file in known if _extension(file)]
            if not known:
                listed = " ".join(f"*{name}" for name in EXTENSIONS)
                raise UserError(
                    f"source={text} is a directory without any of {listed}; type format= to read "
                    "its files anyway"
                )
            return known
        if path.exists():
            if not path.is_file():
                raise UserError(f"source={text} is not a regular file; save its data to a file")
            return [path]
    except StorageError:
        raise
    except OSError as error:
        raise UserError(f"source={text}: {error.strerror}") from None
    if isinstance(path, RemotePath):
        if not has_magic(path):
            return []
        return find_glob(path) or _refuse_empty(text)
    if not glob.has_magic(text):
        return []
    # Not Path.glob: it matches hidden files and, before 3.13, does not follow linked directories.
    names = glob.glob(expand_home(text), root_dir=start_dir, recursive=True)  # noqa: PTH207
    found = sorted(start_dir / name for name in names if (start_dir / name).is_file())
    return found or _refuse_empty(text)


def _refuse_empty(text: str) -> Any:
    raise UserError(f"source={text} matches no file; correct the glob")


def format_of(path: Path, given: FileFormat = FileFormat.auto) -> FileFormat:
    """Return the format of a file. Raises UserError if its extension is unknown."""
    kind = given if given is not FileFormat.auto else _extension(path)
    if kind is None:
        names = ", ".join(k.name for k in FileFormat if k is not FileFormat.auto)
        suffix = path.suffix or "no extension"
        raise UserError(
            f"source={path} has {suffix}, so its format is unknown."
            f"{did_you_mean(suffix, EXTENSIONS)} Type format= with one of {names}"
        )
    if path.suffix.lower() in COMPRESSED and kind in (FileFormat.parquet, FileFormat.arrow):
        raise UserError(
            f"source={path}: compressed {kind.name} files can't be read; decompress it first"
        )
    return kind


def _extension(path: Path) -> FileFormat | None:
    if path.suffix.lower() in COMPRESSED:
        path = path.with_suffix("")
    return EXTENSIONS.get(path.suffix.lower())


def _hidden(path: Path) -> bool:
    return path.name.startswith((".", "_"))


def _refuse_others(settings: Prepare, names: tuple[str, ...], kind: str) -> None:
    """Refuse settings that apply only to another kind of source."""
    for name in names:
        if getattr(settings, name):
            raise UserError(
                f"{name}={getattr(settings, name)} applies only to {kind}, not to "
                f"source={settings.source}; leave {name} out"
            )


def _suggestion(path: Path) -> str:
    if not path.parent.is_dir():
        return f" The directory {path.parent} does not exist either"
    return did_you_mean(path.name, sorted(p.name for p in path.parent.iterdir()))

"""Prompts on disk: one parquet file, or one per split, written completely or not at all.

Owns the mark that records how a file was made.
"""

import json
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.config.fingerprint import to_plain
from rollout.config.sections.prepare import Destination, Prepare
from rollout.errors import RolloutError, UserError
from rollout.inputs.input_files import input_files_of
from rollout.prepare.spool import Spool
from rollout.store.places import Place, Writer
from rollout.store.publish import row_groups, write_parquet
from rollout.system import file_contents
from rollout.system.disk import path_of
from rollout.system.storage.paths import is_remote, lexists, open_random

if TYPE_CHECKING:
    import pyarrow as pa

MAX_SPLIT_BYTES = 100  # a file name may have 255, and also has the name in output.path
MARK, FILES = b"rollout.prepare", b"rollout.prepare.files"

# Settings that may name a file, which is compared by content.
MAY_NAME_A_FILE = ("source", "template", "system", "few_shot", "few_shot_answer")


def mark_of(settings: Prepare, start_dir: Path) -> str:
    """Return the settings that made a file, as JSON, without any directories.

    Of a file, a glob or a directory only the last part of its name counts.
    """
    plain = to_plain(replace(settings, output=Destination(), preview=False))
    del plain["output"], plain["preview"]
    for name in MAY_NAME_A_FILE:
        text = plain[name]
        is_path = text and ("/" in text or Path(text).suffix) and not set("{\n") & set(text)
        if is_path and is_remote(text):
            plain[name] = text.rstrip("/").rpartition("/")[2]
        elif is_path and (name != "source" or not _is_hub_name(text, start_dir)):
            plain[name] = Path(text).name
    if settings.source == "reasoning_gym":
        with suppress(metadata.PackageNotFoundError):
            plain["version"] = metadata.version("reasoning-gym")
    return json.dumps(plain, sort_keys=True)


def _is_hub_name(text: str, start_dir: Path) -> bool:
    is_one = text.count("/") == 1 and not Path(text).suffix and text[0] not in "./~"
    return is_one and not (start_dir / text).exists()


def marks_of(
    settings: Prepare, start_dir: Path, files: list[Path], watched: file_contents.Watched | None
) -> dict[bytes, str]:
    """Return a file's metadata: its settings, the files read with digests, the source's files."""
    seen = watched.observe if watched else file_contents.observe
    read = [{"path": str(path.absolute()), "name": path.name} | seen(path) for path in files]
    recorded = {"read": read, "named": [path.name for path in _named(settings, start_dir)]}
    return {MARK: mark_of(settings, start_dir), FILES: json.dumps(recorded)}


def _named(settings: Prepare, start_dir: Path) -> list[Path]:
    """Return the files that the source names now."""
    from rollout.prepare.sources.open import files_of

    try:
        return files_of(settings.source or "", start_dir, settings.format)
    except (UserError, OSError, ValueError):
        return []


def _texts(settings: Prepare, start_dir: Path) -> list[Path]:
    """Return the files that other settings name."""
    texts = [getattr(settings, name) for name in MAY_NAME_A_FILE[1:]]
    return [r.files[0] for text in texts if text for r in input_files_of("file", text, start_dir)]


def was_made_by(path: Path, settings: Prepare) -> bool:
    """Whether `path` was made with these settings, from files that have not changed since.

    Files that are no longer on this machine count as unchanged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    start_dir = Path.cwd()
    try:
        with open_random(path) as file:
            marks = pq.read_schema(file).metadata or {}
        recorded = json.loads(marks.get(FILES, b"{}"))
        read, names = recorded["read"], recorded["named"]
        where = [(path_of(entry["path"]), str(entry["name"]), entry) for entry in read]
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError):
        return False
    if marks.get(MARK) != mark_of(settings, start_dir).encode():
        return False
    named = _named(settings, start_dir)
    if named and [file.name for file in named] != names:
        return False
    now = [file.absolute() for file in (*named, *_texts(settings, start_dir))]
    for file in now:
        if not any(
            name == file.name and file_contents.is_unchanged(file, entry)
            for _, name, entry in where
        ):
            return False
    known = {file.name for file in now}
    others = [(file, entry) for file, name, entry in where if name not in known and file.exists()]
    return all(file_contents.is_unchanged(file, entry) for file, entry in others)


def shares_of(settings: Prepare) -> dict[str, float]:
    """Return the splits and their shares. Raises UserError if they don't add up to 1."""
    shares = {}
    for name, share in settings.splits.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
            raise UserError(
                f"splits.{name}={share} is not a share; type a number up to 1, such as 0.9"
            )
        shares[_file_part(str(name), shares)] = float(share)
    if shares and abs(sum(shares.values()) - 1) > 1e-6:
        raise UserError(
            f"splits add up to {sum(shares.values()):g}, not 1; type shares such as "
            "splits='{train: 0.9, test: 0.1}'"
        )
    return shares


def _file_part(name: str, taken: dict[str, float]) -> str:
    """Return the name of a split if a file name may contain it. Raises UserError."""
    shown, remedy = f"splits: {name!r:.60}", "type a name such as train"
    if not name.strip(". "):
        raise UserError(f"{shown} is not a valid file name; {remedy}")
    if odd := [sign for sign in name if sign in "/\\" or not sign.isprintable()]:
        raise UserError(f"{shown} has {odd[0]!r}, which a file name can't have; {remedy}")
    if name.lower().endswith(".parquet"):
        raise UserError(f"{shown}: .parquet is appended; type {name[:-8].rstrip('.')!r:.60}")
    if len(name.encode()) > MAX_SPLIT_BYTES:
        raise UserError(
            f"{shown} is longer than {MAX_SPLIT_BYTES} bytes, too long for a file name; {remedy}"
        )
    for other in taken:
        if _folded(other) == _folded(name):
            raise UserError(
                f"splits: {other!r:.60} and {name!r:.60} are the same file name on some file "
                "systems; rename one"
            )
    return name


def _folded(name: str) -> str:
    """Return a key that is equal for names that some file system treats as equal."""
    return unicodedata.normalize("NFKC", name).casefold()


def split_path(path: Path, name: str) -> Path:
    """Return the file of a split: prompts.parquet -> prompts-train.parquet."""
    return path.with_name(f"{path.stem}-{name}{path.suffix}")


def write(
    batches: "dict[Path, Iterator[pa.RecordBatch]]",
    schema: "pa.Schema",
    places: dict[Path, Place],
    writer: Writer,
) -> dict[Path, int]:
    """Stream rows into their files; return the number of rows of each.

    Files appear one after the other, once all are written. If one can't appear, those that are
    new are removed again. Raises UserError if a file would have no rows or has appeared meanwhile,
    RolloutError if it can't be written.
    """
    import pyarrow as pa

    counts = {}
    path = next(iter(batches))
    try:
        with _all_or_none(list(batches)) as made, ExitStack() as stack:
            for path, rows in batches.items():
                temporary = stack.enter_context(writer.written(places[path]))
                tables = (pa.Table.from_batches([batch]) for batch in rows)
                counts[path] = write_parquet(temporary, schema, row_groups(tables))
                made[path] = _mark(path, temporary)
                if not counts[path]:
                    raise UserError(
                        f"no row is left for {path}; nothing was written; type other splits, or "
                        "use more rows"
                    )
    except FileExistsError:
        there = (p for p in batches if lexists(p) and not places[p].overwrite)
        path = next(there, path)
        raise UserError(
            f"{places[path].shown} has appeared meanwhile and was not replaced; type another "
            f"{places[path].key}="
        ) from None
    except (OSError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise RolloutError(f"{places[path].shown} can't be written: {reason}") from error
    return counts


@contextmanager
def _all_or_none(paths: list[Path]) -> Iterator[dict[Path, Any]]:
    """Remove the new files on an error. The caller fills the yielded dict with their marks."""
    is_new = {path: not lexists(path) for path in paths}
    made: dict[Path, Any] = {}
    try:
        yield made
    except BaseException:
        for path, mark in made.items():
            with suppress(OSError):
                if is_new[path] and _mark(path, path) == mark:
                    path.unlink()
        raise


def _mark(path: Path, temporary: Path) -> Any:
    """Return what tells that the file at `path` is the one written to `temporary`."""
    return file_contents.endings(temporary) if is_remote(path) else temporary.lstat().st_ino


def orders(settings: Prepare, spool: Spool) -> dict[str, Sequence[int]]:
    """Return the rows of each split, in order; without splits, all rows under the name "".

    The same seed and rows give the same splits; a split keeps the order of the whole.
    """
    import numpy as np

    random = np.random.default_rng(settings.seed)
    rows = np.arange(spool.num_rows)
    if settings.shuffle or settings.sample is not None:
        rows = random.permutation(spool.num_rows)[: settings.sample]
        if not settings.shuffle:
            rows = np.sort(rows)
    rows = rows[: settings.limit]
    shares = shares_of(settings)
    if not shares:
        return {"": rows}
    drawn = random.permutation(len(rows))
    ends = np.rint(np.cumsum(list(shares.values())) * len(rows)).astype(int)
    starts = [0, *ends[:-1]]
    return {
        name: rows[np.sort(drawn[start:end])]
        for name, start, end in zip(shares, starts, ends, strict=True)
    }

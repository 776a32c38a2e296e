"""Prompts on disk: one parquet file, or one for each split, that appear whole or not at all.

Owns the mark that says how a file was made.
"""

import json
import os
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from rollout.config.fingerprint import to_plain
from rollout.config.sections.prepare import Destination, Prepare
from rollout.errors import RolloutError, UserError
from rollout.inputs.readings import reading_of
from rollout.prepare.spool import Spool
from rollout.store.places import Place, Writer
from rollout.store.publish import row_groups, write_parquet
from rollout.system import contents

if TYPE_CHECKING:
    import pyarrow as pa

MAX_SPLIT_BYTES = 100  # of 255 that a name may have, with that of output.path and more around it
MARK, FILES = b"rollout.prepare", b"rollout.prepare.prepare.files"


# Settings whose text may name a file; such a one counts by what it holds.
MAY_NAME_A_FILE = ("source", "template", "system", "few_shot", "few_shot_answer")


def mark_of(settings: Prepare, start_dir: Path) -> str:
    """What a file was made by, as JSON; where that, or what it was made of, lies is no part of it.

    Of a file, a glob or a directory only the last part of its name counts.
    """
    plain = to_plain(replace(settings, output=Destination(), preview=False))
    del plain["output"], plain["preview"]
    for name in MAY_NAME_A_FILE:
        text = plain[name]
        is_path = text and ("/" in text or Path(text).suffix) and not set("{\n") & set(text)
        if is_path and (name != "source" or not _is_hub_name(text, start_dir)):
            plain[name] = Path(text).name
    if settings.source == "reasoning_gym":
        with suppress(metadata.PackageNotFoundError):
            plain["version"] = metadata.version("reasoning-gym")
    return json.dumps(plain, sort_keys=True)


def _is_hub_name(text: str, start_dir: Path) -> bool:
    is_one = text.count("/") == 1 and not Path(text).suffix and text[0] not in "./~"
    return is_one and not (start_dir / text).exists()


def read_of(
    settings: Prepare, start_dir: Path, files: list[Path], watched: contents.Watched | None = None
) -> str:
    """The files that were read, with what they held, as JSON; and how many the source named."""
    seen = watched.seen if watched else contents.seen
    read = [{"path": os.fspath(path.absolute()), "name": path.name} | seen(path) for path in files]
    return json.dumps({"read": read, "named": [path.name for path in _named(settings, start_dir)]})


def _named(settings: Prepare, start_dir: Path) -> list[Path]:
    """The files that the source names, which change as files come and go."""
    from rollout.prepare.sources.open import files_of

    try:
        return files_of(settings.source or "", start_dir, settings.format)
    except (UserError, OSError, ValueError):
        return []


def _texts(settings: Prepare, start_dir: Path) -> list[Path]:
    """The other files that the settings name."""
    texts = [getattr(settings, name) for name in MAY_NAME_A_FILE[1:]]
    return [r.files[0] for text in texts if text for r in reading_of("file", text, start_dir)]


def was_made_by(path: Path, settings: Prepare, start_dir: Path | None = None) -> bool:
    """Whether the file at `path` was made by these settings, of files that hold what they held.

    What is gone since, or not on this machine, is no reason to make it again.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    start_dir = start_dir or Path.cwd()
    try:
        marks = pq.read_schema(pa.OSFile(os.fsencode(path))).metadata or {}
        told = json.loads(marks.get(FILES, b"{}"))
        read, names = told["read"], told["named"]
        where = [(Path(entry["path"]), str(entry["name"]), entry) for entry in read]
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError):
        return False
    if marks.get(MARK) != mark_of(settings, start_dir).encode():
        return False
    named = _named(settings, start_dir)
    if named and [file.name for file in named] != names:
        return False
    now = [file.absolute() for file in (*named, *_texts(settings, start_dir))]
    for file in now:
        if not any(name == file.name and contents.holds(file, entry) for _, name, entry in where):
            return False
    known = {file.name for file in now}
    others = [(file, entry) for file, name, entry in where if name not in known and file.exists()]
    return all(contents.holds(file, entry) for file, entry in others)


def shares_of(settings: Prepare) -> dict[str, float]:
    """The splits and their shares, which add up to 1. Raises UserError."""
    shares = {}
    for name, share in settings.splits.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
            raise UserError(f"splits.{name}={share} is no share; type a number such as 0.9")
        shares[_file_part(str(name), shares)] = float(share)
    if shares and abs(sum(shares.values()) - 1) > 1e-6:
        raise UserError(
            f"splits add up to {sum(shares.values()):g}, not 1; such as "
            "splits='{train: 0.9, test: 0.1}'"
        )
    return shares


def _file_part(name: str, taken: dict[str, float]) -> str:
    """The name of a split, if a file's name can have it. Raises UserError."""
    shown = f"splits: {name!r:.60}"
    way_out = "type a name such as train"
    if not name.strip(". "):
        raise UserError(f"{shown} is no name for a file; {way_out}")
    if odd := [sign for sign in name if sign in "/\\" or not sign.isprintable()]:
        raise UserError(f"{shown} has {odd[0]!r}, which no file's name can have; {way_out}")
    if name.lower().endswith(".parquet"):
        raise UserError(f"{shown} gets .parquet by itself; type {name[:-8].rstrip('.')!r:.60}")
    if len(name.encode()) > MAX_SPLIT_BYTES:
        raise UserError(
            f"{shown} is longer than {MAX_SPLIT_BYTES} bytes, too long for a file's name; {way_out}"
        )
    for other in taken:
        if _folded(other) == _folded(name):
            raise UserError(
                f"splits: {other!r:.60} and {name!r:.60} give the same file where capitals don't "
                "count; rename one"
            )
    return name


def _folded(name: str) -> str:
    """Equal for names that some file system takes for one."""
    return unicodedata.normalize("NFKC", name).casefold()


def split_path(path: Path, name: str) -> Path:
    """prompts.parquet -> prompts-train.parquet"""
    return path.with_name(f"{path.stem}-{name}{path.suffix}")


def write(
    batches: "dict[Path, Iterator[pa.RecordBatch]]",
    schema: "pa.Schema",
    places: dict[Path, Place],
    writer: Writer,
) -> dict[Path, int]:
    """Stream rows into their files; how many came to each.

    None appears before all are written; then they do, one after the other. Where one can't, those
    that are new are taken away again.

    Raises UserError where one has no rows, RolloutError where it can't be written.
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
                made[path] = temporary.stat().st_ino
                if not counts[path]:
                    raise UserError(f"no row is left for {path}; nothing was written")
    except FileExistsError:
        there = (p for p in batches if os.path.lexists(p) and not places[p].overwrite)
        path = next(there, path)
        raise UserError(
            f"{places[path].shown} has appeared meanwhile and is left as it is; type another "
            f"{places[path].key}="
        ) from None
    except (OSError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise RolloutError(f"{places[path].shown} can't be written: {reason}") from error
    return counts


@contextmanager
def _all_or_none(paths: list[Path]) -> Iterator[dict[Path, int]]:
    """Take the new files away where one of them fails to appear; filled with their inodes."""
    is_new = {path: not os.path.lexists(path) for path in paths}
    made: dict[Path, int] = {}
    try:
        yield made
    except BaseException:
        for path, inode in made.items():
            with suppress(OSError):
                if is_new[path] and path.lstat().st_ino == inode:
                    path.unlink()
        raise


def orders(settings: Prepare, spool: Spool) -> dict[str, Sequence[int]]:
    """Which rows of the spool go where, in order, by split (one without a name: all).

    The same seed and rows give the same; a split keeps the order of the whole.
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

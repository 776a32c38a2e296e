"""Compare the points of a sweep row by row: each row's figure, and whether two points differ.

Owns how a point's scored file is read and matched with another's. Guarantees: the same files give
the same result, and a pair is compared once, however often the table is written. Memory: a few
numbers per row, of a few points at a time. Must not know which point is best.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rollout.config.sections.export import Estimate, Unscored
from rollout.inputs.columns import values_of
from rollout.inputs.files import open_parquet
from rollout.postprocess.export.estimates import Counts, counts_of
from rollout.postprocess.export.intervals import Difference, difference
from rollout.postprocess.export.pass_at_k import pass_at_k
from rollout.report.sweep.points import Point, scored_file
from rollout.report.sweep.same_rows import row_text, shared_columns
from rollout.system.disk import read_json
from rollout.system.formats.row_batches import group_batches

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


class Unreadable(Exception):
    """Raised with a message for the user if a point's rows can't be read."""


class Source(NamedTuple):
    """A point's scored file in its current state, and how it was scored."""

    path: Path
    stamp: tuple[int, int, int]  # a file that was written again has another
    columns: tuple[str, ...]  # that tell which row is which
    scoring: str  # the settings, as JSON text: it has to be hashable


@dataclass(frozen=True, slots=True)
class Rows:
    """The prompt and the figure of each row of a file; NaN if it has no figure."""

    keys: "np.ndarray"
    values: "np.ndarray"


def compared(one: Point, other: Point, figure: str) -> Difference | None:
    """Compare a figure of two points over the prompts that both have.

    `figure` is a name in `scores` of summary.json. Returns None if that figure has no value per
    row, or estimate.resamples=0. Raises Unreadable if a file is gone or no prompt is in both.
    """
    files = [_file(point) for point in (one, other)]
    columns = shared_columns([*one.prompt_keys, *other.prompt_keys], [_schema(*f) for f in files])
    mine, theirs = (
        _source(point, *file, tuple(columns))
        for point, file in zip((one, other), files, strict=True)
    )
    return _compared(mine, theirs, figure)


def _file(point: Point) -> tuple[Path, tuple[int, int, int]]:
    """Return a point's scored file and its stamp."""
    try:
        path = scored_file(point) or point.run_dir / "scored.parquet"
        found = path.stat()
    except (OSError, ValueError):  # ValueError: a path that can't be one
        raise Unreadable("the scored file is gone; the same command makes it again") from None
    return path, (found.st_mtime_ns, found.st_size, found.st_ino)


@lru_cache(maxsize=256)
def _schema(path: Path, stamp: tuple[int, int, int]) -> "pa.Schema":
    with _readable(path), open_parquet(path) as file:
        return file.schema_arrow


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Raise whatever is raised as Unreadable: the table is worth more than a damaged file."""
    try:
        yield
    except Exception as error:
        raise Unreadable(f"{path} can't be read ({type(error).__name__})") from error


def _source(
    point: Point, path: Path, stamp: tuple[int, int, int], columns: tuple[str, ...]
) -> Source:
    scoring = (read_json(point.run_dir / "published.json") or {}).get("scoring") or {}
    if not isinstance(scoring, dict) or not isinstance(scoring.get("estimate", {}), dict):
        raise Unreadable(f"{point.run_dir / 'published.json'} is damaged")
    return Source(path, stamp, columns, json.dumps(scoring, sort_keys=True))


@lru_cache(maxsize=4096)
def _compared(one: Source, other: Source, figure: str) -> Difference | None:
    import numpy as np

    mine, theirs = _rows(one, figure), _rows(other, figure)
    if mine is None or theirs is None:
        return None
    _, here, there = np.intersect1d(mine.keys, theirs.keys, return_indices=True)
    a, b = mine.values[here], theirs.values[there]
    both = ~(np.isnan(a) | np.isnan(b))
    if not both.any():
        raise Unreadable("no prompt was judged for both")
    s = _estimate(json.loads(one.scoring))
    return difference(a[both], b[both], s.confidence, s.resamples, s.seed)


@lru_cache(maxsize=8)
def _rows(source: Source, figure: str) -> Rows | None:
    """Read a scored file. Return None if the figure has no value per row."""
    import numpy as np

    scoring = json.loads(source.scoring)
    settings, prefix = _estimate(scoring), scoring.get("prefix", "")
    prompts: list[int] = []
    with _readable(source.path):
        if figure.startswith("pass@"):
            values = _passes(source, prefix, int(figure.removeprefix("pass@")), settings, prompts)
        else:
            counts = Counts(settings, scoring.get("pass_threshold", 1.0))
            for hashes, *columns in _read(source, prefix, ["scores", "extracted", "verdicts"]):
                prompts += hashes
                for row in zip(*(column.to_pylist() for column in columns), strict=True):
                    counts.add(*row)
            values = counts.by_row().get(figure)
    return None if values is None else Rows(_numbered(np.array(prompts, dtype=np.int64)), values)


def _passes(
    source: Source, prefix: str, k: int, settings: Estimate, prompts: list[int]
) -> "np.ndarray":
    """Return each row's pass@k; add its prompt's hash to `prompts`."""
    import numpy as np

    counted = [np.empty((2, 0), dtype=np.int64)]
    for hashes, verdicts in _read(source, prefix, ["verdicts"]):
        prompts += hashes
        counted.append(np.stack(counts_of(verdicts, settings)))
    n, c = np.concatenate(counted, axis=1)
    return pass_at_k(n, c, k) if len(n) else n.astype(float)  # NaN where no sample counts


def _read(source: Source, prefix: str, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    """Yield batches of the rows' hashes and these columns. Raises KeyError if one is missing."""
    known = source.columns
    with open_parquet(source.path) as file:
        wanted = [*known, *(prefix + column for column in columns)]
        for group in range(file.num_row_groups):  # one at a time, as in prompts.py
            for batch in group_batches(file, group, wanted):
                hashes = [0] * batch.num_rows  # without such columns a row is its place
                if known:
                    rows = zip(*(values_of(batch.column(name)) for name in known), strict=True)
                    hashes = [hash(row_text(row)) for row in rows]
                yield hashes, *(batch.column(prefix + column) for column in columns)


def _numbered(prompts: "np.ndarray") -> "np.ndarray":
    """Return a key per row; the k-th of equal prompts has the same key in every file."""
    import numpy as np

    order = np.argsort(prompts, kind="stable")
    place = np.arange(len(prompts))
    begins = np.r_[True, np.diff(prompts[order]) != 0][: len(prompts)]
    since = place - np.maximum.accumulate(np.where(begins, place, 0))
    keys = np.empty(len(prompts), dtype=np.int64)
    keys[order] = prompts[order] * 1_000_003 + since  # wraps around, as hashes may
    return keys


def _estimate(scoring: dict[str, Any]) -> Estimate:
    """Return the settings of the estimates from published.json. Raises Unreadable."""
    known = {key: v for key, v in scoring.get("estimate", {}).items() if key in asdict(Estimate())}
    try:
        known["unscored"] = Unscored[known.get("unscored", Unscored.fail.name)]
    except (KeyError, TypeError):
        raise Unreadable("how it was scored is no longer on record") from None
    return Estimate(**known | {"group_by": []})

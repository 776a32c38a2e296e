"""Intervals of a point's mean length, truncated share and distinct share, over its prompts.

Reads the published file's columns of numbers, and its texts only if the file is small. Guarantees:
an interval belongs to the figure in summary.json, or there is none; what can't be read gives none.
"""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from rollout.inputs.columns import values_of
from rollout.inputs.files import open_parquet
from rollout.postprocess.export.intervals import interval
from rollout.report.sweep.points import Point, objective_of
from rollout.system.disk import path_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

CONFIDENCE, RESAMPLES, SEED = 0.95, 1000, 0
MAX_SAMPLES = 4_000_000
MAX_TEXT_BYTES = 64 << 20  # of a file whose texts are read
ALL_TEXT_BYTES = 512 << 20  # of all points' files
MAX_DISTINCT = 500  # values; above, a mean is practically normal, and a bootstrap takes seconds
BATCH_ROWS = 4096
CUT = "length"  # finish_reason of a truncated response

Spans = dict[str, tuple[float, float]]


def spreads_of(points: Sequence[Point]) -> dict[Path, Spans]:
    """Return each point's intervals by its directory."""
    text_bytes = min(MAX_TEXT_BYTES, ALL_TEXT_BYTES // max(1, len(points)))
    return {point.run_dir: spread_of(point, text_bytes) for point in points}


def spread_of(point: Point, text_bytes: int = MAX_TEXT_BYTES) -> Spans:
    """Return the interval of each figure that has one, by its name in summary.json.

    Texts are read from files of at most `text_bytes`.
    """
    path = point.figures.get("output_path")
    num_samples = objective_of(point.figures, "num_samples") or 0
    if point.status != "done" or not isinstance(path, str) or num_samples > MAX_SAMPLES:
        return {}
    try:
        found = path_of(path)
        files = tuple(sorted(found.iterdir())) if found.is_dir() else (found,)
        stats = [file.stat() for file in files]
        stamps = tuple((s.st_mtime_ns, s.st_size, s.st_ino) for s in stats)
        with_texts = sum(size for _, size, _ in stamps) <= text_bytes
        means = _means_by_row(files, stamps, point.prefix, with_texts)
    except Exception:  # gone, damaged in any way, on a store: the chart is drawn without intervals
        return {}
    return {
        name: span
        for name, (mean, span) in means.items()
        if span and _is_close(mean, objective_of(point.figures, name))
    }


def _is_close(mean: float, figure: float | None) -> bool:
    """Whether the mean over prompts is the figure; it is not where prompts differ in samples."""
    return figure is not None and math.isclose(mean, figure, rel_tol=1e-6, abs_tol=1e-9)


@lru_cache(maxsize=4096)
def _means_by_row(
    files: tuple[Path, ...], stamps: tuple[tuple[int, int, int], ...], prefix: str, with_texts: bool
) -> dict[str, tuple[float, tuple[float, float] | None]]:
    """Return the mean over prompts of each figure, and its interval."""
    import numpy as np

    parts: dict[str, list[np.ndarray]] = {}
    reader = _Reader(prefix, with_texts)
    for file in files:
        for name, values in reader.columns(file):
            parts.setdefault(name, []).append(values)
    if not parts:
        return {}
    rows = np.concatenate(parts.pop("row"))
    _, row_of, counts = np.unique(rows, return_inverse=True, return_counts=True)
    found = {}
    for name, pieces in parts.items():
        values = np.bincount(row_of, np.concatenate(pieces)) / counts
        found[name] = float(values.mean()), _interval(values, name.endswith("_fraction"))
    return found


def _interval(values: "np.ndarray", is_share: bool) -> tuple[float, float] | None:
    """Return the interval of the mean: a bootstrap, normal limits for many different values."""
    import numpy as np

    if len(np.unique(values)) <= MAX_DISTINCT:
        return interval(values, CONFIDENCE, RESAMPLES, SEED, is_share)
    half = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * values.std() / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


class _Reader:
    """Reads files one after the other, as arrays with a value per response.

    The arrays: its row, its length, whether it was cut, whether it is new in its row.
    """

    def __init__(self, prefix: str, with_texts: bool):
        self._prefix, self._with_texts = prefix, with_texts
        self._num_rows = 0  # of a row per prompt, so far
        self._row, self._seen = -1, set()  # the last row, and its texts

    def columns(self, file: Path) -> "Iterator[tuple[str, np.ndarray]]":
        prefix = self._prefix
        with open_parquet(file) as opened:
            names = set(opened.schema_arrow.names)
            is_per_prompt = f"{prefix}responses" in names
            texts = f"{prefix}responses" if is_per_prompt else f"{prefix}response"
            wanted = [f"{prefix}num_response_tokens", f"{prefix}finish_reason"]
            wanted = [name for name in wanted if name in names] + [texts] * self._with_texts
            if not wanted:
                return
            own = [] if is_per_prompt else [f"{prefix}row", f"{prefix}sample_index"]
            for batch in opened.iter_batches(BATCH_ROWS, columns=[*own, *wanted]):
                flat = self._of_lists(batch) if is_per_prompt else self._of_samples(batch)
                yield from self._values(flat, texts)

    def _of_lists(self, batch: "pa.RecordBatch") -> "dict[str, pa.Array]":
        import pyarrow.compute as pc

        flat = {name: pc.list_flatten(batch.column(name)) for name in batch.schema.names}
        row = pc.add(pc.list_parent_indices(batch.column(0)), self._num_rows)
        self._num_rows += batch.num_rows
        return flat | {f"{self._prefix}row": row}

    def _of_samples(self, batch: "pa.RecordBatch") -> "dict[str, pa.Array]":
        import pyarrow.compute as pc

        there = batch.filter(pc.is_valid(batch.column(f"{self._prefix}sample_index")))
        return {name: there.column(name) for name in there.schema.names}

    def _values(
        self, flat: "dict[str, pa.Array]", texts: str
    ) -> "Iterator[tuple[str, np.ndarray]]":
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        row = flat[f"{self._prefix}row"].to_numpy()
        yield "row", row
        if (lengths := flat.get(f"{self._prefix}num_response_tokens")) is not None:
            yield "mean_response_tokens", pc.cast(lengths, pa.float64()).to_numpy(False)
        if (reasons := flat.get(f"{self._prefix}finish_reason")) is not None:
            is_cut = pc.fill_null(pc.equal(reasons, CUT), False)
            yield "truncated_fraction", is_cut.to_numpy(False).astype(float)
        if texts in flat:
            pairs = zip(row.tolist(), values_of(flat[texts]), strict=True)
            yield "distinct_fraction", np.array([self._is_new(*pair) for pair in pairs], float)

    def _is_new(self, row: int, text: Any) -> bool:
        """Whether no response of the row before this one has its text."""
        if row != self._row:
            self._row, self._seen = row, set()
        num = len(self._seen)
        self._seen.add(text)
        return len(self._seen) > num

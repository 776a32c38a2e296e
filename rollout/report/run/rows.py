"""Statistics over the finished rows of a run, a table at a time and without the texts.

Must not know how the rows are read, or how a page looks.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rollout.report.recorded import number_in
from rollout.store.counts import percentile

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

NUM_SLOWEST = 10
NUM_REASONS = 20
NUM_FIRST_ROWS = 5
UNKNOWN = "unknown"  # a finish reason that the file does not have
NUMBER = re.compile(r"\d[\d,.]*")


@dataclass(frozen=True, slots=True)
class SlowRow:
    """A row by its latency: seconds from its submission to its last sample, waiting included."""

    row: int
    latency_s: float
    num_samples: int
    num_tokens: int  # of all its samples
    longest: int  # tokens of its longest response


@dataclass(slots=True)
class Failure:
    """Failed rows whose errors differ in their numbers only."""

    reason: str  # of the first
    num_rows: int = 0
    first_rows: list[int] = field(default_factory=list)


@dataclass(slots=True)
class RowStatistics:
    """Counts over finished rows; None: the file doesn't tell."""

    num_rows: int = 0
    num_failed: int = 0
    num_samples: int = 0
    num_truncated: int | None = 0  # finish_reason is length
    num_distinct: int | None = 0  # different responses of a row, summed over the rows
    num_repetitive: int | None = 0
    num_empty: int | None = None  # needs the texts, see `count_empty`
    has_lengths: bool = True
    recorded: dict[str | int, float] = field(default_factory=dict)  # mean, 95, 100; if not counted
    lengths: dict[str, "np.ndarray"] = field(default_factory=dict)  # reason -> samples of i tokens
    slowest: list[SlowRow] = field(default_factory=list)  # the slowest first
    failures: dict[str, Failure] = field(default_factory=dict)

    @property
    def all_lengths(self) -> "np.ndarray":
        """The number of samples of i tokens, for each i."""
        return total_of(self.lengths.values())

    @property
    def num_output_tokens(self) -> int:
        return _num_tokens(self.all_lengths)

    @property
    def mean_length(self) -> float | None:
        """Mean tokens of a response; None without one, or if lengths are unknown."""
        if "mean" in self.recorded:
            return self.recorded["mean"]
        counts = self.all_lengths
        num = int(counts.sum())
        return _num_tokens(counts) / num if num and self.has_lengths else None

    def length_at(self, percent: int) -> int | None:
        """Return the length that `percent` % of the samples do not exceed (counts.percentile)."""
        if percent in self.recorded:
            return int(self.recorded[percent])
        return percentile(self.all_lengths, percent) if self.has_lengths else None

    @property
    def failures_by_count(self) -> list[Failure]:
        return sorted(self.failures.values(), key=lambda failure: -failure.num_rows)

    def add(self, rows: "pa.Table") -> None:
        """Count a table with the columns of `row_sources.COLUMNS`."""
        import pyarrow.compute as pc

        self.num_rows += rows.num_rows
        self._add_failures(rows)
        sizes = pc.fill_null(rows.column("num_samples"), 0).to_numpy()
        self.num_samples += int(sizes.sum())
        self.num_truncated = _plus(self.num_truncated, _num_cut(rows.column("finish_reason")))
        for name in ("num_distinct", "num_repetitive"):
            setattr(self, name, _plus(getattr(self, name), _sum(rows.column(name))))
        lengths = pc.list_flatten(rows.column("num_response_tokens"))
        if len(lengths) != int(sizes.sum()) or lengths.null_count:
            self.has_lengths = False
            return
        self._add_lengths(rows, lengths.to_numpy())
        self._add_slowest(rows, sizes, lengths.to_numpy())

    def _add_lengths(self, rows: "pa.Table", lengths: "np.ndarray") -> None:
        """Count the lengths by finish reason."""
        import numpy as np
        import pyarrow.compute as pc

        reasons = pc.fill_null(pc.list_flatten(rows.column("finish_reason")), UNKNOWN)
        if len(reasons) != len(lengths):
            self._count_lengths(UNKNOWN, lengths)
            return
        encoded = reasons.combine_chunks().dictionary_encode()
        codes = encoded.indices.to_numpy()
        for code, reason in enumerate(encoded.dictionary.to_pylist()):
            self._count_lengths(reason, lengths[np.equal(codes, code)])

    def _count_lengths(self, reason: str, lengths: "np.ndarray") -> None:
        import numpy as np

        before = self.lengths.get(reason, np.zeros(0, np.int64))
        self.lengths[reason] = total_of([before, np.bincount(np.maximum(lengths, 0))])

    def _add_slowest(self, rows: "pa.Table", sizes: "np.ndarray", lengths: "np.ndarray") -> None:
        import numpy as np

        latencies = rows.column("latency_s").to_numpy().astype(float)
        known = np.flatnonzero(np.isfinite(latencies))
        at = known[np.argsort(-latencies[known], kind="stable")[:NUM_SLOWEST]]
        ends = np.cumsum(sizes)
        numbers = rows.column("row").to_numpy()
        for i in at.tolist():
            own = lengths[ends[i] - sizes[i] : ends[i]]
            longest = int(own.max()) if len(own) else 0
            self.slowest.append(SlowRow(int(numbers[i]), float(latencies[i]), len(own),
                                        int(own.sum()), longest))  # fmt: skip
        self.slowest.sort(key=lambda slow: (-slow.latency_s, slow.row))
        del self.slowest[NUM_SLOWEST:]

    def _add_failures(self, rows: "pa.Table") -> None:
        import pyarrow.compute as pc

        failed = rows.select(["row", "error"]).filter(pc.is_valid(rows.column("error")))
        self.num_failed += failed.num_rows
        for row, error in zip(*(c.to_pylist() for c in failed.columns), strict=True):
            known = self.failures.setdefault(NUMBER.sub("#", error), Failure(error))
            known.num_rows += 1
            if len(known.first_rows) < NUM_FIRST_ROWS:
                known.first_rows.append(row)


def statistics_in(summary: Mapping[str, Any]) -> RowStatistics:
    """Return the counts in summary.json, of rows that can't be counted any more."""
    counted = ("num_rows", "num_failed", "num_samples", "num_truncated", "num_distinct",
               "num_repetitive", "num_empty")  # fmt: skip
    lengths = {"mean": "mean_response_tokens", 95: "p95_response_tokens",
               100: "max_response_tokens"}  # fmt: skip
    found = {key: number_in(summary, name) for key, name in lengths.items()}
    recorded = {key: number for key, number in found.items() if number is not None}
    counts = {name: summary.get(name) for name in counted}
    return RowStatistics(has_lengths=False, recorded=recorded, **counts)


def statistics_of(tables: "Iterable[pa.Table]") -> RowStatistics:
    """Return the statistics of all rows."""
    found = RowStatistics()
    for table in tables:
        found.add(table)
    return found


def count_empty(texts: "Iterator[pa.ChunkedArray]") -> int:
    """Count the empty ones of lists of responses."""
    import pyarrow.compute as pc

    return sum(pc.sum(pc.equal(pc.list_flatten(lists), "")).as_py() or 0 for lists in texts)


def known_empty(statistics: RowStatistics, summary: Mapping[str, Any]) -> int | None:
    """Return num_empty of a summary that counted the same rows and samples; None otherwise."""
    counts = statistics.num_rows, statistics.num_samples, statistics.num_output_tokens
    names = "num_rows", "num_samples", "num_output_tokens"
    is_same = all(summary.get(n) == count for n, count in zip(names, counts, strict=True))
    found = summary.get("num_empty")
    return found if is_same and isinstance(found, int) else None


def total_of(arrays: "Collection[np.ndarray]") -> "np.ndarray":
    """Return the sum of arrays of counts, which may differ in length."""
    import numpy as np

    whole = np.zeros(max(map(len, arrays), default=0), np.int64)
    for counts in arrays:
        whole[: len(counts)] += counts
    return whole


def _num_tokens(counts: "np.ndarray") -> int:
    import numpy as np

    return int((counts * np.arange(len(counts))).sum())


def _plus(before: int | None, more: int | None) -> int | None:
    return None if before is None or more is None else before + more


def _sum(values: "pa.ChunkedArray") -> int | None:
    """Return the sum; None if a value is unknown."""
    import pyarrow.compute as pc

    return None if values.null_count else pc.sum(values).as_py() or 0


def _num_cut(reasons: "pa.ChunkedArray") -> int | None:
    """Return how many of the lists' reasons are `length`; None if the lists are unknown."""
    import pyarrow.compute as pc

    if len(reasons) and reasons.null_count == len(reasons):
        return None
    return pc.sum(pc.equal(pc.list_flatten(reasons), "length")).as_py() or 0

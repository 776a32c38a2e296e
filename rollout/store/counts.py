"""The totals of a run: counts over all attempts, made from its finished rows."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@dataclass(slots=True)
class Totals:
    """Counts over all attempts of a run; None: not counted by an older version."""

    num_rows: int = 0  # including those left out by data.on_error=skip
    num_failed: int = 0
    num_samples: int = 0
    num_output_tokens: int = 0
    num_prompt_tokens: int = 0  # each prompt once
    num_truncated: int = 0  # finish_reason length
    num_empty: int = 0
    max_response_tokens: int = 0
    num_sampled_rows: int | None = None  # with a response; a failed row may keep earlier ones
    num_distinct: int | None = None  # different responses of a row, summed over the rows
    num_unclosed: int | None = None  # reasoning opened but not closed, by model.reasoning_tags
    num_repetitive: int | None = None  # responses that end in a loop (signs.is_repetitive)
    p95_response_tokens: int | None = None  # percentile(..., 95); also None without samples

    @classmethod
    def known(cls, figures: dict) -> "Totals":
        """Return the totals of a summary.json, which may lack some if an older version wrote it."""
        counted = [f.name for f in fields(cls) if f.default is not None or f.name in figures]
        return cls(**{name: figures[name] for name in counted})


def percentile(num_of_length: "np.ndarray", percent: int) -> int | None:
    """Return the shortest length that at least `percent` % of the samples do not exceed.

    `num_of_length[i]` is the number of samples of i tokens; None if there are no samples. Uses the
    nearest rank, so the length occurs: the ceil(percent/100 * N)-th shortest of N. Definition 1 in
    Hyndman and Fan, Sample Quantiles in Statistical Packages, The American Statistician 50 (1996),
    361-365.
    """
    up_to = num_of_length.cumsum()
    if not len(up_to) or not up_to[-1]:
        return None
    rank = -(-percent * int(up_to[-1]) // 100)  # in integers: 0.07 * 100 > 7
    return int(up_to.searchsorted(rank))


def histogram(num_of_length: "np.ndarray", max_bins: int) -> "tuple[np.ndarray, np.ndarray]":
    """Return counts and edges, as numpy.histogram does, from the shortest to the longest length.

    Bins are equally wide, in whole tokens: bin i holds the lengths from edges[i] up to, but not
    including, edges[i + 1]. No counts if there are no samples.
    """
    import numpy as np

    found = np.flatnonzero(num_of_length)
    if not len(found):
        return np.zeros(0, np.int64), np.zeros(1, np.int64)
    first, end = int(found[0]), int(found[-1]) + 1
    width = -(-(end - first) // max_bins)
    starts = np.arange(first, end, width)
    counts = np.add.reduceat(num_of_length[:end], starts)
    return counts, np.append(starts, starts[-1] + width)


class RowCounter:
    """Counts the rows of a run, a table at a time. Stores one number per length, and no rows.

    Unclosed reasoning is detected by `tags`; None: it is not counted.
    """

    def __init__(self, tags: Sequence[str] | None = None) -> None:
        import numpy as np

        self._tags = tags
        self._totals = Totals(num_sampled_rows=0, num_distinct=0, num_repetitive=0)
        self._totals.num_unclosed = 0 if tags else None
        self.num_of_length = np.zeros(0, np.int64)  # see `percentile`

    def add(self, results: "pa.Table") -> "pa.Table":
        """Count some rows of a shard; return them.

        With tags, the result has the additional column is_reasoning_closed.
        """
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        totals, responses = self._totals, results.column("responses")
        texts = pc.list_flatten(responses)
        reasons = pc.list_flatten(results.column("finish_reason"))
        lengths = pc.list_flatten(results.column("num_response_tokens"))
        totals.num_rows += results.num_rows
        totals.num_failed += results.num_rows - results.column("error").null_count
        totals.num_samples += len(lengths)
        sizes = pc.fill_null(pc.list_value_length(responses), 0)
        totals.num_sampled_rows += pc.sum(pc.greater(sizes, 0)).as_py() or 0
        totals.num_output_tokens += pc.sum(lengths).as_py() or 0
        totals.num_prompt_tokens += pc.sum(results.column("num_prompt_tokens")).as_py() or 0
        totals.num_truncated += pc.sum(pc.equal(reasons, "length")).as_py() or 0
        totals.num_empty += pc.sum(pc.equal(texts, "")).as_py() or 0
        totals.max_response_tokens = max(totals.max_response_tokens, pc.max(lengths).as_py() or 0)
        more = np.bincount(pc.drop_null(lengths).to_numpy())
        shorter, self.num_of_length = sorted((self.num_of_length, more), key=len)
        self.num_of_length[: len(shorter)] += shorter
        totals.num_distinct += pc.sum(results.column("num_distinct")).as_py() or 0
        totals.num_repetitive += pc.sum(results.column("num_repetitive")).as_py() or 0
        if not self._tags:
            return results
        opened = results.column("opens_reasoning").take(pa.array(_row_of(responses)))
        closed = pc.invert(_are_unclosed(pc.fill_null(texts, ""), opened, self._tags))
        totals.num_unclosed += len(closed) - (pc.sum(closed).as_py() or 0)
        ends = np.cumsum(pc.fill_null(pc.list_value_length(responses), 0).to_numpy())
        values = pa.concat_arrays(closed.chunks) if closed.num_chunks else pa.array([], pa.bool_())
        lists = pa.ListArray.from_arrays([0, *ends.tolist()], values)
        return results.append_column("is_reasoning_closed", lists)

    def totals(self) -> Totals:
        """Return the counts so far."""
        return replace(self._totals, p95_response_tokens=percentile(self.num_of_length, 95))


def _are_unclosed(
    texts: "pa.ChunkedArray", opened: "pa.ChunkedArray", tags: Sequence[str]
) -> "pa.ChunkedArray":
    """Return signs.is_unclosed of each text; `opened`: its prompt ended inside the reasoning."""
    import pyarrow.compute as pc

    begun = pc.or_(opened, _hold(texts, tags[0]))
    if not pc.any(begun).as_py():  # most models do not reason
        return begun
    return pc.and_(begun, pc.invert(_hold(texts, tags[1])))


def _hold(texts: "pa.ChunkedArray", tag: str) -> "pa.ChunkedArray":
    """Whether each text holds `tag`. Looks at all bytes at once first: few models reason."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = []
    for chunk in texts.chunks:
        values = chunk.buffers()[2]
        if values and tag.encode() in values.to_pybytes():
            found.append(pc.match_substring(chunk, tag))
        else:
            found.append(pa.repeat(False, len(chunk)))
    return pa.chunked_array(found, pa.bool_())


def _row_of(responses: "pa.ChunkedArray") -> "np.ndarray":
    """Return the row number of each of the flattened responses."""
    import numpy as np
    import pyarrow.compute as pc

    # Not list_parent_indices, which counts the hidden values of null rows.
    sizes = pc.fill_null(pc.list_value_length(responses), 0).to_numpy()
    return np.repeat(np.arange(len(sizes)), sizes)

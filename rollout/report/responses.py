"""Responses of a file in numbers: lengths by finish reason, cut-off, empty and repeated ones.

Must not know how a page is drawn.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rollout.report.charts import Chart, Kind, Series
from rollout.report.page import Facts, Figure, Table, TableColumn, TableRow
from rollout.report.published_rows import PublishedRows
from rollout.report.values import bin_text
from rollout.system.terminal import counted, share_text

if TYPE_CHECKING:
    import numpy as np

NUM_BINS = 40
NO_REASON = "(none)"
LENGTHS = (TableColumn("mean tokens", True), TableColumn("median tokens", True))
MAX_REASONS = 8  # finish reasons with a colour of their own; there are two or three


@dataclass(frozen=True, slots=True, eq=False)
class Responses:
    """All samples of a file. `tokens` and `reasons` are None without such a column."""

    num_rows: int
    num_samples: int
    num_without: int  # rows without a response
    num_empty: int  # without any text
    num_repeated: int  # the same text as an earlier sample of the row
    num_alike: int  # rows with several samples, all the same text
    most_samples: int = 0  # of a row
    tokens: "np.ndarray | None" = None  # NaN where null
    reasons: "list[str] | None" = None

    @property
    def num_cut(self) -> int | None:
        """The samples that a limit cut off; None if that is not known."""
        return None if self.reasons is None else self.reasons.count("length")


def read_responses(rows: PublishedRows) -> Responses:
    """Count all responses; reads every text once. Raises RolloutError if a file can't be read."""
    import numpy as np

    counts: Counter[str] = Counter()
    tokens: list[Any] = []
    reasons: list[str] = []
    for texts, row_tokens, row_reasons in _samples(rows):
        counts["samples"] += len(texts)
        counts["most"] = max(counts["most"], len(texts))
        counts["without"] += not texts
        counts["empty"] += sum(text == "" for text in texts)
        different = len(set(texts))
        counts["repeated"] += len(texts) - different
        counts["alike"] += len(texts) > 1 and different == 1
        tokens += _aligned(row_tokens, texts)
        reasons += [reason or NO_REASON for reason in _aligned(row_reasons, texts)]
    names = rows.columns.names
    has_tokens, has_reasons = "num_response_tokens" in names, "finish_reason" in names
    return Responses(
        rows.num_rows,
        counts["samples"],
        counts["without"],
        counts["empty"],
        counts["repeated"],
        counts["alike"],
        counts["most"],
        np.array(tokens, dtype=float) if has_tokens else None,
        reasons if has_reasons else None,
    )


def _samples(rows: PublishedRows) -> Iterator[tuple[list[Any], Any, Any]]:
    """Yield each row's texts, tokens and finish reasons."""
    for columns in rows.samples(("responses", "num_response_tokens", "finish_reason")):
        yield columns[0] or [], columns[1], columns[2]


def _aligned(values: list[Any] | None, texts: list[Any]) -> list[Any]:
    """Return a value per text: all null if the column has another number of them."""
    return values if values and len(values) == len(texts) else [None] * len(texts)


def response_figures(found: Responses) -> list[Figure]:
    """Return rows with samples, the truncated share and the mean length."""
    note = f"{found.num_samples:,} samples, at most {found.most_samples:,} a row"
    figures = [Figure(f"{found.num_rows:,}", "rows", note)]
    if found.num_cut is not None:
        note = f"{found.num_cut:,} samples with finish_reason=length"
        figures.append(Figure(_share(found.num_cut, found.num_samples), "truncated", note))
    if (known := _known(found)) is not None and len(known):
        note = f"median {_median(known):,.1f}, longest {known.max():,.0f}"
        figures.append(Figure(f"{known.mean():,.1f}", "mean tokens of a response", note))
    return figures


def response_facts(found: Responses) -> Facts:
    """Return the counts of empty and repeated responses and of rows without any."""
    items = [
        ("rows", f"{found.num_rows:,}"),
        ("rows without a response", _of(found.num_without, found.num_rows)),
        ("samples", f"{found.num_samples:,}"),
        ("empty responses", _of(found.num_empty, found.num_samples)),
        ("repeat an earlier sample of the row", _of(found.num_repeated, found.num_samples)),
        ("rows whose samples are all alike", _of(found.num_alike, found.num_rows)),
    ]
    return Facts(items)


def length_chart(tokens: "np.ndarray", reasons: Sequence[str] | None) -> Chart | None:
    """Return the histogram of response lengths, a stacked series per finish reason.

    `tokens` and `reasons` have a value per sample, NaN for an unknown length. None if no length is
    known.
    """
    import numpy as np

    known = ~np.isnan(tokens)
    if not known.any():
        return None
    longest = max(int(tokens[known].max()), 0)
    edges = _edges(longest)
    names = np.array(reasons if reasons is not None else ["responses"] * len(tokens), dtype=object)
    most = [name for name, _ in Counter(names[known].tolist()).most_common()]
    if len(most) > MAX_REASONS:
        names[~np.isin(names, most[: MAX_REASONS - 1])] = "(other)"
        most = [*most[: MAX_REASONS - 1], "(other)"]
    series = [
        Series(
            name,
            np.histogram(tokens[known & (names == name)], edges)[0].astype(float).tolist(),
            Kind.bars,
        )
        for name in most
    ]
    ends = [*edges[:-1], longest + 1]  # no label reaches beyond the longest response
    ticks = [bin_text(low, high) for low, high in itertools.pairwise(ends)]
    width = counted(edges[1] - edges[0], "token")
    note = f"{int(known.sum()):,} samples in bins of {width}."
    if missing := int((~known).sum()):
        note += f" {missing:,} samples without a known length are left out."
    return Chart(
        "response_lengths",
        "Response lengths" + (" by finish reason" if reasons is not None else ""),
        "tokens of a response",
        "samples",
        list(range(len(ticks))),
        series,
        ticks=ticks,
        note=note,
    )


def _edges(longest: int) -> list[int]:
    """Return edges of bins of a round width: 1, 2, 5, 10, 20, ... tokens."""
    width = next(
        step * 10**power for power in range(18) for step in (1, 2, 5)
        if step * 10**power * NUM_BINS > longest
    )  # fmt: skip
    return list(range(0, longest + width + 1, width))


def reason_table(found: Responses) -> Table | None:
    """Return the number, share and lengths of samples by finish reason; None without reasons."""
    import numpy as np

    if found.reasons is None:
        return None
    heads = [TableColumn("finish reason"), TableColumn("samples", True), TableColumn("share", True)]
    if found.tokens is not None:
        heads += LENGTHS
    rows, names = [], np.array(found.reasons, dtype=object)
    for name, number in Counter(found.reasons).most_common():
        share = number / found.num_samples
        cells, keys = [name, f"{number:,}", share_text(share)], [name, number, share]
        if found.tokens is not None:
            texts, lengths = length_cells(found.tokens[names == name])
            cells, keys = cells + texts, keys + lengths
        rows.append(TableRow(cells, keys))
    return Table(heads, rows)


def length_cells(tokens: "np.ndarray") -> tuple[list[str], list[float | None]]:
    """Return the cells of LENGTHS and their sort keys; unknown lengths are left out."""
    import numpy as np

    known = tokens[~np.isnan(tokens)]
    lengths = [float(known.mean()), _median(known)] if len(known) else [None, None]
    return ["-" if length is None else f"{length:,.1f}" for length in lengths], lengths


def _known(found: Responses) -> "np.ndarray | None":
    import numpy as np

    return None if found.tokens is None else found.tokens[~np.isnan(found.tokens)]


def _median(values: "np.ndarray") -> float:
    import numpy as np

    return float(np.median(values))


def _share(number: int, total: int) -> str:
    return share_text(number / total) if total else "-"


def _of(number: int, total: int) -> str:
    return f"{number:,} ({_share(number, total)})" if total else f"{number:,}"

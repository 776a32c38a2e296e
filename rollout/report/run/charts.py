"""The charts of a run: throughput and load over time, and the lengths of its responses. Pure."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rollout.report.charts import Chart, Format, Kind, Series, Span
from rollout.report.run.rows import total_of
from rollout.report.run.timeline import Launch, Window, points, thinned
from rollout.report.values import bin_text

if TYPE_CHECKING:
    import numpy as np

GROUP = "time"  # the charts over time share their cursor
MAX_BINS = 40
SKEWED = 10  # the longest length over the median from which bins grow with the length
MAX_REASONS = 6  # finish reasons shown apart
OTHER = "others"
GAUGES = ("num_running", "num_waiting", "kv_cache_usage")  # as they are when a line is written
SECONDS = "time since the launch"


def time_charts(launches: Sequence[Launch]) -> list[Chart]:
    """Return throughput, concurrency and use of the device over time; [] if nothing was measured.

    A chart none of whose figures was measured, or whose figures are all 0, is left out.
    """
    measured = [window for launch in launches for window in launch.windows]
    if not measured:
        return []
    windows, spans = thinned(measured), _spans(launches)
    note = _axis_note(launches, len(windows) < len(measured))
    has_gpu = any(window.mean("gpu_utilization") is not None for window in windows)
    charts = [
        _over_time(
            windows, spans, "throughput", "Throughput", "tokens/s",
            {"output tokens/s": "output_tokens_per_s", "prompt tokens/s": "prompt_tokens_per_s"},
            note=f"{_counted(windows)} when its row is finished; each step is the rate of its own "
            f"seconds. {note}",
        ),
        _over_time(
            windows, spans, "concurrency", "Concurrency", "samples",
            {"running": "num_running", "waiting": "num_waiting"},
            note="Samples that the engine decodes, and those that wait for room in it. Each "
            "reading is drawn from its moment to the next.",
        ),
        _over_time(
            windows, spans, "use", "KV cache and GPU" if has_gpu else "KV cache", "use",
            {"KV cache use": "kv_cache_usage", "GPU utilization": "gpu_utilization"},
            y_format=Format.percent,
        ),
    ]  # fmt: skip
    return [chart for chart in charts if chart is not None]


def _counted(windows: Sequence[Window]) -> str:
    """Return how the note on throughput begins: when tokens count."""
    if any(window.mean("output_tokens_per_s") is not None for window in windows):
        return "Output tokens count when they are sampled, a prompt's"
    return (
        "Output tokens of points that share an engine are not known over a window; a prompt's count"
    )


def _over_time(
    windows: Sequence[Window], spans: Sequence[Span], name: str, title: str, y_label: str,
    keys: dict[str, str], y_format: Format = Format.number, note: str = "",
) -> Chart | None:  # fmt: skip
    x, values = points(windows, list(keys.values()), GAUGES)
    series = [
        Series(label, found, Kind.steps)
        for label, found in zip(keys, values, strict=True)
        if any(value is not None for value in found)
    ]
    if not any(value for one in series for value in one.values):
        return None
    return Chart(name, title, SECONDS, y_label, x, series, spans, x_format=Format.seconds,
                 y_format=y_format, note=note, group=GROUP)  # fmt: skip


def _spans(launches: Sequence[Launch]) -> list[Span]:
    """Return the phases of all launches; if there are several, each says of which."""
    if len(launches) == 1:
        return list(launches[0].spans)
    return [
        Span(f"attempt {launch.number}: {span.name}", span.start, span.end)
        for launch in launches
        for span in launch.spans
    ]


def _axis_note(launches: Sequence[Launch], is_thinned: bool) -> str:
    note = ""
    if len(launches) > 1:
        note = (
            f"The {len(launches)} launches follow each other; the pauses between them are left out."
        )
    if is_thinned:
        note += " Rates of neighboring lines of metrics.jsonl are averaged."
    return note.strip()


def length_chart(lengths: "dict[str, np.ndarray]") -> Chart | None:
    """Return how many responses have which length, stacked by finish reason; None without any.

    `lengths[reason][i]` is the number of responses of i tokens.
    """
    lengths = {reason: counts for reason, counts in _largest(lengths).items() if counts.any()}
    if not lengths:
        return None
    edges = bin_edges(lengths)
    ends = [*edges[:-1], longest_of(lengths) + 1]  # no label reaches beyond the longest response
    ticks = [bin_text(low, high) for low, high in itertools.pairwise(ends)]
    series = [
        Series(reason, _binned(counts, edges), Kind.bars) for reason, counts in lengths.items()
    ]
    widths = {high - low for low, high in itertools.pairwise(edges)}
    note = "Bins grow with the length." if len(widths) > 1 else ""
    return Chart("lengths", "Response lengths by finish reason", "response tokens", "responses",
                 list(range(len(ticks))), series, ticks=ticks, note=note)  # fmt: skip


def _largest(lengths: "dict[str, np.ndarray]") -> "dict[str, np.ndarray]":
    """Return the most frequent reasons, and the sum of the others."""
    ranked = sorted(lengths, key=lambda reason: (-int(lengths[reason].sum()), reason))
    found = {reason: lengths[reason] for reason in ranked[:MAX_REASONS]}
    rest = [lengths[reason] for reason in ranked[MAX_REASONS:]]
    if rest:
        found[OTHER] = total_of(rest)
    return found


def longest_of(lengths: "dict[str, np.ndarray]") -> int:
    """Return the tokens of the longest response."""
    import numpy as np

    return int(np.flatnonzero(total_of(lengths.values()))[-1])


def bin_edges(lengths: "dict[str, np.ndarray]") -> list[int]:
    """Return ascending edges of at most MAX_BINS bins; a bin holds its lower edge.

    All have the same width, a round number; where most responses are far shorter than the longest,
    each bin is a constant factor wider than the one before.
    """
    ranks = total_of(lengths.values()).cumsum()
    longest = longest_of(lengths)
    median = int(ranks.searchsorted(ranks[-1] / 2))
    if longest <= MAX_BINS or longest < SKEWED * max(median, 1):
        width = _round_width(longest + 1)
        return [i * width for i in range(-(-(longest + 1) // width) + 1)]
    factor = (longest + 1) ** (1 / (MAX_BINS - 2))
    return sorted({0, *(round(factor**i) for i in range(MAX_BINS - 1)), longest + 1})


def _round_width(size: int) -> int:
    """Return the smallest of 1 to 6, 8, 10, 20, ... that covers `size` lengths in MAX_BINS bins."""
    power = 1
    while True:
        for step in (1, 2, 3, 4, 5, 6, 8):
            if step * power * MAX_BINS >= size:
                return step * power
        power *= 10


def _binned(counts: "np.ndarray", edges: Sequence[int]) -> list[float]:
    ends = [min(edge, len(counts)) for edge in edges]
    pairs = itertools.pairwise(ends)
    return [float(counts[low:high].sum()) for low, high in pairs]

"""Lay the launches of a run on one time axis: the windows that were measured, and the phases.

Pure. A window is the time between two lines of metrics.jsonl. The axis is in seconds of launches,
one after the other: the time between two launches is left out.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rollout.report.charts import Span
from rollout.report.recorded import number_in, number_of, value_in
from rollout.report.run.records import AttemptRecords

MAX_WINDOWS = 1500
Stretch = tuple[str, float, float]  # name, first and last second since the launch
KINDS = ("output", "prompt")  # of tokens
COUNTED = (("num_rows", "rows_per_s"), ("num_output_tokens", "output_tokens_per_s"))


@dataclass(frozen=True, slots=True)
class Window:
    """Some seconds of a launch, on the axis, and the line or lines measured at their end."""

    start_s: float
    end_s: float
    lines: Sequence[Mapping[str, Any]]
    line_s: Sequence[float]  # the seconds that each line covers

    def mean(self, key: str) -> float | None:
        """Return the mean of a figure, weighted by time; None if it was not measured."""
        found = [
            (value, seconds)
            for line, seconds in zip(self.lines, self.line_s, strict=True)
            if (value := number_in(line, key)) is not None
        ]
        whole = sum(seconds for _, seconds in found)
        return sum(value * seconds for value, seconds in found) / whole if whole else None

    def last(self, key: str) -> float | None:
        """Return the reading at the end; None if there is none."""
        return number_in(self.lines[-1], key)


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch on the axis."""

    number: int
    start_s: float
    end_s: float
    windows: Sequence[Window]
    spans: Sequence[Span]


def launches(attempts: Iterable[AttemptRecords]) -> list[Launch]:
    """Return the launches that measured anything, one after the other."""
    found: list[Launch] = []
    for attempt in attempts:
        if attempt.lines:
            found.append(_launch(attempt, found[-1].end_s if found else 0.0))
    return found


def windows_of(attempt: AttemptRecords, offset_s: float = 0.0) -> list[Window]:
    """Return the windows of a launch that has lines, `offset_s` later on the axis.

    The last line is written when the last row ends: its short window is joined to the one before,
    since the rate of a few milliseconds says nothing.
    """
    windows = list(_windows(attempt.lines, _drawn_from(attempt), offset_s))
    if len(windows) > 1 and sum(windows[-1].line_s) < sum(windows[-2].line_s) / 2:
        windows[-2:] = [_joined(windows[-2:])]
    return windows


def _launch(attempt: AttemptRecords, start_s: float) -> Launch:
    windows = windows_of(attempt, start_s)
    spans = _phases(attempt)
    last_s = max([number_in(attempt.lines[-1], "elapsed_s"), *(end for _, _, end in spans)])
    wall_s = max(number_in(attempt.summary, "wall_s") or 0.0, last_s)
    moved = [Span(name, start_s + begin, start_s + end) for name, begin, end in spans]
    return Launch(attempt.number, start_s, start_s + wall_s, windows, moved)


def begin_of(attempt: AttemptRecords) -> float | None:
    """Return the seconds from the launch to its first request, where its first window begins.

    The first line has counts since then and their rates, so their ratio is the window's length;
    without counts (points that share an engine), it is the setting's. None if the first line is
    lost: a later one has the counts since then too, but the rates of its own window.
    """
    for name, begin, _ in _recorded_spans(attempt):
        if name == "fill":
            return begin
    line = attempt.lines[0]
    fits = _fits_its_rates(line)
    if fits is False or (fits is None and attempt.is_first_lost):
        return None
    end_s = number_in(line, "elapsed_s")
    for count, rate in COUNTED:
        per_s = number_in(line, rate)
        if per_s and (counted := number_in(line, count)):
            return max(0.0, end_s - counted / per_s)
    interval_s = number_of(value_in(attempt.settings, "tracking.interval_s"))
    return max(0.0, end_s - (interval_s or 0.0))


def _fits_its_rates(line: Mapping[str, Any]) -> bool | None:
    """Whether the counts of a line are those of the seconds of its rates; None if it can't tell.

    They are in the first line: then all counts give the same seconds.
    """
    rates = [number_in(line, f"{kind}_tokens_per_s") for kind in KINDS]
    counts = [number_in(line, f"num_{kind}_tokens") for kind in KINDS]
    if not all(rates) or not all(counts):  # unknown, or 0: no seconds
        return None
    one_s, other_s = (count / per_s for count, per_s in zip(counts, rates, strict=True))
    return math.isclose(one_s, other_s, rel_tol=0.01)


def _drawn_from(attempt: AttemptRecords) -> float:
    """Return where the first window begins; without a known begin, at the end of the first line."""
    begin_s = begin_of(attempt)
    return number_in(attempt.lines[0], "elapsed_s") if begin_s is None else begin_s


def _windows(
    lines: Sequence[Mapping[str, Any]], begin_s: float, offset_s: float
) -> Iterator[Window]:
    start_s = begin_s
    for line in lines:
        end_s = number_in(line, "elapsed_s")
        if end_s > start_s:
            yield Window(offset_s + start_s, offset_s + end_s, [line], [end_s - start_s])
            start_s = end_s


def _phases(attempt: AttemptRecords) -> list[Stretch]:
    """Return the phases of a launch with their first and last second since it, as far as known."""
    if spans := _recorded_spans(attempt):
        return spans
    begin_s = begin_of(attempt)
    found = [] if begin_s is None else [("load", 0.0, begin_s)]
    if any(isinstance(line.get("phase"), str) for line in attempt.lines):
        return [*found, *_phases_of_lines(attempt.lines, _drawn_from(attempt))]
    if begin_s is None:
        return []
    at_s = begin_s
    for name in ("fill", "steady", "tail", "publish", "score"):
        seconds = number_in(attempt.summary, f"{name}_s") or 0.0
        if seconds > 0:
            found.append((name, at_s, at_s + seconds))
            at_s += seconds
    return found


def _recorded_spans(attempt: AttemptRecords) -> list[Stretch]:
    """Return the `spans` of the launch's summary, interrupted by its `reloads`; [] if unknown."""
    spans = _stretches(attempt.summary.get("spans"), "phase")
    reloads = sorted(_stretches(attempt.summary.get("reloads")), key=lambda reload: reload[1])
    return [piece for span in spans for piece in _interrupted(span, reloads)]


def _stretches(found: Any, name: str = "") -> list[Stretch]:
    """Return recorded stretches, called by their member `name`; empty if one is damaged."""
    stretches = []
    for record in found if isinstance(found, list) else ():
        if not isinstance(record, dict):
            return []
        start, end = number_in(record, "start_s"), number_in(record, "end_s")
        called = record.get(name) if name else "reload"
        if not isinstance(called, str) or start is None or end is None or end < start:
            return []
        stretches.append((called, start, end))
    return stretches


def _interrupted(span: Stretch, holes: Sequence[Stretch]) -> Iterator[Stretch]:
    """Yield the pieces of a span around the holes in it, and those."""
    name, start, end = span
    for called, begin, finish in holes:
        if begin >= end or finish <= start:
            continue
        if begin > start:
            yield name, start, begin
        yield called, max(begin, start), min(finish, end)
        start = min(finish, end)
    if start < end:
        yield name, start, end


def _phases_of_lines(lines: Sequence[Mapping[str, Any]], begin_s: float) -> Iterator[Stretch]:
    """Yield stretches of lines of the same phase."""
    name, start_s, end_s = None, begin_s, begin_s
    for line in lines:
        phase = line.get("phase")
        if phase != name:
            if isinstance(name, str) and end_s > start_s:
                yield name, start_s, end_s
            name, start_s = phase, end_s
        end_s = number_in(line, "elapsed_s")
    if isinstance(name, str) and end_s > start_s:
        yield name, start_s, end_s


def thinned(windows: Sequence[Window], most: int = MAX_WINDOWS) -> list[Window]:
    """Return at most `most` windows that cover the same seconds: neighbors are joined.

    Means over time stay the same, since each joined window keeps its lines and their seconds.
    """
    if len(windows) <= most:
        return list(windows)
    first_s, last_s = windows[0].start_s, windows[-1].end_s
    width = (last_s - first_s) / most
    groups: list[list[Window]] = []
    number_of_last = -1
    for window in windows:
        number = int((window.start_s - first_s) / width)
        if groups and number == number_of_last and groups[-1][-1].end_s == window.start_s:
            groups[-1].append(window)
        else:
            groups.append([window])
        number_of_last = number
    return [_joined(group) for group in groups]


def _joined(group: Sequence[Window]) -> Window:
    lines = [line for window in group for line in window.lines]
    line_s = [seconds for window in group for seconds in window.line_s]
    return Window(group[0].start_s, group[-1].end_s, lines, line_s)


def points(
    windows: Sequence[Window], keys: Sequence[str], gauges: Collection[str] = ()
) -> tuple[list[float], list[list]]:
    """Return x and one list of values per key, for series that hold a value until the next x.

    A rate is that of its window. One of `gauges` was read at the end of a window: it holds from
    there on, and is unknown before the first reading. The last value of a stretch is repeated at
    its end; a None between stretches leaves a gap.
    """
    x: list[float] = []
    values: list[list[float | None]] = [[] for _ in keys]

    def add(at_s: float, found: Sequence[float | None]) -> None:
        x.append(round(at_s, 3))
        for series, value in zip(values, found, strict=True):
            series.append(None if value is None else float(f"{value:.6g}"))

    read: dict[str, float | None] = {}
    for i, window in enumerate(windows):
        means = {key: window.mean(key) for key in keys if key not in gauges}
        add(window.start_s, [read.get(key) if key in gauges else means[key] for key in keys])
        read = {key: window.last(key) for key in keys if key in gauges}
        after = windows[i + 1].start_s if i + 1 < len(windows) else None
        is_end = after is None or after > window.end_s + 1e-6
        if is_end:
            add(window.end_s, [read[key] if key in gauges else means[key] for key in keys])
            read = {}
        if is_end and after is not None:
            add((window.end_s + after) / 2, [None] * len(keys))
    return x, values

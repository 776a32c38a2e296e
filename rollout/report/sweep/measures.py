"""Figures of a sweep's points as values of charts: a number and an interval for each point.

Owns which points a figure may be drawn for: done ones, and of speeds only those that say how fast a
point is. Must not know about swept keys.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rollout.report.charts import Format
from rollout.report.sweep.columns import LABELS
from rollout.report.sweep.confidence import bands_note, levels_of
from rollout.report.sweep.points import (
    SCORES,
    Point,
    had_an_engine_to_itself,
    interval_of,
    is_share,
    objective_of,
)
from rollout.report.sweep.ranking import is_speed
from rollout.report.sweep.spread import CONFIDENCE, Spans
from rollout.system.safe_text import printable

TITLES = {
    "mean_response_tokens": "Mean response length (tokens)",
    "p95_response_tokens": "95th percentile of response lengths (tokens)",
    "truncated_fraction": "Truncated responses",
    "distinct_fraction": "Distinct responses of a prompt",
}
QUALITY = tuple(TITLES)


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure of each point, None where it has none, and the ends of its interval."""

    name: str  # of summary.json, such as scores.pass@1
    label: str
    values: Sequence[float | None]
    spans: Sequence[tuple[float, float] | None]
    note: str = ""

    @property
    def format(self) -> Format:
        """How an axis writes the figure, by the unit in its name."""
        if self.name.endswith(("_fraction", "_rate")) or is_share(self.name):
            return Format.percent
        is_time = self.name.endswith("_s") and not self.name.endswith("_per_s")
        return Format.seconds if is_time else Format.number

    @property
    def title(self) -> str:
        return TITLES.get(self.name, self.label)

    @property
    def num_known(self) -> int:
        return sum(value is not None for value in self.values)


def label_of(name: str) -> str:
    """Return a figure's name for people: `tokens/s`, `pass@1`."""
    return printable(LABELS.get(name, name.rpartition(".")[2]))


def score_measure(points: Sequence[Point], name: str) -> Measure:
    """Return a figure of `scores` with the intervals of its estimate."""
    spans = [interval_of(point, name) for point in points]
    values = _values(points, f"{SCORES}.{name}")
    levels = levels_of(point for point, span in zip(points, spans, strict=True) if span)
    note = bands_note(levels, values, spans, is_share(name))
    return Measure(f"{SCORES}.{name}", label_of(name), values, spans, note)


def measure_of(points: Sequence[Point], name: str, spreads: Mapping[Path, Spans]) -> Measure:
    """Return a figure of summary.json; its intervals come from `spreads`, by run directory."""
    if name.startswith(f"{SCORES}."):
        return score_measure(points, name.removeprefix(f"{SCORES}."))
    spans = [spreads.get(point.run_dir, {}).get(name) for point in points]
    values = _values(points, name)
    note = bands_note([CONFIDENCE], values, spans, name.endswith("_fraction"))
    return Measure(name, label_of(name), values, spans, note)


def ends_of(
    spans: Sequence[tuple[float, float] | None],
) -> tuple[list[float | None] | None, list[float | None] | None]:
    """Return the lower and the upper ends of intervals; None twice if there are none."""
    if not any(spans):
        return None, None
    return [span and span[0] for span in spans], [span and span[1] for span in spans]


def _values(points: Sequence[Point], name: str) -> list[float | None]:
    found = [objective_of(point.figures, name) if _may_be_drawn(point, name) else None
             for point in points]  # fmt: skip
    return [value if value is not None and math.isfinite(value) else None for value in found]


def _may_be_drawn(point: Point, name: str) -> bool:
    may_compare = had_an_engine_to_itself(point.figures) or not is_speed(name)
    return point.status == "done" and may_compare

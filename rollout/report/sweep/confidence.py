"""How a sweep's intervals were found, in words: their level, and the rule at 0 and 100 %."""

from collections.abc import Iterable

from rollout.postprocess.export.score_texts import percent_text
from rollout.report.recorded import value_in
from rollout.report.sweep.points import Point
from rollout.report.values import AT_THE_ENDS
from rollout.system.disk import read_json

HOW = "(bootstrap over prompts)"


def levels_of(points: Iterable[Point]) -> list[float]:
    """Return the confidence levels that the points were scored with; empty if one is unknown."""
    found = [_level(point) for point in points]
    known = [level for level in found if level is not None]
    return sorted(set(known)) if len(known) == len(found) else []


def _level(point: Point) -> float | None:
    record = read_json(point.run_dir / "published.json")
    level = value_in(record, "scoring.estimate.confidence")
    return level if isinstance(level, float) else None


def intervals_text(levels: Iterable[float], noun: str = "intervals") -> str:
    """Return `95% intervals (bootstrap over prompts)`; without the level if it is unknown."""
    level = " and ".join(percent_text(level) for level in levels)
    return " ".join(filter(None, [level, noun, HOW]))


def bands_note(
    levels: Iterable[float],
    values: Iterable[float | None],
    spans: Iterable[tuple[float, float] | None],
    is_share: bool,
) -> str:
    """Return the note of a chart with bands; empty if no value has an interval."""
    pairs = [(value, span) for value, span in zip(values, spans, strict=True) if span]
    if not pairs:
        return ""
    has_ends = is_share and any(value in (0.0, 1.0) for value, _ in pairs)
    note = f"Bands: {intervals_text(levels)}."
    return f"{note} {AT_THE_ENDS}" if has_ends else note

"""pass@k against k, a curve for each scored point."""

from collections.abc import Sequence

from rollout.report.charts import Chart, Format, Series
from rollout.report.recorded import ks_in
from rollout.report.sweep.confidence import bands_note, levels_of
from rollout.report.sweep.measures import Measure, ends_of, score_measure
from rollout.report.sweep.points import SCORES, Point, objective_of
from rollout.system.safe_text import printable

MAX_POINTS = 8


def pass_curves(points: Sequence[Point], ranked: Sequence[Point]) -> Chart | None:
    """Return the chart; None if no point has pass@k for two k. The best points if they are many."""
    ks = ks_in(name for point in points for name in point.figures.get(SCORES) or {})
    have = [p for p in points if p.status == "done" and len(_known(p, ks)) >= 2]
    if not have:
        return None
    place = {id(point): i for i, point in enumerate(ranked)}
    kept = sorted(have, key=lambda p: place.get(id(p), len(place)))[:MAX_POINTS]
    kept = [point for point in have if point in kept]
    ks = [k for k in ks if any(k in _known(point, ks) for point in kept)]
    left = len(have) - len(kept)
    measures = [score_measure(kept, f"pass@{k}") for k in ks]
    note = _bands_note(kept, measures)
    note += f" The {MAX_POINTS} best points; {left:,} more are in the table." if left else ""
    are_powers = all(k == ks[0] << i for i, k in enumerate(ks))  # 1, 2, 4, 8: equal steps
    return Chart(
        "pass_at_k",
        "pass@k: the share of prompts solved within k samples",
        "k",
        "pass@k",
        list(range(len(ks))) if are_powers else [float(k) for k in ks],
        [_series(point, i, measures) for i, point in enumerate(kept)],
        ticks=[f"{k:,}" for k in ks] if are_powers else None,
        y_format=Format.percent,
        note=note.strip(),
    )


def _known(point: Point, ks: Sequence[int]) -> list[int]:
    return [k for k in ks if objective_of(point.figures, f"{SCORES}.pass@{k}") is not None]


def _bands_note(points: Sequence[Point], measures: Sequence[Measure]) -> str:
    values = [value for measure in measures for value in measure.values]
    spans = [span for measure in measures for span in measure.spans]
    have = [p for i, p in enumerate(points) if any(measure.spans[i] for measure in measures)]
    return bands_note(levels_of(have), values, spans, is_share=True)


def _series(point: Point, i: int, measures: Sequence[Measure]) -> Series:
    low, high = ends_of([measure.spans[i] for measure in measures])
    values = [measure.values[i] for measure in measures]
    return Series(printable(point.name), values, low=low, high=high)

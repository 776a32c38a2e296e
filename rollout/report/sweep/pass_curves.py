"""pass@k against k, a curve for each scored point."""

from collections.abc import Sequence

from rollout.report.charts import Chart, Format, Series
from rollout.report.sweep.confidence import bands_note, levels_of
from rollout.report.sweep.measures import score_measure
from rollout.report.sweep.points import SCORES, Point, interval_of, objective_of
from rollout.system.safe_text import printable

MAX_POINTS = 8


def ks_of(points: Sequence[Point]) -> list[int]:
    """Return the k for which any point has pass@k."""
    names = {name for p in points for name in p.figures.get(SCORES) or {}}
    ks = (name.removeprefix("pass@") for name in names if name.startswith("pass@"))
    return sorted(int(k) for k in ks if k.isascii() and k.isdecimal())


def pass_curves(points: Sequence[Point], ranked: Sequence[Point]) -> Chart | None:
    """Return the chart; None if no point has pass@k for two k. The best points if they are many."""
    ks = ks_of(points)
    have = [p for p in points if p.status == "done" and len(_known(p, ks)) >= 2]
    if not have:
        return None
    place = {id(point): i for i, point in enumerate(ranked)}
    kept = sorted(have, key=lambda p: place.get(id(p), len(place)))[:MAX_POINTS]
    kept = [point for point in have if point in kept]
    ks = [k for k in ks if any(k in _known(point, ks) for point in kept)]
    left = len(have) - len(kept)
    note = _bands_note(kept, ks)
    note += f" The {MAX_POINTS} best points; {left:,} more are in the table." if left else ""
    are_powers = all(k == ks[0] << i for i, k in enumerate(ks))  # 1, 2, 4, 8: equal steps
    return Chart(
        "pass_at_k",
        "pass@k: the share of prompts solved within k samples",
        "k",
        "pass@k",
        list(range(len(ks))) if are_powers else [float(k) for k in ks],
        [_series(point, ks) for point in kept],
        ticks=[f"{k:,}" for k in ks] if are_powers else None,
        y_format=Format.percent,
        note=note.strip(),
    )


def _known(point: Point, ks: Sequence[int]) -> list[int]:
    return [k for k in ks if objective_of(point.figures, f"{SCORES}.pass@{k}") is not None]


def _bands_note(points: Sequence[Point], ks: Sequence[int]) -> str:
    names = [(point, f"pass@{k}") for point in points for k in ks]
    spans = [interval_of(point, name) for point, name in names]
    values = [objective_of(point.figures, f"{SCORES}.{name}") for point, name in names]
    have = [p for p in points if any(interval_of(p, f"pass@{k}") for k in ks)]
    return bands_note(levels_of(have), values, spans, is_share=True)


def _series(point: Point, ks: Sequence[int]) -> Series:
    measures = [score_measure([point], f"pass@{k}") for k in ks]
    spans = [measure.spans[0] for measure in measures]
    return Series(
        printable(point.name),
        [measure.values[0] for measure in measures],
        low=[span and span[0] for span in spans] if any(spans) else None,
        high=[span and span[1] for span in spans] if any(spans) else None,
    )

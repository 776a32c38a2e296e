"""Throughput against memory, with the Pareto front, for points whose speeds can be compared."""

import math
from collections.abc import Iterable, Sequence

from rollout.report.charts import Chart, Kind, Series
from rollout.report.page import Note
from rollout.report.sweep.points import Point, had_an_engine_to_itself, objective_of
from rollout.report.sweep.ranking import SHORT_S
from rollout.system.safe_text import printable

SPEED, MEMORY = "output_tokens_per_s", "peak_memory_gib"
SHOWN_NAMES = 12  # of the front, in the note
SHARED = (
    "shared an engine or its replicas, so their speeds show whose responses are longest, not which "
    "point is fastest. To compare speeds, type hydra.sweeper.max_batch_size=1 and another run_dir="
)


def pareto_front(pairs: Sequence[tuple[float, float]]) -> list[int]:
    """Return the positions of (memory, speed) pairs that no other pair is better than.

    Another is better if it has at most the memory and at least the speed, and is not equal.
    """
    order = sorted(range(len(pairs)), key=lambda i: (pairs[i][0], -pairs[i][1]))
    front: list[int] = []
    for i in order:
        if not front or pairs[i][1] > pairs[front[-1]][1] or pairs[i] == pairs[front[-1]]:
            front.append(i)
    return front


def speed_blocks(points: Sequence[Point]) -> list[Chart | Note]:
    """Return the chart of the comparable points, and a note on those that are not."""
    done = [p for p in points if p.status == "done" and _pair(p)]
    alone = [point for point in done if had_an_engine_to_itself(point.figures)]
    num_shared = len(done) - len(alone)
    found: list[Chart | Note] = []
    if len(alone) >= 2:
        found.append(_chart(alone))
    if num_shared:
        who = "The points" if num_shared == len(done) else f"{num_shared:,} points"
        end = "" if found else " Throughput against memory is not drawn."
        found.append(Note(f"{who} {SHARED}.{end}"))
    return found


def _pair(point: Point) -> tuple[float, float] | None:
    memory, speed = (objective_of(point.figures, name) for name in (MEMORY, SPEED))
    if memory is None or speed is None or not math.isfinite(memory) or not math.isfinite(speed):
        return None
    return memory, speed


def _chart(points: list[Point]) -> Chart:
    points = sorted(points, key=lambda point: _pair(point) or ())
    pairs = [_pair(point) or (0.0, 0.0) for point in points]
    front = [points[i] for i in pareto_front(pairs)]
    reached, most = [], -math.inf
    for _, speed in pairs:
        most = max(most, speed)
        reached.append(most)
    names = [printable(point.name) for point in points]
    x, speeds = (list(values) for values in zip(*pairs, strict=True))
    return Chart(
        "throughput_memory",
        "Throughput against memory",
        "peak memory (GiB)",
        "output tokens/s",
        x,
        [
            Series("points", speeds, Kind.points, labels=names),
            Series("Pareto front", reached, Kind.steps),
        ],
        note=" ".join(_notes(points, front)),
    )


def _notes(points: list[Point], front: list[Point]) -> Iterable[str]:
    names = ", ".join(printable(point.name) for point in front[:SHOWN_NAMES])
    more = f" and {len(front) - SHOWN_NAMES:,} more" if len(front) > SHOWN_NAMES else ""
    yield f"On the front (no other point is faster with as little memory): {names}{more}."
    yield "Tokens/s cover a point's generation, without the load of its engine."
    times = [objective_of(point.figures, "generate_s") for point in points]
    if min((t for t in times if t is not None), default=SHORT_S) < SHORT_S:
        yield f"Some points generated for less than {SHORT_S:.0f} s, too short to compare speeds."

"""Rank the points of a sweep by its objective, and decide whether the first may be called best.

Owns the rule for the star. Scores: a paired bootstrap over the same rows must distinguish the
first point from every other one. Speeds: only points that had an engine to themselves are ranked.
Other figures: the highest (or lowest) is marked if no other point equals it. Writes no file.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rollout.postprocess.export.intervals import Difference
from rollout.postprocess.export.score_texts import percent_text
from rollout.report.sweep.points import (
    SCORES,
    Point,
    is_maximized,
    is_same,
    objective_of,
    ranked,
    scores_shown,
    shown,
)
from rollout.report.sweep.rows import Unreadable, compared

SHORT_S = 10.0  # of generation; less is dominated by noise and the first steps
MAX_COMPARED = 50  # points compared with the first one: those that follow it
SHOWN_NAMES = 6
MAX_LEADERS = 3  # points with the best value that are named; of more, the number is given
OVER = ("done", "failed")  # statuses of a point that stays as it is


@dataclass(slots=True)
class Ranking:
    """The points ranked by an objective; `star` is the marked one, if any."""

    objective: str
    maximize: bool
    ranked: list[Point] = field(default_factory=list)  # the first has the best value
    star: Point | None = None
    differs: dict[Path, bool] = field(default_factory=dict)  # compared with the first, by run_dir
    is_best: bool = False  # the first is distinguishable from all others, not just higher
    notes: list[str] = field(default_factory=list)  # how to read the ranking
    is_finished: bool = True  # no point runs, waits or was interrupted

    @property
    def leaders(self) -> list[Point]:
        """The points with the best value: more than one if it is a tie."""
        values = [objective_of(point.figures, self.objective) for point in self.ranked]
        return [p for p, v in zip(self.ranked, values, strict=True) if is_same(v, values[0])]

    @property
    def which(self) -> str:
        """The word for the first place."""
        return "best" if self.is_best else "highest" if self.maximize else "lowest"

    @property
    def where(self) -> str:
        """The points with the best value: `at t=1`, `at 2 points (t=0, t=1)` or `at 5 points`."""
        names = [point.name for point in self.leaders]
        if len(names) == 1:
            return f"at {names[0]}"
        listed = f" ({', '.join(names)})" if len(names) <= MAX_LEADERS else ""
        return f"at {len(names):,} points{listed}"

    @property
    def headline(self) -> str:
        """The best value and its points, such as `best pass@1: 62.5% (54-71) at t=1`."""
        if not self.ranked:
            return ""
        values = [value_shown(point, self.objective) for point in self.leaders]
        value = values[0] if len(set(values)) == 1 else values[0].partition(" (")[0]
        so_far = "" if self.is_finished else " so far"
        name = self.objective.removeprefix(f"{SCORES}.")
        return f"{self.which} {name}{so_far}: {value} {self.where}"


def rank(points: Iterable[Point], objective: str) -> Ranking:
    """Rank the points that are done, with notes on what the first place means."""
    maximize = is_maximized(objective)
    points = list(points)
    found = Ranking(objective, maximize, ranked(points, objective, maximize))
    found.is_finished = all(point.status in OVER for point in points)
    if not found.ranked:
        if any(point.status == "done" for point in points):
            found.notes.append(_no_value(objective))
    elif is_speed(objective):
        _rank_speeds(found)
    elif objective.startswith(f"{SCORES}."):
        _rank_scores(found)
    else:
        _mark_the_first(found)
        if found.star:
            found.notes.append(
                f"{found.star.name} has the {found.which} value; whether the points differ by more "
                "than chance was not tested, which is done for scores only"
            )
    return found


def is_speed(key: str) -> bool:
    """Whether a figure is a time, a rate or a cost, which points on one engine share."""
    name = key.rpartition(".")[2]
    return name.endswith(("_s", "_hour", "_hours", "_j")) or "_per_s" in name


def _no_value(objective: str) -> str:
    """Return the note for points that are done but lack the figure."""
    k = objective.removeprefix(f"{SCORES}.pass@")
    advice = f"; type postprocess.estimate.k=[{k}] to estimate it" if k.isdecimal() else ""
    return f"no point has a value for objective={objective}{advice}"


def _mark_the_first(found: Ranking) -> None:
    """Mark the first point if no other has the same value."""
    if len(leaders := found.leaders) > 1:
        found.notes.append(f"{_listed(leaders)} have the same value")
    elif len(found.ranked) > 1:
        found.star = found.ranked[0]


def _rank_speeds(found: Ranking) -> None:
    def figure(point: Point, name: str) -> int:
        return point.figures.get(name) or 0

    shared = [point for point in found.ranked if figure(point, "num_sharing") > 1]
    beside = [p for p in found.ranked if p not in shared and figure(p, "num_beside")]
    found.ranked = [p for p in found.ranked if p not in shared and p not in beside]
    if beside:
        found.notes.append(
            f"not ranked by {found.objective}: {_listed(beside)}. Their engines shared out the "
            "replicas, and may have had more at one point than at another. To compare speeds, type "
            "hydra.sweeper.max_batch_size=1 and another run_dir= (one point at a time)"
        )
    if shared:
        found.notes.append(
            f"not ranked by {found.objective}: {_listed(shared)}. Points side by side share the "
            "engine, so their speeds show whose responses are longest, not which is fastest. To "
            "compare speeds, type hydra.sweeper.max_batch_size=1 and another run_dir= (one point "
            "at a time); to compare responses, for example objective=distinct_fraction"
        )
    times = [p.figures.get("generate_s") for p in found.ranked]
    if len(times) > 1 and min((t for t in times if t is not None), default=SHORT_S) < SHORT_S:
        found.notes.append(f"under {SHORT_S:.0f} s is too short to compare speeds, so none is best")
    else:
        _mark_the_first(found)


def _rank_scores(found: Ranking) -> None:
    """Compare the first point with those that follow, row by row."""
    if len(found.ranked) < 2:
        return
    first, *others = found.ranked
    figure = found.objective.removeprefix(f"{SCORES}.")
    alike: list[Point] = []
    unknown: list[tuple[str, Point]] = []
    made: list[Difference] = []
    for other in others[:MAX_COMPARED]:
        try:
            difference = compared(first, other, figure)
        except Unreadable as error:
            unknown.append((str(error), other))
            continue
        if difference is None:
            _no_rows(found, figure)
            return
        made.append(difference)
        is_told = difference.is_told_apart and (difference.value > 0) == found.maximize
        found.differs[other.run_dir] = is_told
        if not is_told:
            alike.append(other)
    found.is_best = not alike and not unknown
    found.star = first if found.is_best else None
    found.notes += _comparison_notes(found, alike, unknown, made)


def _no_rows(found: Ranking, figure: str) -> None:
    """Rank by a figure without a value per row, such as num_right."""
    if figure.startswith("num_"):
        _mark_the_first(found)
    else:
        found.notes.append(
            "the points are not compared row by row, because postprocess.estimate.resamples=0"
        )


def _comparison_notes(
    found: Ranking,
    alike: list[Point],
    unknown: list[tuple[str, Point]],
    made: list[Difference],
) -> Iterator[str]:
    first = found.ranked[0].name
    numbers = sorted({difference.num_rows for difference in made})
    if made:
        rows = f"{numbers[0]:,}" if len(numbers) == 1 else f"{numbers[0]:,} to {numbers[-1]:,}"
        how = f"paired bootstrap over the same {rows} rows, {percent_text(made[0].confidence)}"
        more = len(found.ranked) - 1 - MAX_COMPARED
        of = f"each of the {MAX_COMPARED} that follow" if more > 0 else "every other point"
        if alike:
            yield f"{first} is not distinguishable from {_listed(alike)} ({how})"
        elif not unknown:
            yield f"{first} is better than {of} ({how})"
    for reason, group in itertools.groupby(sorted(unknown, key=lambda u: u[0]), lambda u: u[0]):
        names = _listed([point for _, point in group])
        yield f"{first} is not known to be better than {names} ({reason})"


def value_shown(point: Point, objective: str) -> str:
    """Return a point's objective as text for people, a score with its interval."""
    if objective.startswith(f"{SCORES}."):
        return scores_shown([point], objective.removeprefix(f"{SCORES}."))[0]
    value = objective_of(point.figures, objective)
    return shown(objective, value)


def _listed(points: list[Point]) -> str:
    names = ", ".join(point.name for point in points[:SHOWN_NAMES])
    more = len(points) - SHOWN_NAMES
    return f"{names} and {more:,} more" if more > 0 else names

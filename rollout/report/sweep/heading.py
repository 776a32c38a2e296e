"""The top of a sweep's page: what was swept, when, where and by which command; verdict and figures.

Reads the points' records. What no record tells is left out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rollout.report.page import Figure
from rollout.report.recorded import value_in
from rollout.report.sweep.axes import axes_of
from rollout.report.sweep.confidence import intervals_text, levels_of
from rollout.report.sweep.measures import label_of
from rollout.report.sweep.points import SCORES, Point, interval_of, is_share, objective_of, shown
from rollout.report.sweep.ranking import Ranking, value_shown
from rollout.report.sweep.record import elapsed_of, num_uncomposed, sweep_record
from rollout.report.sweep.status import counts_text
from rollout.runs.command import command_in
from rollout.store.run_dir import last_attempt
from rollout.system import dates
from rollout.system.disk import read_json
from rollout.system.safe_text import printable
from rollout.system.terminal import counted, duration

SAMPLING = ("n_samples", "temperature", "top_p", "top_k", "min_p", "max_tokens", "seed")
MAX_COMMANDS, MAX_NAMES = 5, 3


@dataclass(slots=True)
class Origin:
    """The records of a point's run: what it was asked, and where it was launched."""

    run: dict[str, Any]
    environment: dict[str, Any]
    figures: dict[str, Any]

    def setting(self, key: str) -> Any:
        return value_in(self.run, f"config.{key}")


@dataclass(slots=True)
class Heading:
    """Everything above the sections of the page."""

    title: str
    subtitle: list[str]
    verdict: str
    style: str
    figures: list[Figure]
    commands: list[str]  # the newest first
    num_more: int  # points that are not composed yet


def heading_of(directory: Path, points: Sequence[Point], ranking: Ranking) -> Heading:
    origins = [_origin(point) for point in points]
    record, num_more = sweep_record(directory), num_uncomposed(directory, len(points))
    models, inputs = _models(origins), _inputs(origins)
    title = f"Sweep {directory.absolute().name}"
    what = " on ".join(filter(None, [_listed(models, "models"), _listed(inputs, "inputs")]))
    commands = _commands(directory, record, origins)
    lines = [
        what,
        " · ".join(filter(None, [_dates(record, origins), *_sampling(origins, points)])),
        _listed(_machines(origins), "machines"),
        commands[0] if commands else "",
    ]
    return Heading(
        printable(f"{title}: {what}" if what else title),
        [printable(line) for line in lines[1:] if line],
        printable(_verdict(points, num_more, ranking)),
        _style(points, num_more),
        _figures(directory, points, num_more, ranking, origins),
        commands,
        num_more,
    )


def _origin(point: Point) -> Origin:
    attempt = last_attempt(point.run_dir)
    return Origin(
        read_json(point.run_dir / "run.json") or {},
        (read_json(attempt / "environment.json") or {}) if attempt else {},
        point.figures,
    )


def _models(origins: Iterable[Origin]) -> list[str]:
    found = []
    for origin in origins:
        if origin.setting("engine.backend") == "scripted":
            found.append("the scripted engine")
        elif name := origin.figures.get("model") or origin.setting("model.model_path"):
            found.append(str(name).removeprefix("embedded:"))
    return list(dict.fromkeys(found))


def _inputs(origins: Iterable[Origin]) -> list[str]:
    names = (o.figures.get("input") or o.setting("data.input") for o in origins)
    return list(dict.fromkeys(str(name).rpartition("/")[2] or str(name) for name in names if name))


def _machines(origins: Iterable[Origin]) -> list[str]:
    names = (origin.environment.get("machine") for origin in origins)
    return list(dict.fromkeys(str(name) for name in names if name))


def _listed(names: Sequence[str], noun: str) -> str:
    if len(names) <= MAX_NAMES:
        return ", ".join(names)
    return f"{len(names):,} {noun}"


def _dates(record: dict[str, Any], origins: Sequence[Origin]) -> str:
    """Return `2026-03-01 09:30 to 2026-03-01 11:02`, as far as records tell."""
    first = [record.get("created"), *(origin.run.get("created") for origin in origins)]
    begun = [date for date in map(dates.moment, first) if date]
    ended = [date for o in origins if (date := dates.moment(o.figures.get("finished")))]
    shown_dates = [dates.shown(min(begun))] if begun else []
    if ended and dates.shown(max(ended)) not in shown_dates:
        shown_dates.append(dates.shown(max(ended)))
    return " to ".join(shown_dates)


def _sampling(origins: Sequence[Origin], points: Sequence[Point]) -> list[str]:
    """Return the sampling settings that all points share: `n=8`, `seed 42`."""
    asked = [o for o in origins if o.run]
    swept = {axis.key for axis in axes_of(points)}
    found = []
    for name in SAMPLING:
        values = {str(origin.setting(f"sampling.{name}")) for origin in asked}
        if len(values) == 1 and f"sampling.{name}" not in swept and not values & {"None", "-1"}:
            found.append(f"{'n' if name == 'n_samples' else name} {values.pop()}")
    return found


def _commands(directory: Path, record: dict[str, Any], origins: Sequence[Origin]) -> list[str]:
    """Return the commands whose points are here, the newest first, secrets starred."""
    known = [record.get("argv"), *(origin.run.get("argv") for origin in origins)]
    typed = [argv for argv in known if isinstance(argv, list) and argv]
    typed = [argv for argv in typed if all(isinstance(word, str) for word in argv)]
    found = dict.fromkeys(command_in(argv, directory) for argv in typed)
    return [printable(command) for command in found][:MAX_COMMANDS]


def _verdict(points: Sequence[Point], num_more: int, ranking: Ranking) -> str:
    num_points, counts = counted(len(points) + num_more, "point"), counts_text(points, num_more)
    text = f"{num_points}: {counts}" if points else "no point has begun yet"
    headline = " ".join(ranking.headline.split())
    return f"{text}. {headline[0].upper()}{headline[1:]}" if headline else text


def _style(points: Sequence[Point], num_more: int) -> str:
    statuses = {point.status for point in points}
    if statuses == {"done"} and not num_more:
        return "good"
    if "running" in statuses and "failed" not in statuses:
        return "neutral"
    return "bad" if "failed" in statuses and "done" not in statuses else "warning"


def _figures(
    directory: Path,
    points: Sequence[Point],
    num_more: int,
    ranking: Ranking,
    origins: Sequence[Origin],
) -> list[Figure]:
    found = []
    if ranking.ranked:
        found.append(_best(ranking))
    done = [point for point in points if point.status == "done"]
    found.append(Figure(f"{len(points) + num_more:,}", "points", f"{len(done):,} done"))
    num_samples = sum(objective_of(point.figures, "num_samples") or 0 for point in points)
    if num_samples:
        found.append(Figure(f"{num_samples:,.0f}", "samples", _rows_text(points)))
    if (elapsed := elapsed_of(directory) or 0.0) > 0:
        is_over = ranking.is_finished and not num_more  # else more was spent since the last record
        text = duration(elapsed) if is_over else f"at least {duration(elapsed)}"
        found.append(Figure(text, "total time", "of its commands, until their last record"))
    if loads := _num_loads(points, origins):
        noun = "engine load" if loads == 1 else "engine loads"
        found.append(Figure(f"{loads:,}", noun, "points with the same engine share one"))
    return found


def _rows_text(points: Sequence[Point]) -> str:
    """Return `24 rows (8 prompts x 3 points)`; without the product if points differ in rows."""
    numbers = [n for point in points if (n := objective_of(point.figures, "num_rows"))]
    whole = f"of {sum(numbers):,.0f} rows"
    is_product = len(numbers) > 1 and len(set(numbers)) == 1
    return f"{whole} ({numbers[0]:,.0f} prompts x {len(numbers):,} points)" if is_product else whole


def _best(ranking: Ranking) -> Figure:
    first, name = ranking.ranked[0], ranking.objective
    so_far = "" if ranking.is_finished else " so far"
    notes = [ranking.where]
    score = name.removeprefix(f"{SCORES}.")
    value = value_shown(first, name)
    if score != name:
        value = shown(score, objective_of(first.figures, name))
        if (span := interval_of(first, score)) and len(ranking.leaders) == 1:
            low, high = (f"{100 * end:.0f}%" if is_share(score) else f"{end:.3g}" for end in span)
            notes.append(f"{intervals_text(levels_of([first]), 'interval')} {low} to {high}")
    return Figure(
        printable(value), f"{ranking.which} {label_of(name)}{so_far}", printable("; ".join(notes))
    )


def _num_loads(points: Sequence[Point], origins: Sequence[Origin]) -> int:
    """Return how many engines were loaded: they are numbered anew in each process."""
    pairs = zip(points, origins, strict=True)
    loads = {
        (point.engine, str(origin.environment.get("pid")), str(origin.environment.get("boot_id")))
        for point, origin in pairs
        if point.engine is not None
    }
    return len(loads)

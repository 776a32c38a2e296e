"""The points of a sweep and their figures: status, order, and how figures are shown.

Writes no file. Must not know about Hydra, engines, what a run does.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rollout.config.settings import Settings
from rollout.errors import RolloutError
from rollout.postprocess.export.score_texts import between, is_percent, score_text
from rollout.report.recorded import number_of, value_in
from rollout.rows.signs import SIGNS
from rollout.runs.job import Job
from rollout.runs.summary_record import summary_record
from rollout.system.disk import path_of, read_json
from rollout.system.terminal import duration, share_text

COSTS = (
    *(f"num_{sign}" for sign in SIGNS), *(f"{sign}_fraction" for sign in SIGNS),
    "num_preemptions", "num_engine_restarts", "mean_response_tokens", "p95_response_tokens",
    "max_response_tokens", "num_output_tokens", "kv_cache_usage_peak", "num_wrong",
    "num_no_answer", "num_cut_off", "num_errors", "num_unjudged", "num_unscored",
    "num_sampled_tokens", "num_discarded_tokens", "energy_j", "gpu_hours",
)  # fmt: skip
SCORES = "scores"  # of summary.json, where the run was scored
HUGE = 1e15  # shown in scientific notation from here on
STATUSES = ("done", "running", "failed", "interrupted", "waiting")


@dataclass(slots=True, eq=False)
class Point:
    """One combination of swept settings: what was typed, its checked job, its result.

    It has no `settings` if they were `refused`, and no `job` until it is checked.
    """

    name: str  # of its directory, such as temperature=0.7,top_p=0.9
    values: dict[str, str]  # swept key -> value as typed
    run_dir: Path
    settings: Settings | None = None
    refused: RolloutError | None = None
    environment: dict[str, str] = field(default_factory=dict)  # while its engine is in use
    job: Job | None = None
    status: str = "waiting"  # waiting, running, done, failed or interrupted
    error: str | None = None  # one line
    engine: int | None = None  # which of the sweep's engine loads served it: 1, 2, ...
    figures: dict[str, Any] = field(default_factory=dict)  # the run's summary.json
    prompt_keys: list[str] = field(default_factory=lambda: ["prompt"])  # columns it asks from
    prefix: str = ""  # before the name of every column added to the input's


def figures_of(run_dir: Path) -> dict[str, Any]:
    """Return a run's summary.json, with the current output path if the directory was moved."""
    figures = summary_record(run_dir) or {}
    published = (read_json(run_dir / "published.json") or {}).get("path")
    if isinstance(published, str) and figures:
        figures["output_path"] = str(path_of(published, run_dir))
    return figures


def scored_file(point: Point) -> Path | None:
    """Return where a point's scored file is; beside its records if the sweep was moved.

    None if the point was not scored. Raises OSError if its place can't be looked at.
    """
    text = (point.figures.get(SCORES) or {}).get("path")
    if not isinstance(text, str):
        return None
    path = path_of(text)
    return path if path.exists() else point.run_dir / path.name


def objective_of(figures: Mapping[str, Any], key: str) -> float | None:
    """Return the number under a dotted key of nested figures; None if there is none."""
    return number_of(value_in(figures, key))


def is_maximized(key: str) -> bool:
    """Whether more of a figure is better, by the last part of its key.

    Less is better for seconds (`_s`, but not rates, `_per_s`), memory (`_gib`) and COSTS: signs of
    a bad run, such as failed rows or cut-off responses, repeated work, and the lengths of
    responses, which cost time. More is better for everything else: rates, distinct responses,
    cache hits, and figures that are unknown here, such as scores.
    """
    name = key.rpartition(".")[2]
    is_time = name.endswith("_s") and not name.endswith("_per_s")
    return not (is_time or name.endswith("_gib") or name in COSTS)


def ranked(points: Iterable[Point], key: str, maximize: bool) -> list[Point]:
    """Return the done points with a finite value, the best first."""
    valued = [(objective_of(p.figures, key), p) for p in points if p.status == "done"]
    finite = [(value, p) for value, p in valued if value is not None and math.isfinite(value)]
    finite.sort(key=lambda pair: -pair[0] if maximize else pair[0])
    return [point for _, point in finite]


def is_same(one: float | None, two: float | None) -> bool:
    """Whether two values of a figure are equal, but for rounding errors of their sums."""
    return one == two or (None not in (one, two) and math.isclose(one, two, rel_tol=1e-12))


def shown(name: str, value: float | None) -> str:
    """Return a figure as text for people, by the unit in its name."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return str(value)
    if name.endswith(("_fraction", "_rate")) or is_share(name):
        return share_text(value)
    if name in ("generate_s", "load_s", "wall_s"):
        return duration(value) if value >= 60 else f"{value:.1f}s"
    if abs(value) >= HUGE:
        return f"{value:.4g}"
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def is_share(name: str) -> bool:
    """Whether a score is a share of the samples or rows."""
    return name.rpartition(".")[2].startswith(("pass@", "maj@"))


def interval_of(point: Point, name: str) -> tuple[float, float] | None:
    """Return the interval of one of a point's scores, if it has one."""
    found = ((point.figures.get(SCORES) or {}).get("intervals") or {}).get(name)
    return (float(found[0]), float(found[1])) if found else None


def scores_shown(points: Iterable[Point], name: str, with_intervals: bool = True) -> list[str]:
    """Return a score of every point as text, such as `62.5% (54-71)`.

    All are in one unit: percent, unless one is large.
    """
    points = list(points)
    values = [objective_of(point.figures, f"{SCORES}.{name}") for point in points]
    spans = [interval_of(point, name) if with_intervals else None for point in points]
    known = [value for value in values if value is not None]
    percent = is_percent(*known, *(end for span in spans for end in span or ()))
    return [
        ("" if value is None else score_text(value, percent))
        + (f" ({between(*span, percent)})" if span and value is not None else "")
        for value, span in zip(values, spans, strict=True)
    ]


def had_an_engine_to_itself(figures: Mapping[str, Any]) -> bool:
    """Whether a run's speeds say how fast it is: it shared neither the engine nor the replicas."""
    shared = objective_of(figures, "num_sharing") or 0
    return shared <= 1 and not objective_of(figures, "num_beside")


def status_counts(points: Iterable[Point]) -> str:
    """Return how many points have each status, such as `3 done, 1 failed`."""
    counts = Counter(point.status for point in points)
    return ", ".join(f"{counts[status]:,} {status}" for status in STATUSES if counts[status])


def at_point(settings: Settings, run_dir: Path, directory: Path) -> Settings:
    """Return the settings with the point's run directory, grouped in wandb by the sweep's name."""
    group = settings.tracking.group or directory.name
    tracking = replace(settings.tracking, group=group)
    return replace(settings, run_dir=str(run_dir), tracking=tracking)

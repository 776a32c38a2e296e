"""A sweep's points and their figures: where they stand, which is higher, how a person reads them.

Must not know Hydra, engines or what a run does; writes no file.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rollout.config.settings import Settings
from rollout.errors import RolloutError
from rollout.postprocess.export.shown import between
from rollout.runs.job import Job
from rollout.runs.summary_record import summary_record
from rollout.system.console import duration
from rollout.system.disk import read_json

COSTS = (
    "truncated_fraction", "empty_fraction", "num_failed", "num_preemptions", "num_empty",
    "num_truncated", "num_engine_restarts", "mean_response_tokens", "p95_response_tokens",
    "max_response_tokens", "num_output_tokens", "kv_cache_usage_peak", "num_wrong",
    "num_no_answer", "num_cut_off", "num_errors", "num_unjudged", "num_unscored",
)  # fmt: skip
SCORES = "scores"  # of summary.json, where the run was scored
HUGE = 1e15  # digits beyond say nothing
STATUSES = ("done", "running", "failed", "interrupted", "waiting")


@dataclass(slots=True, eq=False)
class Point:
    """One combination of swept settings: as it was asked for, as it was checked, what came of it.

    It has no `settings` where these were `refused`, and no `job` until it was checked.
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
    prompt_key: str = "prompt"  # input column of the prompts
    prefix: str = ""  # before the name of every column added to the input's


def figures_of(run_dir: Path) -> dict[str, Any]:
    """A run's summary.json; of a directory that was moved, with the file as it lies now."""
    figures = summary_record(run_dir) or {}
    published = (read_json(run_dir / "published.json") or {}).get("path")
    if isinstance(published, str) and figures:
        figures["output_path"] = str(run_dir / published)
    return figures


def objective_of(figures: Mapping[str, Any], key: str) -> float | None:
    """The number under a dotted key of nested figures; None where there is none."""
    value: Any = figures
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def is_maximized(key: str) -> bool:
    """Whether more is better, by the last part of the key: where the user says nothing.

    Less is better of seconds (`_s`, but not of rates, `_per_s`), of memory (`_gib`) and of COSTS:
    what failed, was cut off, came back empty or was done again; and the lengths of responses,
    which are paid for and no merit in themselves. More is better of all else: rates, distinct
    responses, cache hits, and figures unknown here, such as a score.
    """
    name = key.rpartition(".")[2]
    is_time = name.endswith("_s") and not name.endswith("_per_s")
    return not (is_time or name.endswith("_gib") or name in COSTS)


def ranked(points: Iterable[Point], key: str, maximize: bool) -> list[Point]:
    """The done points with a finite value, the best first."""
    valued = [(objective_of(p.figures, key), p) for p in points if p.status == "done"]
    finite = [(value, p) for value, p in valued if value is not None and math.isfinite(value)]
    finite.sort(key=lambda pair: -pair[0] if maximize else pair[0])
    return [point for _, point in finite]


def shown(name: str, value: float | None) -> str:
    """A figure as people read it, by the unit in its name."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return str(value)
    if name.endswith(("_fraction", "_rate")) or is_share(name):
        return f"{value:.1%}"
    if name in ("generate_s", "wall_s"):
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
    """The interval of one of a point's scores."""
    found = ((point.figures.get(SCORES) or {}).get("intervals") or {}).get(name)
    return (float(found[0]), float(found[1])) if found else None


def score_shown(point: Point, name: str) -> str:
    """One of a point's scores with its interval, such as 62.5% (54-71)."""
    text, span = shown(name, objective_of(point.figures, f"{SCORES}.{name}")), ""
    if text and (found := interval_of(point, name)):
        span = f" ({between(*found, is_share(name))})"
    return text + span


def counted(points: Iterable[Point]) -> str:
    """How many points have which status: 3 done, 1 failed."""
    counts = Counter(point.status for point in points)
    return ", ".join(f"{counts[status]:,} {status}" for status in STATUSES if counts[status])

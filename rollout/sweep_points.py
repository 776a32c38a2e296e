"""A sweep's points, their figures and columns: which are compared, and which point is best.

Promises: a figure's column has one type, whatever has finished. Must not know Hydra, engines or
runs; reads and writes no file.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rollout.console import duration
from rollout.disk import read_json
from rollout.sweep_page import utf8

COUNTS = ("num_rows", "num_failed", "num_samples", "num_sharing")
MEASURES = (
    "output_tokens_per_s", "mean_response_tokens", "p95_response_tokens", "truncated_fraction",
    "distinct_fraction", "generate_s", "load_s", "wall_s", "peak_memory_gib",
)  # fmt: skip
OTHERS = ("point", "status", "error", "is_best", "objective", "engine", "run_dir", "responses")
COSTS = (
    "truncated_fraction", "empty_fraction", "num_failed", "num_preemptions", "num_empty",
    "num_truncated", "num_engine_restarts", "mean_response_tokens", "p95_response_tokens",
    "max_response_tokens", "num_output_tokens", "kv_cache_usage_peak",
)  # fmt: skip
LABELS = {  # what a person reads above a column
    "engine": "engine load",
    "num_rows": "rows",
    "num_failed": "failed",
    "num_samples": "samples",
    "num_sharing": "side by side",
    "output_tokens_per_s": "tokens/s",
    "mean_response_tokens": "mean len",
    "p95_response_tokens": "p95 len",
    "truncated_fraction": "truncated",
    "distinct_fraction": "distinct",
    "generate_s": "time",
    "load_s": "load s",
    "wall_s": "wall",
    "peak_memory_gib": "GiB",
}
SHORT_S = 10.0  # of generation: the clock, other processes and the first steps tell more
SCORES = "scores"  # of summary.json, where the run was scored
STATUSES = ("done", "running", "failed", "interrupted", "waiting")


@dataclass(slots=True)
class Point:
    """One combination of swept settings, and what its run has come to."""

    name: str  # of its directory, such as temperature=0.7,top_p=0.9
    values: dict[str, str]  # swept key -> value as typed
    run_dir: Path
    status: str = "waiting"  # waiting, running, done, failed or interrupted
    error: str | None = None  # one line
    engine: int | None = None  # which of the sweep's engine loads served it: 1, 2, ...
    figures: dict[str, Any] = field(default_factory=dict)  # the run's summary.json
    prompt_key: str = "prompt"  # input column of the prompts
    prefix: str = ""  # before the name of every column added to the input's


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table: its name, Arrow's name of its type, a value for each point."""

    name: str
    kind: str
    values: list[Any]

    @property
    def is_number(self) -> bool:
        return self.kind in ("int64", "float64")


def figures_of(run_dir: Path) -> dict[str, Any]:
    """A run's summary.json; of a directory that was moved, with the file as it lies now."""
    figures = read_json(run_dir / "summary.json") or {}
    published = (read_json(run_dir / "published.json") or {}).get("path")
    if published and figures:
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


def best_of(points: Iterable[Point], key: str, maximize: bool) -> Point | None:
    """The done point with the best finite value; the first of equals."""
    return next(iter(ranked(points, key, maximize)), None)


def ranked(points: Iterable[Point], key: str, maximize: bool) -> list[Point]:
    """The done points with a finite value, the best first."""
    valued = [(objective_of(p.figures, key), p) for p in points if p.status == "done"]
    finite = [(value, p) for value, p in valued if value is not None and math.isfinite(value)]
    finite.sort(key=lambda pair: -pair[0] if maximize else pair[0])
    return [point for _, point in finite]


def caveat(points: Iterable[Point], objective: str) -> str:
    """What to think of a best point by speed; nothing where there is nothing to say."""
    done = [point.figures for point in points if point.status == "done"]
    if not objective.endswith("_s") or len(done) < 2:
        return ""
    if any((figures.get("num_sharing") or 1) > 1 for figures in done):
        return (
            "points side by side share the engine, so their tokens/s tell who answers longest, not "
            "who is fastest; objective=distinct_fraction, say, compares the answers"
        )
    if min(figures.get("generate_s") or 0 for figures in done) < SHORT_S:
        return f"under {SHORT_S:.0f} s is too short to compare speeds"
    return ""


def columns_of(points: Sequence[Point], objective: str, maximize: bool) -> list[Column]:
    """The table, responses excepted. A swept key named like another column is `swept.KEY`."""
    best = best_of(points, objective, maximize)

    def figure(name: str) -> list[float | None]:
        return [objective_of(point.figures, name) for point in points]

    return [
        Column("point", "string", [_text(p.name) for p in points]),
        *(swept_column(points, key) for key in swept_keys(points)),
        Column("status", "string", [_text(p.status) for p in points]),
        Column("error", "string", [_text(p.error) for p in points]),
        Column("is_best", "bool", [p is best for p in points]),
        Column("objective", "float64", figure(objective)),
        Column("engine", "int64", [p.engine for p in points]),
        *(Column(name, "int64", [_whole(v) for v in figure(name)]) for name in COUNTS),
        *(Column(name, "float64", figure(name)) for name in MEASURES),
        *(Column(name, "float64", figure(f"{SCORES}.{name}")) for name in score_names(points)),
        Column("run_dir", "string", [_text(str(p.run_dir)) for p in points]),
    ]


def score_names(points: Iterable[Point]) -> list[str]:
    """What is known of the scores of any point: pass@1, mean, ..."""
    found = (name for p in points for name, v in p.figures.get(SCORES, {}).items() if _is_score(v))
    return list(dict.fromkeys(found))


def _is_score(value: Any) -> bool:
    return isinstance(value, float)


def swept_keys(points: Iterable[Point]) -> list[str]:
    return list(dict.fromkeys(key for point in points for key in point.values))


def swept_column(points: Sequence[Point], key: str) -> Column:
    """What the points have typed for a key, as numbers where all of it is."""
    name = _text(f"swept.{key}" if key in {*OTHERS, *COUNTS, *MEASURES} else key)
    typed = [point.values.get(key) for point in points]
    for kind, parse in (("int64", _int64), ("float64", _finite)):
        try:
            return Column(name, kind, [None if text is None else parse(text) for text in typed])
        except ValueError:
            continue
    return Column(name, "string", [_text(text) for text in typed])


def _int64(text: str) -> int:
    if -(2**63) <= (value := int(text)) < 2**63:
        return value
    raise ValueError(text)


def _finite(text: str) -> float:
    if math.isfinite(value := float(text)):
        return value
    raise ValueError(text)


def _whole(value: float | None) -> int | None:
    return int(value) if value is not None and abs(value) < 2**63 else None


def _text(text: str | None) -> str | None:
    return None if text is None else utf8(text)


def shown(name: str, value: float | None) -> str:
    """A figure as people read it, by the unit in its name."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return str(value)
    if name.endswith(("_fraction", "_rate")) or name.rpartition(".")[2].startswith("pass@"):
        return f"{value:.1%}"
    if name in ("generate_s", "wall_s"):
        return duration(value) if value >= 60 else f"{value:.1f}s"
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def counted(points: Iterable[Point]) -> str:
    """How many points have which status: 3 done, 1 failed."""
    counts = Counter(point.status for point in points)
    return ", ".join(f"{counts[status]:,} {status}" for status in STATUSES if counts[status])

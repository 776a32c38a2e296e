"""The columns of a sweep's table: swept values, results, and intervals of scores.

Guarantees: a column has one type, whichever points have finished. Reads and writes no file.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rollout.report.prompt_texts import utf8
from rollout.report.sweep.points import SCORES, Point, interval_of, objective_of
from rollout.report.sweep.ranking import Ranking

COUNTS = ("num_rows", "num_failed", "num_samples", "num_sharing")
MEASURES = (
    "output_tokens_per_s", "mean_response_tokens", "p95_response_tokens", "truncated_fraction",
    "distinct_fraction", "generate_s", "load_s", "wall_s", "peak_memory_gib",
)  # fmt: skip
OTHERS = (
    "point", "status", "error", "is_best", "differs_from_best", "objective", "engine", "run_dir",
    "responses",
)  # fmt: skip
ENDS = ("_low", "_high")  # of a score's interval
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
    "load_s": "load",
    "wall_s": "wall",
    "peak_memory_gib": "GiB",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table: its name, its Arrow type's name, a value for each point."""

    name: str
    kind: str
    values: list[Any]

    @property
    def is_number(self) -> bool:
        return self.kind in ("int64", "float64")


def columns_of(points: Sequence[Point], ranking: Ranking) -> list[Column]:
    """Return the table without responses. A swept key named like another column is `swept.KEY`.

    `is_best` is the star, see Ranking. `differs_from_best`: whether a point is distinguishable from
    the first, for points that were compared with it row by row.
    """

    def figure(name: str) -> list[float | None]:
        return [objective_of(point.figures, name) for point in points]

    return [
        Column("point", "string", [_text(p.name) for p in points]),
        *(swept_column(points, key) for key in swept_keys(points)),
        Column("status", "string", [_text(p.status) for p in points]),
        Column("error", "string", [_text(p.error) for p in points]),
        Column("is_best", "bool", [p is ranking.star for p in points]),
        Column("differs_from_best", "bool", [ranking.differs.get(p.run_dir) for p in points]),
        Column("objective", "float64", figure(ranking.objective)),
        Column("engine", "int64", [p.engine for p in points]),
        *(Column(name, "int64", [_whole(v) for v in figure(name)]) for name in COUNTS),
        *(Column(name, "float64", figure(name)) for name in MEASURES),
        *(column for name in score_names(points) for column in _score_columns(points, name)),
        Column("run_dir", "string", [_text(str(p.run_dir)) for p in points]),
    ]


def _score_columns(points: Sequence[Point], name: str) -> Iterator[Column]:
    """Yield a score, and the ends of its interval if any point has one."""
    yield Column(name, "float64", [objective_of(p.figures, f"{SCORES}.{name}") for p in points])
    spans = [interval_of(point, name) for point in points]
    for end, suffix in enumerate(ENDS) if any(spans) else ():
        yield Column(name + suffix, "float64", [span and span[end] for span in spans])


def score_names(points: Iterable[Point]) -> list[str]:
    """Return the names of the scores that any point has: pass@1, mean, ..."""
    pairs = (pair for p in points for pair in p.figures.get(SCORES, {}).items())
    return list(dict.fromkeys(name for name, value in pairs if isinstance(value, float)))


def swept_keys(points: Iterable[Point]) -> list[str]:
    return list(dict.fromkeys(key for point in points for key in point.values))


def swept_column(points: Sequence[Point], key: str) -> Column:
    """Return the values typed for a key, as numbers if all of them are numbers."""
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

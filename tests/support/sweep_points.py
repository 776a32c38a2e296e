"""Made-up points of a sweep, and how its table and lines show them."""

import csv
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from rollout.report.sweep.points import Point
from rollout.report.sweep.ranking import rank
from rollout.report.sweep.table import write_tables
from rollout.sweeps.lines import live_table

SPEED = "output_tokens_per_s"
FIGURES = {
    "num_rows": 2, "num_failed": 0, "num_samples": 4, "mean_response_tokens": 123.4,
    "p95_response_tokens": 512, "truncated_fraction": 0.034, "distinct_fraction": 1.0,
    "generate_s": 127.4, "load_s": 18.26, "peak_memory_gib": 12.53,
}  # fmt: skip


def point(temperature="0.7", status="done", speed=None, **more):
    figures = {} if speed is None else {SPEED: speed}
    values = more.pop("values", {"sampling.temperature": temperature})
    figures |= more.pop("figures", {})
    name = more.pop("name", ",".join(f"{k}={v}" for k, v in values.items()))
    return Point(name, values, Path("runs") / "a", status=status, figures=figures, **more)


def answered(path: Path, prompts, responses, prefix="", prompt_key="prompt", **more):
    """Return a done point with a published file of these responses."""
    pq.write_table(pa.table({prompt_key: prompts, f"{prefix}responses": responses}), path)
    figures = {"output_path": str(path), **more.pop("figures", {})}
    return point(figures=figures, prefix=prefix, prompt_keys=[prompt_key], **more)


def table(directory: Path, points, objective=SPEED) -> pa.Table:
    assert not write_tables(directory, points, rank(points, objective))
    return pq.read_table(directory / "sweep.parquet")


def cells(directory: Path, *points) -> list[dict]:
    assert not write_tables(directory, points, rank(points, SPEED))
    with (directory / "sweep.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def drawn(points, progress=None, width=100) -> list[str]:
    console = Console(width=width, height=60, force_terminal=False)
    with console.capture() as capture:
        console.print(live_table(points, progress or {}))
    return capture.get().splitlines()

"""Points with a scored file on disk, of known numbers of right samples."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rollout.report.sweep.points import Point

TEXTS = [f"prompt {i}" for i in range(40)]


def scored_point(directory: Path, name, num_right, prompts=TEXTS, columns=None, **estimate):
    """Return a point, and its file, with that many of 8 samples right in each row."""
    run_dir = directory / name
    run_dir.mkdir()
    verdicts = [["right"] * c + ["wrong"] * (8 - c) for c in num_right]
    scores = [[float(v == "right") for v in row] for row in verdicts]
    table = {"prompt": prompts, "scores": scores, "verdicts": verdicts} | (columns or {})
    pq.write_table(pa.table(table), run_dir / "scored.parquet")
    scoring = {"pass_threshold": 1.0, "prefix": "", "estimate": estimate}
    (run_dir / "published.json").write_text(json.dumps({"scoring": scoring}))
    figures = {"path": str(run_dir / "scored.parquet"), "pass@1": float(np.mean(scores))}
    figures["intervals"] = {"pass@1": [0.1, 0.2]}
    return Point(name, {"seed": name}, run_dir, status="done", figures={"scores": figures})


def rows(chance, seed=0):
    """Return how many of 8 samples are right in each of 40 rows of unequal difficulty."""
    hard = np.random.default_rng(7).beta(0.5, 0.5, len(TEXTS))
    return np.random.default_rng(seed).binomial(8, hard * chance)

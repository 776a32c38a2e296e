"""A scored sweep on disk as a command leaves it, with made-up responses and exact figures."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rollout.postprocess.export.intervals import interval
from rollout.postprocess.export.pass_at_k import pass_at_k
from rollout.report.sweep.points import Point, figures_of
from rollout.report.sweep.record import SweepRecord
from rollout.runs.metrics import Tally, Timeline, summarize
from rollout.store.counts import Totals

SHOTS = [("user", "What is 1 + 1?"), ("assistant", "1 + 1 = 2, so \\boxed{2}")]
ARGV = ["model=qwen3_4b", "data.input=sums.parquet", "-m", "sampling.temperature=0.2,0.7,1.0"]


def scored_sweep(directory: Path, values, num_rows=40, n=8, seed=0) -> list[Point]:
    """Make a done point for each of `values`, dicts of swept keys; temperature costs accuracy."""
    points = []
    for i, swept in enumerate(values):
        chance = 0.9 - 0.4 * float(swept.get("sampling.temperature", 0.5))
        run_dir = directory / ",".join(f"{k.rpartition('.')[2]}={v}" for k, v in swept.items())
        _write_run(run_dir, chance, num_rows, n, np.random.default_rng(seed + i))
        points.append(Point(run_dir.name, swept, run_dir, status="done", engine=1,
                            figures=figures_of(run_dir)))  # fmt: skip
    SweepRecord(directory, ARGV).write(points, "scores.pass@1", 61.0)
    return points


def _write_run(run_dir: Path, chance: float, num_rows: int, n: int, rng) -> None:
    run_dir.mkdir(parents=True)
    hard = np.random.default_rng(7).beta(2, 1, num_rows)
    right = rng.random((num_rows, n)) < (hard * chance)[:, None]
    lengths = rng.integers(20, 200, (num_rows, n))
    cut = lengths > 190
    output = {"prompt": [_chat(row) for row in range(num_rows)], "answer": _answers(num_rows)}
    output |= {
        "responses": [
            [_response(row, bool(r), int(t)) for r, t in zip(right[row], lengths[row], strict=True)]
            for row in range(num_rows)
        ],
        "finish_reason": np.where(cut, "length", "stop").tolist(),
        "num_response_tokens": lengths.tolist(),
        "num_prompt_tokens": [31] * num_rows,
        "error": [None] * num_rows,
    }
    words = np.where(right, "right", "wrong").tolist()
    scored = output | {
        "scores": right.astype(float).tolist(),
        "verdicts": words,
        "score_errors": [[None] * n] * num_rows,
        "extracted": [[str(2 * row + (not r)) for r in right[row]] for row in range(num_rows)],
        "compared_with": _answers(num_rows),
    }
    nullable = pa.schema([("error", pa.string()), ("score_errors", pa.list_(pa.string()))])
    for name, columns in (("output", output), ("scored", scored)):
        table = pa.table(columns)
        for field in nullable:
            if field.name in columns:
                place = table.schema.get_field_index(field.name)
                column = pa.array(columns[field.name], field.type)
                table = table.set_column(place, field, column)
        pq.write_table(table, run_dir / f"{name}.parquet")
    _write_records(run_dir, right, lengths, cut, output["responses"])


def _chat(row: int) -> list[dict]:
    turns = [("system", "You answer with a number in a box."), *SHOTS]
    turns.append(("user", f"What is {row} + {row}?"))
    return [{"role": role, "content": text} for role, text in turns]


def _answers(num_rows: int) -> list[str]:
    return [str(2 * row) for row in range(num_rows)]


def _response(row: int, is_right: bool, length: int) -> str:
    steps = "Let me add them step by step. " * (length // 20)
    return (
        f"<think>{steps}</think>\n{row} + {row} = \\boxed{{{2 * row + (not is_right)}}} ({length})"
    )


def _write_records(run_dir: Path, right, lengths, cut, responses) -> None:
    num_rows, n = right.shape
    figures = summarize(Totals(), Tally(), Timeline())
    figures |= {f: 0 for f in Totals.__dataclass_fields__ if f not in figures}
    distinct = sum(len(set(row)) for row in responses)
    figures |= {
        "num_rows": num_rows, "num_failed": 0, "num_samples": right.size, "num_sharing": 3,
        "num_output_tokens": int(lengths.sum()), "num_truncated": int(cut.sum()),
        "mean_response_tokens": float(lengths.mean()), "truncated_fraction": float(cut.mean()),
        "p95_response_tokens": float(np.quantile(lengths, 0.95)), "num_distinct": distinct,
        "distinct_fraction": distinct / right.size, "generate_s": 61.0, "load_s": 20.0,
        "output_tokens_per_s": float(lengths.sum()) / 61, "peak_memory_gib": 12.5, "wall_s": 90.0,
        "output_path": str(run_dir / "output.parquet"), "scores": _scores(run_dir, right),
    }  # fmt: skip
    config = {
        "model": {"model_path": "Qwen/Qwen3-4B"}, "data": {"input": "data/sums.parquet"},
        "engine": {"backend": "vllm"}, "sampling": {"n_samples": n, "seed": 42, "max_tokens": 200},
    }  # fmt: skip
    run = {"argv": ARGV, "config": config, "created": "2026-03-01T09:30:00+00:00"}
    estimate = {"k": [], "group_by": [], "confidence": 0.95, "resamples": 1000, "seed": 0}
    scoring = {"prefix": "", "pass_threshold": 1.0, "estimate": estimate | {"unscored": "fail"}}
    published = {"path": "output.parquet", "scoring": scoring}
    for name, record in (("run", run), ("summary", figures), ("published", published)):
        (run_dir / f"{name}.json").write_text(json.dumps(record))


def _scores(run_dir: Path, right) -> dict:
    num_rows, n = right.shape
    scores, spans = {"path": str(run_dir / "scored.parquet")}, {}
    for k in (2**i for i in range(n.bit_length())):
        by_row = pass_at_k(np.full(num_rows, n), right.sum(axis=1), k)
        scores[f"pass@{k}"] = float(by_row.mean())
        spans[f"pass@{k}"] = interval(by_row, 0.95, 1000, 0, is_share=True)
    return scores | {"mean": float(right.mean()), "best@n": scores[f"pass@{n}"], "intervals": spans}

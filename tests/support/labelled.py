"""Labeled data (tests/data), and its scores by `python -m rollout.postprocess`."""

import gzip
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from processes import environment

DATA = Path(__file__).resolve().parents[1] / "data"
FENCED = "Here it is:\n\n```python\n{}\n```\nIt passes.".format
Row = dict[str, Any]


def cases() -> list[Row]:
    return [json.loads(line) for line in (DATA / "cases.jsonl").read_text().splitlines()]


def humaneval() -> list[Row]:
    """Return problems: prompt, canonical_solution, test, entry_point."""
    return _unpacked("humaneval.jsonl.gz")


def gsm8k() -> list[Row]:
    """Return questions: prompt, answer, solution (the gold one), four responses, is_correct."""
    return _unpacked("gsm8k_solutions.jsonl.gz")


def math_pairs() -> list[Row]:
    """Return right answers in many notations, each with `right` and `wrong` answers to it."""
    lines = (DATA / "math_pairs.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def responses_to(gold: Row) -> dict[str, float]:
    """Return the responses of one of `math_pairs`, each with the score it should get."""
    form = gold.get("form", "So the answer is $\\boxed{{{}}}$.")
    labels = [*((each, 1.0) for each in gold["right"]), *((each, 0.0) for each in gold["wrong"])]
    return {form.format(given): label for given, label in labels}


def _unpacked(name: str) -> list[Row]:
    with gzip.open(DATA / name, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def shapes(problem: Row) -> dict[str, tuple[str, float]]:
    """Return responses to a HumanEval problem by shape, each with the score it should get."""
    body = problem["canonical_solution"]
    whole = problem["prompt"] + body
    usage = f"\n\nExample usage:\n\n```python\nprint({problem['entry_point']})\n```"
    alone = whole[whole.index(f"def {problem['entry_point']}(") :]
    return {
        "fenced": (FENCED(whole), 1.0),
        "plain": (whole, 1.0),
        "body only": (body, 1.0),
        "with a usage block": (FENCED(whole) + usage, 1.0),
        "without imports and helpers": (FENCED(alone), 1.0),
        "in a list item": ("1. " + indent(FENCED(whole), "   ").lstrip(), 1.0),
        "returns None": (FENCED(problem["prompt"] + "    return None\n"), 0.0),
        "pass": (FENCED("pass"), 0.0),
        "refusal": ("I can't do that.", 0.0),
    }


def batches(labelled: list[Row]) -> Iterator[list[int]]:
    """Group the cases that one command can score: same scorer, settings and column types."""
    alike: dict[str, list[int]] = {}
    for place, case in enumerate(labelled):
        types = pa.Table.from_pylist([case["row"]]).schema.remove_metadata()
        key = f"{case['scorer']} {case['settings']} {types}"
        alike.setdefault(key, []).append(place)
    yield from alike.values()


def score(
    rows: list[Row], scorer: str, *words: str, at: Path
) -> tuple[list[list[float | None]] | None, str]:
    """Return the command's scores (None if it refused with exit code 2) and its last line."""
    source, target = at / "responses.parquet", at / "scored.parquet"
    at.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), source)
    command = ["rollout.postprocess", f"input={source}", f"output.path={target}"]
    done = subprocess.run(
        [sys.executable, "-m", *command, f"scorer={scorer}", *words],
        cwd=at, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = (done.stderr.strip().splitlines() or [""])[-1]
    if done.returncode == 2 and not target.exists():
        return None, said
    if not target.exists():
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}: {said}")
    scores = pq.read_table(target, columns=["scores"])["scores"].to_pylist()
    return [[None if s is None or math.isnan(s) else s for s in row] for row in scores], said

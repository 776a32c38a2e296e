"""Scored files with known verdicts, made by the real scoring or written directly."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rollout.config.sections.export import Estimate
from rollout.config.sections.postprocess import Postprocess
from rollout.postprocess.postprocess import postprocess
from rollout.report.page import Browser
from rollout.report.samples import browser_of_rows, rows_of_file
from rollout.rows.reasoning import TAGS
from rollout.system.console import Console

# Two prompts with four samples each, by hand: 1 of 4 and 3 of 4 right.
RESPONSES = [["no", "yes", "no", "no"], ["yes", "yes", "no", "yes"]]
TOKENS = [[10, 20, 30, 40], [1, 2, 9, 4]]


def _plain(responses) -> list:
    return responses.to_pylist() if isinstance(responses, pa.Array) else responses


def output_file(path: Path, responses=RESPONSES, **columns) -> Path:
    """Write an output with these responses; every answer is `yes`."""
    num = len(responses)
    columns = {
        "prompt": [f"question {i}" for i in range(num)],
        "answer": ["yes"] * num,
        "responses": responses,
        "finish_reason": [["stop"] * len(texts or ()) for texts in _plain(responses)],
        "error": pa.array([None] * num, pa.string()),
    } | columns
    pq.write_table(pa.table(columns), path)
    return path


def browser_of_file(path: Path, must_have=(), **keys) -> Browser:
    return browser_of_rows(rows_of_file(path, **keys), must_have, TAGS, f"{path.name} has all")


def scored_file(directory: Path, responses=RESPONSES, group_by=(), **columns) -> Path:
    """Score such an output by scorer=exact; its figures are beside it."""
    output = output_file(directory / "output.parquet", responses, **columns)
    settings = Postprocess(
        scorer="exact", workers=1, estimate=Estimate(group_by=list(group_by), resamples=200)
    )
    return postprocess(settings, output, directory / "scored.parquet", Console(quiet=True)).path


def verdict_file(path: Path, verdicts: list[list[str]], scores=None, **columns) -> Path:
    """Write a file with these verdicts as a scoring would, without figures beside it."""
    known = {"right": 1.0, "error": None, "unjudged": None}
    scores = scores or [[known.get(verdict, 0.0) for verdict in row] for row in verdicts]
    columns = {
        "responses": pa.array(
            [[f"{row} {i}" for i in range(len(v))] for row, v in enumerate(verdicts)],
            pa.list_(pa.string()),
        ),
        "scores": pa.array(scores, pa.list_(pa.float64())),
        "verdicts": pa.array(verdicts, pa.list_(pa.string())),
    } | columns
    pq.write_table(pa.table(columns), path)
    return path

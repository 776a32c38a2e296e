"""What a published run sends to its tracker: lengths, samples with their scores, files.

Everything is read again when the tracker sends it, in its thread: the run's end does not wait for
it, and an error costs one warning. Must not know about wandb.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.config.sections.data import OnError
from rollout.rows.result import Result
from rollout.runs.job import Job
from rollout.runs.summary import preview_prompts
from rollout.runs.tracking import Tracker
from rollout.store.counts import histogram
from rollout.store.store import Store
from rollout.system.storage.paths import open_random

if TYPE_CHECKING:
    import numpy as np

LENGTHS = "quality/response_tokens"
MAX_BINS = 64
COLUMNS = ("row", "prompt", "sample_index", "response", "finish_reason", "num_response_tokens")
# Columns of a scored file -> those of the table.
OF_SAMPLES = {"scores": "score", "verdicts": "verdict", "extracted": "extracted"}
OF_ROWS = {"compared_with": "reference"}


def track_output(tracker: Tracker, job: Job, store: Store, first: list[Result]) -> None:
    """Send the lengths of all responses, the table of the `first` rows, and the files if asked."""
    results = first[: job.settings.tracking.num_table_rows]
    tracker.histogram(LENGTHS, partial(_lengths, store))
    tracker.table(partial(samples_table, job, results))
    if job.settings.tracking.artifact:
        tracker.artifact(output_files(job))


def _lengths(store: Store) -> "tuple[np.ndarray, np.ndarray]":
    return histogram(store.num_of_length(), MAX_BINS)


def samples_table(job: Job, results: list[Result]) -> tuple[list[str], list[list[Any]]]:
    """Return column names and a row per sample, with the scores where the run was scored."""
    texts = preview_prompts(job.prompts, len(results))
    rows = [
        [r.row, texts[r.index], i, s.text, s.finish_reason, s.num_tokens]
        for r in results
        for i, s in enumerate(r.samples)
    ]
    if job.places.scoring is None:
        return list(COLUMNS), rows
    marks = _marks(job, results)
    return (
        [*COLUMNS, *OF_SAMPLES.values(), *OF_ROWS.values()],
        [row + mark for row, mark in zip(rows, marks, strict=True)],
    )


def _marks(job: Job, results: list[Result]) -> list[list[Any]]:
    """Return score, verdict, extracted and reference of each sample of the results, in order."""
    skips = job.settings.data.on_error is OnError.skip
    are_published = [not (skips and result.error) for result in results]
    scored = iter(_first_scored(job, sum(are_published)))
    found = []
    for result, is_published in zip(results, are_published, strict=True):
        row = next(scored) if is_published else {}
        lists = [row.get(name) or [None] * len(result.samples) for name in OF_SAMPLES]
        of_row = [row.get(name) for name in OF_ROWS]
        found += [[*marks, *of_row] for marks in zip(*lists, strict=True)]
    return found


def _first_scored(job: Job, count: int) -> list[dict[str, Any]]:
    """Return the columns of the first `count` scored rows, without their prefix."""
    import pyarrow.parquet as pq

    prefix = job.settings.postprocess.prefix
    names = [prefix + name for name in (*OF_SAMPLES, *OF_ROWS)]
    found: list[dict[str, Any]] = []
    path = job.places.scoring.scored.path
    with open_random(path) as source, pq.ParquetFile(source) as file:
        if count:
            for batch in file.iter_batches(count, columns=names, use_threads=False):
                found += batch.slice(0, count - len(found)).to_pylist()
                if len(found) == count:
                    break
    return [{name.removeprefix(prefix): value for name, value in row.items()} for row in found]


def output_files(job: Job) -> dict[str, Path]:
    """Return the published files by their names in an artifact, which are the same for any run."""
    output, scoring = job.places.output.path, job.places.scoring
    files = {"output" if output.is_dir() else "output.parquet": output}
    if scoring:
        files |= {"scored.parquet": scoring.scored.path, "scored.json": scoring.figures.path}
    return files | {"summary.json": job.run_dir / "summary.json"}

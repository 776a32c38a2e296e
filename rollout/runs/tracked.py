"""What a published run sends to its tracker: lengths, samples with their scores, files.

The table is made when the tracker sends it, in its thread: the run's end does not wait for it, and
an error costs one warning. Must not know about wandb.
"""

from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.rows.prompt import Prompt
from rollout.rows.result import Result
from rollout.runs.display import prompt_line
from rollout.runs.job import Job
from rollout.runs.preview import scored_rows
from rollout.runs.tracking import Tracker
from rollout.store.counts import histogram

if TYPE_CHECKING:
    import numpy as np

LENGTHS = "quality/response_tokens"
MAX_BINS = 64
COLUMNS = ("row", "prompt", "sample_index", "response", "finish_reason", "num_response_tokens")
# Columns of a scored file -> those of the table.
OF_SAMPLES = {"scores": "score", "verdicts": "verdict", "extracted": "extracted"}
OF_ROWS = {"compared_with": "reference"}
MAX_IDS = 1000  # of a prompt


def track_output(
    tracker: Tracker, job: Job, num_of_length: "np.ndarray", first: list[Result]
) -> None:
    """Send the lengths of all responses, the table of the `first` rows, and the files if asked.

    `num_of_length[i]` is the number of responses of i tokens.
    """
    results = first[: job.settings.tracking.num_table_rows]
    tracker.histogram(LENGTHS, partial(histogram, num_of_length, MAX_BINS))
    tracker.table(partial(samples_table, job, results))
    if job.settings.tracking.artifact:
        tracker.artifact(output_files(job))


def samples_table(job: Job, results: list[Result]) -> tuple[list[str], list[list[Any]]]:
    """Return column names and a row per sample, with the scores where the run was scored."""
    texts = map(prompt_text, islice(job.prompts, len(results)))
    rows = [
        [r.row, text, i, s.text, s.finish_reason, s.num_tokens]
        for r, text in zip(results, texts, strict=True)
        for i, s in enumerate(r.samples)
    ]
    if job.places.scoring is None:
        return list(COLUMNS), rows
    names, path = [*OF_SAMPLES, *OF_ROWS], job.places.scoring.scored.path
    marks = []
    for result, row in zip(results, scored_rows(job, path, results, names), strict=True):
        lists = [row.get(name) or [None] * len(result.samples) for name in OF_SAMPLES]
        of_row = [row.get(name) for name in OF_ROWS]
        marks += [[*of_sample, *of_row] for of_sample in zip(*lists, strict=True)]
    return (
        [*COLUMNS, *OF_SAMPLES.values(), *OF_ROWS.values()],
        [row + mark for row, mark in zip(rows, marks, strict=True)],
    )


def prompt_text(prompt: Prompt) -> str:
    """Return a prompt for people: of a chat, all messages."""
    if prompt.token_ids is None and isinstance(prompt.content, list):
        return " / ".join(f"{m['role']}: {m['content']}" for m in prompt.content)
    return prompt_line(prompt, MAX_IDS)


def output_files(job: Job) -> dict[str, Path]:
    """Return the published files by their names in an artifact, which are the same for any run."""
    output, scoring = job.places.output.path, job.places.scoring
    files = {"output" if output.is_dir() else "output.parquet": output}
    if scoring:
        files |= {"scored.parquet": scoring.scored.path, "scored.json": scoring.figures.path}
    return files | {"summary.json": job.run_dir / "summary.json"}

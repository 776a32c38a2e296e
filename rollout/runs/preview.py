"""The first rows of a finished run: prompts, responses, and if they are right.

Guarantees that model output, which is untrusted, is on one line and without control characters.
"""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.config.sections.data import OnError
from rollout.inputs.files import open_parquet
from rollout.rows.result import Result
from rollout.runs.display import prompt_line
from rollout.runs.job import Job
from rollout.system.columns import num_columns
from rollout.system.console import Console
from rollout.system.safe_text import one_line

if TYPE_CHECKING:
    from rollout.postprocess.postprocess import Scored

NUM_PREVIEW_ROWS = 8
NUM_RESPONSES = 2  # of each row
RIGHT, WRONG = "✓", "✗"
PLAIN = {RIGHT: "right", WRONG: "wrong"}  # where the terminal lacks the characters
MARKS = {
    "right": (RIGHT, ""),
    "wrong": (WRONG, ""),
    "no_answer": (WRONG, "(no answer) "),
    "cut_off": (WRONG, "(cut off) "),
}


def print_preview(
    job: Job, results: Sequence[Result], scored: "Scored | None", console: Console
) -> None:
    """Print the first rows of a run, which `results` are."""
    prompts = [prompt_line(prompt) for prompt in islice(job.prompts, len(results))]
    verdicts: list[list[str]] = [[] for _ in results]
    if scored:
        rows = scored_rows(job, scored.path, results, ["verdicts"])
        verdicts = [row.get("verdicts") or [] for row in rows]
    is_plain = not console.can_show(RIGHT + WRONG)
    console.preview(preview_text(results, prompts, verdicts, console.width, is_plain))


def preview_text(
    results: Sequence[Result],
    prompts: Sequence[str],
    verdicts: Sequence[list[str]],
    width: int,
    is_plain: bool = False,
) -> str:
    """Return prompts with their first responses, a line each, safe to print.

    `prompts` are those of the results, one each; so are `verdicts`, of each sample, or empty where
    it was not scored. `is_plain`: without the marks that not every encoding has.
    """
    lines = []
    for result, prompt, judged in zip(results, prompts, verdicts, strict=True):
        lines.append(one_line(prompt, width) or "(no prompt)")
        if result.error:
            lines.append(_cut(f"   ! row {result.row}: ", result.error, width))
        for number, sample in enumerate(result.samples[:NUM_RESPONSES]):
            verdict = judged[number] if number < len(judged) else ""
            mark, why = MARKS.get(verdict, (">", ""))
            mark = PLAIN.get(mark, mark) if is_plain else mark
            lines.append(_cut(f"   {mark} {why}", sample.text or "(empty)", width))
    return "\n".join(lines) + "\n"


def _cut(start: str, text: str, width: int) -> str:
    return start + one_line(text, max(width - num_columns(start), 1))


def scored_rows(
    job: Job, path: Path, results: Sequence[Result], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Return columns of a scored file, named without their prefix, for the first rows of a run.

    Its rows are those of the output, in its order; a failed row that is left out has no columns.
    """
    prefix, leaves_out = job.settings.postprocess.prefix, job.settings.data.on_error is OnError.skip
    are_there = [not (result.error and leaves_out) for result in results]
    rows = iter(_first_rows(path, [prefix + name for name in names], sum(are_there)))
    found = [next(rows, {}) if is_there else {} for is_there in are_there]
    return [{k.removeprefix(prefix): value for k, value in row.items()} for row in found]


def _first_rows(path: Path, columns: list[str], count: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    with open_parquet(path) as file:
        for batch in file.iter_batches(max(count, 1), columns=columns, use_threads=False):
            rows += batch.slice(0, count - len(rows)).to_pylist()
            if len(rows) == count:
                break
    return rows

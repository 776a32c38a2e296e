"""The first rows of a finished run, for its last lines: prompts, responses, and if they are right.

Guarantees that model output, which is untrusted, is on one line and without control characters.
"""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rollout.config.sections.data import OnError
from rollout.inputs.files import open_parquet
from rollout.inputs.prompts import Prompts
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
    prompts, verdicts = prompt_texts(job.prompts, results), first_verdicts(job, scored, results)
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
        lines.append(one_line(prompt, width))
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


def prompt_texts(prompts: Prompts, results: Sequence[Result]) -> list[str]:
    """Return the prompts of the first rows of a run as text, in the order of `results`."""
    count = max((result.index + 1 for result in results), default=0)
    texts = [prompt_line(prompt) for prompt in itertools.islice(prompts, count)]
    return [texts[result.index] for result in results]


def first_verdicts(job: Job, scored: "Scored | None", results: Sequence[Result]) -> list[list[str]]:
    """Return the verdicts of the first rows of a run; empty for a row that is not scored.

    Read from the scored file, whose rows are those of the output, in its order.
    """
    if scored is None or not results:
        return [[] for _ in results]
    name = job.settings.postprocess.prefix + "verdicts"
    with open_parquet(scored.path) as file:
        batches = file.iter_batches(len(results), columns=[name])
        first = next(batches, None)
        found = iter(first.column(0).to_pylist() if first is not None else [])
    leaves_out = job.settings.data.on_error is OnError.skip
    return [[] if r.error and leaves_out else next(found, None) or [] for r in results]

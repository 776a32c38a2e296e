"""The first rows of a point's published file, with their prompts as text or as turns of a chat.

Reads both layouts and partitioned directories, no more than needed. Must not know what a point is,
or how it was scored.
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rollout.inputs.columns import values_of
from rollout.inputs.files import open_parquet
from rollout.report.prompt_texts import Messages, messages_from, utf8
from rollout.system.formats.row_batches import group_batches

BATCH_ROWS = 10
MAX_ROWS = 100  # of a published file
MAX_TOTAL_CHARS = 16 << 20  # fewer rows where they are very long
Answer = dict[str, Any]  # row: position in the published file, prompt: text, responses: texts


def first_answers(path: Path, prompt_key: str, responses_key: str) -> list[Answer]:
    """Return the first rows of a published file, at most MAX_ROWS, reading no more than needed.

    Raises whatever reading raises; KeyError if a column is missing.
    """
    answers: list[Answer] = []
    num_chars = 0
    for row in answered_rows(path, prompt_key, responses_key):
        text, texts = _prompt_text(row[prompt_key]), texts_of(row[responses_key])
        answers.append({"row": len(answers), "prompt": text, "responses": texts})
        num_chars += len(text or "") + sum(len(t or "") for t in texts or ())
        if len(answers) == MAX_ROWS or num_chars > MAX_TOTAL_CHARS:
            break
    return answers


def answered_rows(
    path: Path,
    prompt_key: str,
    responses_key: str,
    lists: Sequence[str] = (),
    values: Sequence[str] = (),
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a published file or directory in either layout, as columns by name.

    `responses_key` and `lists` have a value per response, `values` are columns with one per row. Of
    `lists` and `values`, those that the file lacks are left out. Raises whatever reading raises;
    KeyError without the prompts or the responses.
    """
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    with open_parquet(files[0]) as file:
        names = set(file.schema_arrow.names)
    more = [name for name in (*lists, *values) if name in names]
    if responses_key in names:
        yield from _rows(files, [prompt_key, responses_key, *more])
        return
    prefix = responses_key.removesuffix("responses")
    number, text, index = (prefix + name for name in ("row", "response", "sample_index"))
    rows = _rows(files, [number, prompt_key, text, index, *more])
    for _, group in itertools.groupby(rows, key=lambda row: row[number]):
        lines = list(group)
        samples = [line for line in lines if line[index] is not None]
        columns = {name: [line[name] for line in samples] for name in lists if name in names}
        yield lines[0] | columns | {responses_key: [line[text] for line in samples]}


def _rows(files: list[Path], wanted: list[str]) -> Iterator[dict[str, Any]]:
    for path in files:
        with open_parquet(path) as file:
            for group in range(file.num_row_groups):  # one at a time, as in prompts.py
                for batch in group_batches(file, group, wanted, BATCH_ROWS):
                    columns = (values_of(batch.column(name)) for name in wanted)
                    for row in zip(*columns, strict=True):
                        yield dict(zip(wanted, row, strict=True))


def turns_of(value: Any) -> Messages:
    """Return a prompt as turns of role and text, as on a run's page. Empty if it is null."""
    if value is None or isinstance(value, bytes):
        return []
    return [(utf8(role), utf8(text)) for role, text in messages_from(value)]


def _prompt_text(value: Any) -> str | None:
    """Return a prompt as one text for people, as tracked.prompt_text."""
    turns = turns_of(value)
    if not turns:
        return None
    return " / ".join(f"{role}: {text}" if role else text for role, text in turns)


def texts_of(value: Any) -> list[str | None] | None:
    """Return a row's responses as texts that can be written; None if there are none."""
    if value is None or isinstance(value, bytes):
        return None
    return [None if text is None else utf8(text) for text in value]

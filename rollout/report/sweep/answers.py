"""The first rows of a point's published file, with their prompts as text or as turns of a chat.

Reads both layouts and partitioned directories, no more than needed. Must not know what a point is,
or how it was scored.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rollout.config.sections.data import Data, PromptFormat
from rollout.inputs.chats import content_of
from rollout.inputs.columns import values_of
from rollout.inputs.files import open_parquet
from rollout.system.formats.row_batches import group_batches

BATCH_ROWS = 10
MAX_ROWS = 100  # of a published file
MAX_TOTAL_CHARS = 16 << 20  # fewer rows where they are very long
CHATS = Data(prompt_format=PromptFormat.json)

Answer = dict[str, Any]  # row: position in the published file, prompt: text, responses: texts
Turns = list[tuple[str, str]]  # role and text; a plain prompt has the role ""


@dataclass(frozen=True, slots=True)
class AnsweredRow:
    """A prompt of a published file as stored, and further columns by name."""

    prompt: Any
    responses: Any  # a list of texts, or None
    lists: dict[str, list[Any] | None] = field(default_factory=dict)  # a value per response
    values: dict[str, Any] = field(default_factory=dict)  # one for the row


def first_answers(path: Path, prompt_key: str, responses_key: str) -> list[Answer]:
    """Return the first rows of a published file, at most MAX_ROWS, reading no more than needed.

    Raises whatever reading raises; KeyError if a column is missing.
    """
    answers: list[Answer] = []
    num_chars = 0
    for found in answered_rows(path, prompt_key, responses_key):
        text, texts = _prompt_text(found.prompt), texts_of(found.responses)
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
) -> Iterator[AnsweredRow]:
    """Yield the rows of a published file or directory, in either layout.

    `lists` are columns with a value per response, `values` those with one per row; columns that
    the file lacks are left out. Raises whatever reading raises; KeyError without the first two.
    """
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    with open_parquet(files[0]) as file:
        names = set(file.schema_arrow.names)
    lists, values = ([name for name in wanted if name in names] for wanted in (lists, values))
    if responses_key in names:
        for row in _rows(files, [prompt_key, responses_key, *lists, *values]):
            more = dict(zip([*lists, *values], row[2:], strict=True))
            yield AnsweredRow(
                row[0], row[1], {n: more[n] for n in lists}, {n: more[n] for n in values}
            )
        return
    prefix = responses_key.removesuffix("responses")
    own = [f"{prefix}row", prompt_key, f"{prefix}response", f"{prefix}sample_index"]
    rows = _rows(files, [*own, *lists, *values])
    for _, group in itertools.groupby(rows, key=lambda row: row[0]):
        all_of_row = list(group)
        first, samples = all_of_row[0], [row for row in all_of_row if row[3] is not None]
        columns = {name: [row[4 + i] for row in samples] for i, name in enumerate(lists)}
        rest = dict(zip(values, first[4 + len(lists) :], strict=True))
        yield AnsweredRow(first[1], [row[2] for row in samples], columns, rest)


def _rows(files: list[Path], wanted: list[str]) -> Iterator[tuple[Any, ...]]:
    for path in files:
        with open_parquet(path) as file:
            for group in range(file.num_row_groups):  # one at a time, as in prompts.py
                for batch in group_batches(file, group, wanted, BATCH_ROWS):
                    yield from zip(*(values_of(batch.column(k)) for k in wanted), strict=True)


def turns_of(value: Any) -> Turns:
    """Return a prompt as turns of role and text; chats may be JSON text. Empty if it is null."""
    if value is None or isinstance(value, bytes):
        return []
    try:
        content = content_of(value, CHATS)
    except ValueError:  # no prompt, but it may be looked at
        content = value
    if isinstance(content, list) and all(isinstance(m, dict) for m in content):
        turns = [(utf8(str(m.get("role"))), utf8(_content_text(m))) for m in content]
        return turns or [("", "")]
    return [("", utf8(content if isinstance(content, str) else json.dumps(content, default=str)))]


def _prompt_text(value: Any) -> str | None:
    """Return a prompt as one text for people, as summary.preview_prompts."""
    turns = turns_of(value)
    if not turns:
        return None
    return " / ".join(f"{role}: {text}" if role else text for role, text in turns)


def _content_text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in content]
        return "".join(str(part) for part in parts if part is not None)
    return "" if content is None else str(content)


def texts_of(value: Any) -> list[str | None] | None:
    """Return a row's responses as texts that can be written; None if there are none."""
    if value is None or isinstance(value, bytes):
        return None
    return [None if text is None else utf8(text) for text in value]


def utf8(text: str) -> str:
    """Return text that UTF-8 can encode: half a surrogate pair is escaped."""
    return text.encode("utf-8", "backslashreplace").decode()

"""The first rows of a point's published file, with their prompts as the run asked them.

Reads both layouts and partitioned directories, no more than needed. Must not know what a point is,
or how it was scored.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.inputs.columns import values_of
from rollout.inputs.files import open_parquet
from rollout.report.asked import asked_messages, builder_in
from rollout.report.prompt_texts import Messages, messages_from, utf8
from rollout.rows.column_paths import column_at, column_of
from rollout.system.formats.row_batches import group_batches

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 10
MAX_ROWS = 100  # of a published file
MAX_TOTAL_CHARS = 16 << 20  # fewer rows where they are very long
Answer = dict[str, Any]  # row: position in the published file, prompt: text, responses: texts


@dataclass(frozen=True, slots=True)
class AnsweredRow:
    """A row of a published file: its prompt as it was asked (empty if it is null), its columns."""

    messages: Messages
    responses: list[str | None] | None
    columns: dict[str, Any]

    @property
    def num_chars(self) -> int:
        """How long its texts are together."""
        texts = [text for _, text in self.messages] + [t or "" for t in self.responses or ()]
        return sum(map(len, texts))


def first_answers(path: Path, prompt_key: str, responses_key: str) -> list[Answer]:
    """Return the first rows of a published file, at most MAX_ROWS, reading no more than needed.

    Raises whatever reading raises; KeyError if a column is missing.
    """
    return [
        {"row": number, "prompt": _one_text(row.messages), "responses": row.responses}
        for number, row in enumerate(answered_rows(path, prompt_key, responses_key))
    ]


def answered_rows(
    path: Path,
    prompt_key: str,
    responses_key: str,
    lists: Sequence[str] = (),
    values: Sequence[str] = (),
) -> Iterator[AnsweredRow]:
    """Yield the first rows of a published file or directory in either layout, at most MAX_ROWS.

    `prompt_key` holds the prompts if the file has no record of how they were made. `responses_key`
    and `lists` have a value per response, `values` are columns with one per row. Of `lists` and
    `values`, those that the file lacks are left out. Raises whatever reading raises; KeyError
    without the prompts or the responses.
    """
    files = files_in(path)
    schema = schema_of(path)
    builder = builder_in(schema)
    asked = builder.columns if builder else [prompt_key]
    num_chars = 0
    rows = _joined_rows(files, schema, asked, responses_key, lists, values)
    for columns in itertools.islice(rows, MAX_ROWS):
        found = asked_messages(builder, 0, columns) if builder else turns_of(columns[prompt_key])
        messages = [(utf8(role), utf8(text)) for role, text in found]
        row = AnsweredRow(messages, texts_of(columns[responses_key]), columns)
        yield row
        num_chars += row.num_chars
        if num_chars > MAX_TOTAL_CHARS:
            return


def files_in(path: Path) -> list[Path]:
    """Return a published file, or those of a directory."""
    return sorted(path.iterdir()) if path.is_dir() else [path]


def schema_of(path: Path) -> "pa.Schema":
    """Return the schema of a published file or directory. Raises whatever reading raises."""
    with open_parquet(files_in(path)[0]) as file:
        return file.schema_arrow


def _joined_rows(
    files: list[Path],
    schema: "pa.Schema",
    asked: Sequence[str],
    responses_key: str,
    lists: Sequence[str],
    values: Sequence[str],
) -> Iterator[dict[str, Any]]:
    """Yield a row per prompt, as columns by name."""
    names = set(schema.names)
    more = [*asked, *(name for name in (*lists, *values) if name in names)]
    if responses_key in names:
        yield from _rows(files, schema, [responses_key, *more])
        return
    prefix = responses_key.removesuffix("responses")
    number, text, index = (prefix + name for name in ("row", "response", "sample_index"))
    rows = _rows(files, schema, [number, text, index, *more])
    for _, group in itertools.groupby(rows, key=lambda row: row[number]):
        lines = list(group)
        samples = [line for line in lines if line[index] is not None]
        columns = {name: [line[name] for line in samples] for name in lists if name in names}
        yield lines[0] | columns | {responses_key: [line[text] for line in samples]}


def _rows(files: list[Path], schema: "pa.Schema", names: list[str]) -> Iterator[dict[str, Any]]:
    wanted = list(dict.fromkeys(names))
    tops = list(dict.fromkeys(column_of(schema, name) for name in wanted))
    for path in files:
        with open_parquet(path) as file:
            for group in range(file.num_row_groups):  # one at a time, as in prompts.py
                for batch in group_batches(file, group, tops, BATCH_ROWS):
                    columns = (values_of(column_at(batch, name)) for name in wanted)
                    for row in zip(*columns, strict=True):
                        yield dict(zip(wanted, row, strict=True))


def turns_of(value: Any) -> Messages:
    """Return a prompt as turns of role and text, as on a run's page. Empty if it is null."""
    return [] if value is None or isinstance(value, bytes) else messages_from(value)


def _one_text(turns: Messages) -> str | None:
    """Return a prompt as one text for people, as tracked.prompt_text; None if it is null."""
    if not turns:
        return None
    return " / ".join(f"{role}: {text}" if role else text for role, text in turns)


def texts_of(value: Any) -> list[str | None] | None:
    """Return a row's responses as texts that can be written; None if there are none."""
    if value is None or isinstance(value, bytes):
        return None
    return [None if text is None else utf8(text) for text in value]

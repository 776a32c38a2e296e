"""The rows to write: filtered, rendered, deduplicated, with the chosen columns.

Memory holds one chunk, and about 91 bytes per row with deduplication. Must not know about files.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rollout.config.sections.prepare import Prepare
from rollout.errors import UserError, did_you_mean
from rollout.inputs.prompt_record import zero_shot_key
from rollout.prepare.examples import listed
from rollout.prepare.rendering import Rendering
from rollout.prepare.sources.columns import prompt_array
from rollout.prepare.sources.source import Chunk, Source, Tally
from rollout.system.formats.row_batches import take

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Chosen:
    """The columns written after the prompt, as (new name, source's name)."""

    columns: list[tuple[str, str]]
    notes: list[str]

    def schema(self, settings: Prepare, source: Source, rendering: Rendering) -> "pa.Schema":
        """Return the schema to write, without the source's metadata on its own columns."""
        import pyarrow as pa

        fields = [source.schema.field(old).with_name(new) for new, old in self.columns]
        prompts = [settings.prompt_key]
        if rendering.examples:
            prompts.append(zero_shot_key(settings.prompt_key))
        return pa.schema([*(pa.field(name, rendering.kind) for name in prompts), *fields])


def chosen_columns(settings: Prepare, source: Source, rendering: Rendering) -> Chosen:
    """Return the columns that `rename` and `keep` choose. Raises UserError."""
    names, notes = source.schema.names, []
    renamed = {str(new): str(old) for new, old in settings.rename.items()}
    for new, old in renamed.items():
        if old not in names:
            raise UserError(
                f"rename.{new}={old}: {source.name} has no such column, only {listed(names)}."
                f"{did_you_mean(old, names)}"
            )
    columns = [(name, name) for name in names if name not in renamed.values()]
    columns += list(renamed.items())
    if settings.prompt_key in renamed:
        raise UserError(
            f"rename.{settings.prompt_key}: the prompts are written to that column; type "
            f"prompt_column={renamed[settings.prompt_key]}"
        )
    new_names = [new for new, _ in columns]
    if twice := [name for name in new_names if new_names.count(name) > 1]:
        raise UserError(
            f"rename.{twice[0]}: {source.name} already has a column {twice[0]!r}; type another name"
        )
    if settings.prompt_key in new_names and rendering.column != settings.prompt_key:
        notes.append(
            f"column {settings.prompt_key!r} of the source is replaced by the prompts; "
            f"rename.NEW={settings.prompt_key} keeps it"
        )
    own = {settings.prompt_key}
    zero_shot = zero_shot_key(settings.prompt_key)
    is_unchanged = rendering.column == settings.prompt_key and not rendering.system
    if rendering.examples or (zero_shot in new_names and not is_unchanged):
        own.add(zero_shot)
        if zero_shot in new_names:
            notes.append(
                f"column {zero_shot!r} of the source belongs to other prompts and is "
                f"{'replaced' if rendering.examples else 'dropped'}; "
                f"rename.NEW={zero_shot} keeps it"
            )
    columns = [pair for pair in columns if pair[0] not in own]
    for name in settings.keep:
        if name not in new_names and name not in own:
            raise UserError(
                f"keep={name}: no such column, only {listed(new_names)}."
                f"{did_you_mean(name, new_names)}"
            )
    if settings.keep:
        columns = [pair for pair in columns if pair[0] in settings.keep]
    return Chosen(columns, notes)


def prompt_rows(
    settings: Prepare,
    source: Source,
    rendering: Rendering,
    schema: "pa.Schema",
    chosen: Chosen,
    tally: Tally,
    limit: int | None,
) -> "Iterator[pa.RecordBatch]":
    """Stream the rows to write, at most `limit`, and count the others in `tally`.

    Raises UserError at the first row that makes no prompt, unless such rows are skipped.
    """
    import pyarrow as pa

    seen: set[bytes] | None = set() if settings.deduplicate else None
    num_left = limit
    for chunk in source.chunks():
        rows, contents = _prompts(rendering, chunk, tally, seen, num_left)
        if num_left is not None:
            num_left -= len(rows)
        if rows:
            batch = take(chunk.batch, rows)
            columns = [batch.column(old) for _, old in chosen.columns]
            prompts = [prompt_array(list(p), rendering.kind) for p in zip(*contents, strict=True)]
            arrays = [*prompts, *columns]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)
        if num_left == 0:
            return


def _prompts(
    rendering: Rendering,
    chunk: Chunk,
    tally: Tally,
    seen: set[bytes] | None,
    num_left: int | None,
) -> tuple[list[int], list[Any]]:
    """Return the rows of the chunk that make a prompt, and their prompts (`Rendering.contents`)."""
    condition = rendering.condition
    rows, contents = [], []
    for index, row in enumerate(chunk.rows(rendering.columns)):
        if num_left is not None and len(rows) == num_left:
            break
        tally.num_read += 1
        if fault := chunk.faults.get(index):
            tally.bad(chunk.where(index), fault)
            continue
        row = rendering.named(row)
        try:
            if condition and not condition.holds({n: row[n] for n in condition.names}):
                tally.num_filtered += 1
                continue
            prompts = rendering.contents(row)
        except ValueError as error:
            tally.bad(chunk.where(index), str(error))
            continue
        if seen is not None:
            text = json.dumps(prompts[0], sort_keys=True, default=str)
            digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
            if digest in seen:
                tally.num_duplicates += 1
                continue
            seen.add(digest)
        rows.append(index)
        contents.append(prompts)
    return rows, contents

"""The finished rows of an unpublished run: from its shards, with the prompts of its input.

Never writes, and copes with a run that goes on meanwhile. The input is read only from local files
that have not changed. Must not know which rows are chosen.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.config.sections.data import Data
from rollout.errors import RolloutError
from rollout.inputs.columns import values_of
from rollout.inputs.prompt_builder import open_prompt_builder
from rollout.inputs.prompt_record import recorded_builder, with_record_from
from rollout.inputs.prompts import Prompts, open_rows
from rollout.report.columns import answer_columns
from rollout.report.prompt_texts import Messages, messages_in
from rollout.report.published import read_shard
from rollout.report.published_rows import RawRow
from rollout.report.row_views import reference_of
from rollout.rows.column_paths import column_at, column_of
from rollout.store.shards import Shards
from rollout.system.disk import path_of
from rollout.system.storage.paths import is_remote

if TYPE_CHECKING:
    import numpy as np

VIEWED = (
    "index", "row", "responses", "finish_reason", "num_response_tokens", "opens_reasoning",
    "error", "num_prompt_tokens",
)  # fmt: skip
Known = tuple[int, Messages, Any]  # a row's number, prompt and right answer


class UnfinishedRows:
    """The rows on disk in input order. `numbers` are their positions in the whole input."""

    def __init__(self, run_dir: Path, record: dict[str, Any]):
        import numpy as np

        self._shards, self._record = Shards(run_dir / "shards"), record
        tables = {s: read_shard(self._shards, s, ["row", "failed"]) for s in self._shards.found()}
        columns = [
            [table.column(name).to_numpy() for table in tables.values()] or [np.empty(0, int)]
            for name in ("row", "failed")
        ]
        self.numbers, failed = map(np.concatenate, columns)
        self._failed = np.flatnonzero(failed).tolist()
        self._counts = {shard: table.num_rows for shard, table in tables.items()}
        self.num_rows = len(self.numbers)

    def failed(self) -> list[int]:
        """Return the positions of failed rows, ascending."""
        return self._failed

    def read(self, positions: "np.ndarray", most: int) -> Iterator[RawRow]:
        """Yield the rows at ascending positions, with all their samples."""
        wanted = self.numbers[positions]
        prompts = _prompts(self._record, wanted)
        at = 0
        for shard, count in self._counts.items():
            here = positions[(positions >= at) & (positions < at + count)]
            at += count
            if not len(here):
                continue
            place = dict(zip(self.numbers[here].tolist(), here.tolist(), strict=True))
            for batch in read_shard(self._shards, shard, VIEWED).to_batches(64):
                for row in batch.to_pylist():
                    if row["row"] not in place:
                        continue
                    number, messages, reference = next(prompts)
                    assert number == row["row"]
                    row["reference"] = reference
                    samples = len(row["responses"] or ())
                    yield RawRow(place[number], number, messages, row, samples)


def _prompts(record: dict[str, Any], wanted: "np.ndarray") -> Iterator[Known]:
    """Yield number, prompt and right answer of each of these rows; prompts say if unreadable."""
    done, why = 0, ""
    try:
        for found in _read_prompts(record, wanted):
            done += 1
            yield found
    except RolloutError as error:
        why = str(error)
    why = why or "the input has fewer rows than the run"
    for number in wanted[done:].tolist():
        yield number, [("", f"(not readable: {why})")], None


def _read_prompts(record: dict[str, Any], wanted: "np.ndarray") -> Iterator[Known]:
    """Yield the rows of the input. Raises RolloutError if it can't be read or has changed."""
    import pyarrow as pa

    rows = _open_input(record)
    fields = [pa.field("responses", pa.null())]
    asked = with_record_from(pa.schema(fields), record.get("fingerprint") or {})
    builder = recorded_builder(asked) or open_prompt_builder(Data(), Path.cwd())
    if missing := set(builder.columns) - set(rows.schema.names):
        raise RolloutError(f"{rows.files[0]} has no column {min(missing)!r}")
    keys = answer_columns(rows.schema)
    held = [column_of(rows.schema, key) for key in keys if key]
    schema = pa.schema([rows.schema.field(n) for n in dict.fromkeys([*builder.columns, *held])])
    numbers = iter(wanted.tolist())
    for batch in replace(rows, schema=schema, rows=wanted).batches():
        columns = zip(*map(values_of, batch.columns), strict=True)
        answers = (values_of(column_at(batch, key)) if key else repeat(None) for key in keys)
        for values, answer, entry in zip(columns, *answers, strict=False):
            row, number = dict(zip(schema.names, values, strict=True)), next(numbers)
            prompt = builder.prompt_of(number, number, row)
            messages = messages_in(prompt, row.get(builder.data.prompt_key))
            yield number, messages, reference_of(None, answer, entry)


def _open_input(record: dict[str, Any]) -> Prompts:
    """Return the rows of the run's input. Raises RolloutError if they are not as they were."""
    known = record.get("input") or {}
    files = [path_of(str(name)) for name in known.get("files") or ()]
    if not files:
        raise RolloutError("run.json does not name the input")
    if remote := [path for path in files if is_remote(path)]:
        raise RolloutError(f"{remote[0]} is on a store, and a page reads only local files")
    if missing := [path for path in files if not path.exists()]:
        raise RolloutError(f"{missing[0]} does not exist")
    rows = open_rows(files, Data())
    if rows.digest() != known.get("digest"):
        raise RolloutError(f"{files[0]} has changed since the run began")
    return rows

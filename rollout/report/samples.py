"""The sample browser's rows: all of a file or a run, or a subset drawn with a fixed seed.

Guarantees: the same rows give the same subset, in input order; what is left out is said. Memory is
bounded by what is shown. Must not know how the browser is drawn.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rollout.config.sections.data import Data
from rollout.errors import UserError
from rollout.inputs.files import find_files
from rollout.inputs.prompts import Prompts, open_rows
from rollout.postprocess.responses import with_record
from rollout.report.columns import find_columns
from rollout.report.page import Browser
from rollout.report.published import (
    RunFiles,
    errors_fail_in,
    files_of_run,
    reasoning_tags_in,
)
from rollout.report.published_rows import PublishedRows, RawRow
from rollout.report.row_views import row_view
from rollout.report.subset import (
    LINKED,
    MAX_FAILED,
    ROW_BYTES,
    SEED,
    Held,
    candidates_of,
    most_samples,
    ranks_of,
)
from rollout.report.unfinished_rows import UnfinishedRows
from rollout.store.shards import Shards

if TYPE_CHECKING:
    import numpy as np


class Rows(Protocol):
    """Rows that can be shown, by position from 0; `numbers` are those in the input, ascending."""

    num_rows: int
    numbers: Sequence[int]

    def failed(self) -> list[int]: ...

    def read(self, positions: "np.ndarray", most: int) -> Iterator[RawRow]: ...


def browser_of_run(run_dir: Path, must_have: Collection[int] = ()) -> Browser:
    """Return a run's rows: of its scored file, else its output, else those finished so far.

    `must_have` are rows by their number, the position in the input (the shards' column `row`),
    that are shown in any case. Raises UserError or RolloutError if the rows can't be read; prompts
    that can't be read are said to be so.
    """
    files = files_of_run(run_dir)
    tags = reasoning_tags_in(files.record)
    path, reason = files.scored or files.output, ""
    if path is not None:
        try:
            rows = rows_of_run(path, files)
        except UserError as error:  # it was replaced; the shards are as the run wrote them
            reason = f" They are those of the shards, since the output can't be read: {error}"
        else:
            found = browser_of_rows(rows, must_have, tags, f"{path.name} has all")
            return replace(found, errors_fail=errors_fail_in(files.scoring))
    rows = UnfinishedRows(run_dir, files.record)
    browser = browser_of_rows(rows, must_have, tags, "the run's shards hold all")
    return replace(browser, note=(browser.note + reason).strip())


def rows_of_file(
    path: Path,
    responses_key: str | None = None,
    prompt_key: str | None = None,
    prefix: str | None = None,
) -> PublishedRows:
    """Return the rows of a published or scored file, or of a directory of them, in any layout.

    A row's number is its position in the file, or the column `row` with one row per sample.
    `prefix` is that of the columns that a scoring added; None: found by their names. Raises
    UserError if there is no row or no column of responses, and RolloutError if the file can't be
    read.
    """
    found = open_output(path)
    if not found.num_rows:
        raise UserError(f"{path} has no rows")
    columns = find_columns(found.schema, path, responses_key, prompt_key, prefix)
    return PublishedRows(found, columns, reads_as_asked=prompt_key is None)


def open_output(path: Path) -> Prompts:
    """Return the rows of a parquet file or a directory of them. Raises UserError."""
    return with_record(open_rows(find_files(str(path), Path.cwd()), Data()))


def rows_of_run(path: Path, files: RunFiles) -> PublishedRows:
    """Return the rows that a run published, numbered as in its input."""
    found, published, scoring = open_output(path), files.published, files.scoring
    is_per_sample = published.get("layout") == "per_sample"
    own = published.get("prefix", "") + ("response" if is_per_sample else "responses")
    prefix = scoring.get("prefix") if path == files.scored else None
    columns = find_columns(found.schema, path, own, None, prefix, scoring.get("answer_key"))
    numbers = None if is_per_sample else _numbers_of_run(files, found.num_rows)
    return PublishedRows(found, columns, numbers)


def _numbers_of_run(files: RunFiles, num_rows: int) -> "np.ndarray | None":
    """Return the input's positions of the published rows; None if they are not on record."""
    import numpy as np

    shards = Shards(files.run_dir / "shards")
    names = ["row", "failed"]
    tables = [shards.read(shard, names) for shard in shards.found()]
    if not tables:
        return None
    row, failed = (np.concatenate([t.column(n).to_numpy() for t in tables]) for n in names)
    numbers = row[~failed] if files.published.get("skips_failed") else row
    return numbers if len(numbers) == num_rows else None


def browser_of_rows(
    rows: Rows, must_have: Collection[int], tags: Sequence[str], whole: str
) -> Browser:
    """Return the browser of all rows or of a subset; `whole` says where the others are.

    `must_have` are numbers of rows that are shown in any case; unknown ones are passed over.
    """
    linked, failed = _positions(rows, must_have), rows.failed()
    ranks, most = ranks_of(rows.num_rows, linked, failed), most_samples(len(linked))
    held, has_more = Held(), False
    for raw in rows.read(candidates_of(ranks), most):
        rank = int(ranks[raw.position])
        if not held.takes(rank):
            continue
        room = ROW_BYTES if rank == LINKED or rank >= MAX_FAILED else ROW_BYTES // 10
        view = row_view(raw.number, raw.messages, raw.columns, most, room, tags)
        held.add(raw.position, rank, view)
        has_more |= raw.num_samples > most
    found = held.finish(linked)
    note = _note(found, ranks, rows.num_rows, whole)
    if has_more:
        note += f" Of a prompt with more than {most:,} samples the first {most:,} are shown."
    return Browser(list(found.values()), num_rows=rows.num_rows, note=note.strip())


def _positions(rows: Rows, numbers: Collection[int]) -> list[int]:
    """Return the positions of the rows with these numbers; others are passed over."""
    import numpy as np

    if not len(numbers) or not rows.num_rows:
        return []
    return np.flatnonzero(np.isin(np.asarray(rows.numbers), list(numbers))).tolist()


def _note(found: Collection[int], ranks: "np.ndarray", num_rows: int, whole: str) -> str:
    """Return which rows are shown, if not all; samples.js writes before it how many."""
    if len(found) == num_rows:
        return ""
    kinds = [ranks[position] for position in found]
    linked, failed = kinds.count(LINKED), sum(LINKED < rank < MAX_FAILED for rank in kinds)
    drawn = len(kinds) - linked - failed
    parts = [f"{linked:,} linked from a table"] if linked else []
    parts += [f"{failed:,} failed"] if failed else []
    parts += [f"{drawn:,} {'of the others ' if parts else ''}drawn at random (seed {SEED})"]
    listed = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + f" and {parts[-1]}"
    return f"These are {listed}; {whole}."

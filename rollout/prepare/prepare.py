"""Prepare a file of prompts from a source of problems.

Owns the order of the steps: all checks first, then a stream from the source to files that appear
completely or not at all. Needs no GPU, no engine and no model.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.config.sections.prepare import OnBadRow, Prepare
from rollout.errors import UserError
from rollout.inputs.input_files import InputFiles, input_files_of
from rollout.prepare.output import marks_of, orders, shares_of, split_path, was_made_by, write
from rollout.prepare.rendering import open_rendering
from rollout.prepare.result import Prepared
from rollout.prepare.rows import chosen_columns, prompt_rows
from rollout.prepare.sources.open import open_source
from rollout.prepare.sources.openai_batch import unpacked
from rollout.prepare.sources.source import Tally
from rollout.prepare.spool import Spool
from rollout.store.ledger import Ledger
from rollout.store.places import Writer, place
from rollout.system.console import Console
from rollout.system.signals import StopRequest, stop_on_signals
from rollout.system.status import Status
from rollout.system.storage.paths import is_remote

if TYPE_CHECKING:
    import pyarrow as pa

NUM_SHOWN = 3
QUIET_S = 2.0  # shorter preparations show no progress


def is_made_by(path: Path, settings: Prepare) -> bool:
    """Whether `path` was made with `settings`, from files that have not changed since."""
    return was_made_by(path, settings)


def refuse_in_run(settings: Prepare) -> None:
    """Refuse splits and previews, which don't make the one file that a run reads."""
    if settings.splits:
        raise UserError(
            "prepare.splits makes several files, but a run reads one; make them with "
            "python -m rollout.prepare, then type data.input= with one of them"
        )
    if settings.preview:
        raise UserError(
            "prepare.preview=true writes no file that a run could read; leave it out, or type "
            f"python -m rollout.prepare source={settings.source} preview=true"
        )


def prepare(
    settings: Prepare,
    path: Path,
    console: Console,
    start_dir: Path,
    stop: StopRequest | None = None,
    ledger: Ledger | None = None,
    section: str = "",
) -> Prepared:
    """Make the prompts and write them to `path`, or to one file per split beside it.

    Relative paths in the settings are relative to `start_dir`. Files appear completely or not at
    all; with `settings.preview` none does. Raises UserError before any work if settings, source or
    output are invalid, and at the first bad row unless bad rows are skipped; Interrupted once
    `stop` is requested.
    """
    if stop is None:
        with stop_on_signals() as own:
            return prepare(settings, path, console, start_dir, own, ledger, section)
    began = time.monotonic()
    shares = shares_of(settings)
    paths = [split_path(path, name) for name in shares] or [path]
    key, overwrite = f"{section}output.path", settings.output.overwrite
    places = {file: place(key, file, file, overwrite=overwrite) for file in paths}
    writer = Writer(input_files_of("source", settings.source or "", start_dir), ledger)
    tally = Tally(skips=settings.on_error is OnBadRow.skip)
    with stop.deferred(), ExitStack() as stack:
        tally.tick = _ticker(tally, console, stop, stack)
        if not settings.preview:
            writer.check(places.values())
        source = unpacked(open_source(settings, start_dir, tally, console.note), settings, tally)
        rendering = open_rendering(settings, source, start_dir)
        files = [*source.files, *rendering.files]
        if not settings.preview:
            writer.inputs.append(InputFiles("source", tuple(files)))
            writer.check(places.values())
        chosen = chosen_columns(settings, source, rendering)
        for note in [*source.notes, *chosen.notes]:
            console.note(f"note: {note}")
        schema = chosen.schema(settings, source, rendering).with_metadata(
            marks_of(settings, start_dir, files, source.watched)
        )
        needs_all = settings.shuffle or settings.sample is not None or bool(shares)
        limit = None if needs_all else settings.limit
        rows = prompt_rows(settings, source, rendering, schema, chosen, tally, limit)
        if needs_all:
            spool = stack.enter_context(Spool(schema, _spool_dir(path, settings)))
            spool.fill(rows)
            _refuse_empty(spool.num_rows, tally)
            if settings.sample is not None and settings.sample > spool.num_rows:
                console.note(
                    f"note: sample={settings.sample}, but there are only {spool.num_rows:,} rows"
                )
            ordered = orders(settings, spool).values()
            batches = [spool.take(order) for order in ordered]
        else:
            batches = [rows]

        def check() -> None:
            _refuse_empty(tally.num_written, tally)
            rendering.refuse_unused(tally.num_written)

        shown: list[Any] = []
        check_file = None if settings.preview else check
        counted = {
            file: _counted(found, tally, shown, stop, check_file)
            for file, found in zip(paths, batches, strict=True)
        }
        if settings.preview:
            for _ in chain(*counted.values()):
                pass
            check()
            written = {}
        else:
            written = write(counted, schema, places, writer)
    elapsed_s = time.monotonic() - began
    read_by = [setting for name, setting in source.read_by.items() if name in schema.names]
    return Prepared(written, tally, schema.names, shown, elapsed_s, settings.prompt_key, read_by)


def _spool_dir(path: Path, settings: Prepare) -> Path:
    """Return where rows are spooled: on the disk of the output, which has room for them."""
    if settings.preview or is_remote(path):
        return Path(tempfile.gettempdir())
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.parent


def _ticker(tally: Tally, console: Console, stop: StopRequest, stack: ExitStack) -> Any:
    """Return the function to call after every chunk: it checks `stop` and shows progress."""
    began, progress = time.monotonic(), None

    def tick() -> None:
        nonlocal progress
        stop.raise_if_requested()
        elapsed_s = time.monotonic() - began
        if elapsed_s < QUIET_S:
            return
        if progress is None:
            progress = stack.enter_context(console.progress())
        fraction = min(1.0, tally.work / tally.total_work) if tally.total_work else 0.0
        left_s = elapsed_s * (1 - fraction) / fraction if fraction else None
        progress.update(Status(fraction, (f"{tally.num_read:,} rows read",), left_s))

    return tick


def _counted(
    batches: "Iterator[pa.RecordBatch]",
    tally: Tally,
    shown: list[Any],
    stop: StopRequest,
    check: Callable[[], None] | None,
) -> "Iterator[pa.RecordBatch]":
    """Yield the batches, count their rows, keep the first prompts in `shown`, and then `check`."""
    for batch in batches:
        stop.raise_if_requested()
        shown += batch.column(0).slice(0, NUM_SHOWN - len(shown)).to_pylist()
        tally.num_written += batch.num_rows
        yield batch
    if check is not None:
        check()


def _refuse_empty(num_rows: int, tally: Tally) -> None:
    if num_rows:
        return
    if not tally.num_read:
        raise UserError("the source has no rows; nothing was written")
    parts = [f"{tally.num_read:,} rows were read"]
    parts += [f"{tally.num_filtered:,} removed by filter"] if tally.num_filtered else []
    if tally.num_bad:
        parts.append(f"{tally.num_bad:,} bad ({tally.faults.most_common(1)[0][0]})")
    raise UserError(f"no row is left: {', '.join(parts)}; nothing was written")

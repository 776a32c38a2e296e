"""Sources with a schema: parquet and Arrow files, and datasets saved or streamed by `datasets`.

Guarantees that columns keep their types. Only this module imports `datasets`.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.config.sections.prepare import Prepare
from rollout.errors import RolloutError, UserError, did_you_mean
from rollout.inputs.columns import check_names, conform, unify
from rollout.inputs.files import open_parquet, reading, seal
from rollout.prepare.sources.source import CHUNK_ROWS, Chunk, Source, Tally, first_line, name_of
from rollout.system.formats.row_batches import BATCH_BYTES, group_batches
from rollout.system.storage.paths import open_random

if TYPE_CHECKING:
    import pyarrow as pa


def open_parquet_files(files: list[Path], tally: Tally) -> Source:
    """Open parquet files. Raises UserError if one is not parquet, or their schemas disagree."""
    schema = None
    for path in files:
        with reading(path, UserError):
            seal(path)
            with open_parquet(path) as file:
                schema = _with(file.schema_arrow, schema, files[0], path)
                tally.total_work += file.metadata.num_rows

    def batches(path: Path) -> "Iterator[pa.RecordBatch]":
        with open_parquet(path) as file:
            for number in range(file.metadata.num_row_groups):
                yield from group_batches(file, number)

    return _of_files(files, schema, batches, tally)


def open_arrow_files(files: list[Path], tally: Tally) -> Source:
    """Open Arrow IPC files, or IPC streams as `datasets` saves them."""
    import pyarrow as pa

    schema = None
    tally.total_work += sum(path.stat().st_size for path in files)
    for path in files:
        with reading(path, UserError), _opened_arrow(path) as (found, _):
            schema = _with(found, schema, files[0], path)

    def batches(path: Path) -> "Iterator[pa.RecordBatch]":
        with _opened_arrow(path) as (_, found):
            for batch in found:
                rows = min(CHUNK_ROWS, int(BATCH_BYTES * batch.num_rows / max(1, batch.nbytes)))
                for start in range(0, batch.num_rows, max(1, rows)):
                    yield batch.slice(start, max(1, rows))
            tally.work += path.stat().st_size

    assert isinstance(schema, pa.Schema)
    return _of_files(files, schema, batches, tally, counts_rows=False)


@contextmanager
def _opened_arrow(path: Path) -> "Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]":
    import pyarrow as pa

    with open_random(path) as file:
        is_file = file.read(6) == b"ARROW1"
        file.seek(0)
        if is_file:
            reader = pa.ipc.open_file(file)
            yield reader.schema, (reader.get_batch(i) for i in range(reader.num_record_batches))
        else:
            reader = pa.ipc.open_stream(file)
            yield reader.schema, iter(reader)


def _with(found: "pa.Schema", schema: "pa.Schema | None", first: Path, path: Path) -> "pa.Schema":
    try:
        check_names(found, path)
        return found if schema is None else unify(schema, found, first, path)
    except UserError as error:
        raise UserError(str(error.args[0]).replace("data.input", "source")) from error


def _of_files(
    files: list[Path],
    schema: "pa.Schema",
    batches: "Callable[[Path], Iterator[pa.RecordBatch]]",
    tally: Tally,
    counts_rows: bool = True,
) -> Source:
    def chunks() -> Iterator[Chunk]:
        for path in files:
            start = 0
            with reading(path):
                for batch in batches(path):
                    if batch.num_rows:
                        yield Chunk(conform(batch, schema), _row_of(path, start))
                    start += batch.num_rows
                    tally.work += batch.num_rows if counts_rows else 0
                    tally.tick()

    return Source(name_of(files), schema, chunks, files)


def _row_of(name: Any, start: int) -> Callable[[int], str]:
    return lambda index: f"{name}, row {start + index}"


def open_saved(directory: Path, settings: Prepare, tally: Tally) -> Source:
    """Open a dataset saved by `save_to_disk`; `split` names one of several splits."""
    datasets = _library(settings)
    with _in_one_line(settings):
        found = datasets.load_from_disk(str(directory))
    data = _split_of(found, settings) if isinstance(found, datasets.DatasetDict) else found
    tally.total_work += len(data)
    files = sorted(Path(file["filename"]) for file in data.cache_files)
    return _streamed(data, data.features.arrow_schema, str(directory), settings, tally, files)


def open_hub(settings: Prepare, tally: Tally) -> Source:
    """Stream a dataset of the hub. Raises UserError if it or its split does not exist."""
    datasets = _library(settings)
    with _in_one_line(settings):
        found = datasets.load_dataset(
            settings.source,
            settings.subset,
            split=settings.split,
            revision=settings.revision,
            streaming=True,
        )
        data = _split_of(found, settings) if isinstance(found, dict) else found
        if data.features is None:
            data = data._resolve_features()
    return _streamed(data, data.features.arrow_schema, settings.source, settings, tally, [])


def _streamed(
    data: Any, schema: "pa.Schema", name: str, settings: Prepare, tally: Tally, files: list[Path]
) -> Source:
    def chunks() -> Iterator[Chunk]:
        start = 0
        with _in_one_line(settings, RolloutError):
            for table in data.with_format("arrow").iter(CHUNK_ROWS):
                for batch in table.combine_chunks().to_batches():
                    yield Chunk(conform(batch, schema), _row_of(name, start))
                    start += batch.num_rows
                    tally.work += batch.num_rows
                    tally.tick()

    return Source(name, schema, chunks, files)


def _split_of(found: Any, settings: Prepare) -> Any:
    names = list(found)
    if settings.split in names:
        return found[settings.split]
    if settings.split is None and len(names) == 1:
        return found[names[0]]
    given = f"split={settings.split}: " if settings.split else ""
    guess = did_you_mean(settings.split, names) if settings.split else ""
    raise UserError(
        f"{given}source={settings.source} has splits {', '.join(names)}.{guess} "
        f"Type split={names[0] if names else 'NAME'}"
    )


def _library(settings: Prepare) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise UserError(
            f"source={settings.source} needs the datasets library: {error}; "
            "type pip install datasets"
        ) from error
    datasets.disable_progress_bars()
    # Hides its warning for each retry; the error reports the last one.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    return datasets


@contextmanager
def _in_one_line(settings: Prepare, kind: type[RolloutError] = UserError) -> Iterator[None]:
    """Turn whatever the library raises into an error of one line."""
    try:
        yield
    except (RolloutError, GeneratorExit):
        raise
    except Exception as error:  # the hub's, fsspec's, Arrow's, ...
        reason = first_line(error)[:300]
        raise kind(f"source={settings.source} can't be read: {reason}; {_REMEDY}") from error


_REMEDY = (
    "check the name, subset and split; without access to the hub, download the files elsewhere and "
    "type source=DIRECTORY"
)

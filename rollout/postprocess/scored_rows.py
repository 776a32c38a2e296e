"""Scored rows: the input's batches, in order, with the columns that scoring adds.

Owns the schema of these columns. Memory is bounded by the batches read ahead. Must not know where
the rows are written.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from rollout.config.sections.export import Unscored
from rollout.config.sections.postprocess import Postprocess
from rollout.inputs.columns import is_list, is_text, stored, values_of
from rollout.inputs.prompts import Prompts
from rollout.postprocess.scoring.pool import Pool, num_cores
from rollout.postprocess.scoring.process import Item, Lot
from rollout.postprocess.scoring.scorers import Mark, Verdict, optional_columns, scorer_module
from rollout.postprocess.scoring.unclosed import responses_of
from rollout.postprocess.tally import Tally
from rollout.rows.column_paths import column_at
from rollout.system.formats.plain_types import decode, rebuild

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 64  # small: progress is shown per batch, and a program takes 0.1 s
NULL_RESPONSE = Mark(None, None, "the response is null", verdict=Verdict.unjudged)


def scored_schema(schema: "pa.Schema", prefix: str) -> "pa.Schema":
    """Return the input's schema with the columns that scoring adds."""
    import pyarrow as pa

    added = {
        "scores": pa.list_(pa.float64()),
        "verdicts": pa.list_(pa.string()),
        "score_errors": pa.list_(pa.string()),
        "extracted": pa.list_(pa.string()),
        "compared_with": pa.string(),
        "pass_rate": pa.float64(),
    }
    fields = [pa.field(prefix + name, kind) for name, kind in added.items()]
    return pa.schema([*schema, *fields], metadata=schema.metadata)


def scored_batches(
    settings: Postprocess,
    responses: Prompts,
    tally: Tally,
    poll: Callable[[], None] = lambda: None,
    on_error: Callable[[int, int, Mark, Verdict], None] = lambda *_: None,
) -> "Iterator[pa.RecordBatch]":
    """Yield the input's rows with their scores, in input order; `tally` counts them.

    Every batch has `scored_schema`. `poll` is called several times a second and may raise.
    `on_error` is called with row, sample, mark and verdict of each sample that was not judged or
    has a trace. Raises UserError if the scorer can't be loaded. The caller closes the generator,
    which ends the workers.
    """
    schema = scored_schema(responses.schema, settings.prefix)
    num_workers = settings.workers or num_cores()
    with Pool(settings, num_workers, poll) as pool:
        lots = (_lot(batch, settings) for batch in responses.batches(BATCH_ROWS))
        for lot in pool.marked(lots):
            batch, texts, places = lot.label
            rows = [[NULL_RESPONSE if i is None else lot.marks[i] for i in row] for row in places]
            yield _joined(batch, texts, rows, schema, tally, settings, on_error)


def _lot(batch: "pa.RecordBatch", settings: Postprocess) -> Lot:
    """Return the batch's items, one per distinct response of a row, and each sample's item."""
    columns = _columns(batch, settings)
    prefix = settings.responses_key.removesuffix("responses")  # the run's output.prefix
    beside = [_lists(batch, prefix + name) for name in ("finish_reason", "is_reasoning_closed")]
    may_share = settings.scorer != "python"  # a user's function may be random
    items: list[Item] = []
    places: list[list[int | None]] = []
    all_texts = texts_of(batch.column(settings.responses_key))
    for number, texts in enumerate(all_texts):
        row: dict[str, Any] = {name: values[number] for name, values in columns.items()}
        finish_reasons, closed = (values and values[number] for values in beside)

        def prompt(number: int = number) -> Any:
            values = _values(batch.slice(number, 1), settings.prompt_key)
            return values and values[0]

        seen: dict[Any, int] = {}
        place: list[int | None] = []
        for response in responses_of(texts or (), settings.after, finish_reasons, closed, prompt):
            if response is None:
                place.append(None)
                continue
            if not may_share or response not in seen:
                seen[response] = len(items)
                items.append((response, row))
            place.append(seen[response])
        places.append(place)
    return Lot((batch, all_texts, places), items, batch.nbytes)


def _columns(batch: "pa.RecordBatch", settings: Postprocess) -> dict[str, list[Any]]:
    """Return the columns that the scorer reads."""
    named = scorer_module(settings).columns(settings)
    if named is None:
        wanted = batch.schema.names
    else:
        known = set(batch.schema.names)
        wanted = [*named.values(), *(n for n in optional_columns(settings) if n in known)]
    wanted = [name for name in dict.fromkeys(wanted) if name != settings.responses_key]
    return {name: list(values_of(column_at(batch, name))) for name in wanted}


def _lists(batch: "pa.RecordBatch", name: str) -> list[list[Any] | None] | None:
    """Return each row's list, or None if there is no such column of a type that a run writes."""
    import pyarrow as pa

    if name not in batch.schema.names:
        return None
    column = batch.column(name)
    kind = stored(column.type)
    is_ours = is_list(kind) and (pa.types.is_boolean(kind.value_type) or is_text(kind.value_type))
    return rebuild(column, decode(kind)).to_pylist() if is_ours else None


def _values(batch: "pa.RecordBatch", name: str) -> list[Any] | None:
    """Return the column's values, or None if there is no such column."""
    return list(values_of(batch.column(name))) if name in batch.schema.names else None


def texts_of(column: "pa.Array") -> list[list[str | None] | None]:
    """Return each row's responses; bytes that are not UTF-8 are replaced."""
    import pyarrow as pa

    column = rebuild(column, decode(column.type))
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        rows = [
            None if row.values is None else row.values.cast(pa.binary()).to_pylist()
            for row in column
        ]
        return [
            row and [None if text is None else text.decode(errors="replace") for text in row]
            for row in rows
        ]


def _joined(
    batch: "pa.RecordBatch",
    texts: list[list[str | None] | None],
    rows: list[list[Mark]],
    schema: "pa.Schema",
    tally: Tally,
    settings: Postprocess,
    on_error: Callable[[int, int, Mark, Verdict], None],
) -> "pa.RecordBatch":
    """Return the batch with the columns of its marks."""
    import pyarrow as pa

    verdicts = []
    for row, marks in enumerate(rows, tally.num_rows):
        verdicts.append(tally.add(texts[len(verdicts)] or [], marks))
        for sample, (mark, verdict) in enumerate(zip(marks, verdicts[-1], strict=True)):
            if mark.trace or verdict in (Verdict.error, Verdict.unjudged):
                on_error(row, sample, mark, verdict)
    leaves_out = settings.estimate.unscored is Unscored.leave_out
    added = [
        [[mark.score for mark in row] for row in rows],
        [[verdict.name for verdict in row] for row in verdicts],
        [[mark.error for mark in row] for row in rows],
        [[mark.extracted for mark in row] for row in rows],
        [next((mark.compared for mark in row if mark.compared is not None), None) for row in rows],
        [_pass_rate(row, leaves_out) for row in verdicts],
    ]
    types = [field.type for field in list(schema)[-len(added) :]]
    arrays = [pa.array(values, kind) for values, kind in zip(added, types, strict=True)]
    return pa.RecordBatch.from_arrays([*batch.columns, *arrays], schema=schema)


def _pass_rate(verdicts: list[Verdict], leaves_errors_out: bool) -> float | None:
    """Return the share of right samples among those that count in pass@1; None if none counts."""
    left_out = (Verdict.unjudged, Verdict.error) if leaves_errors_out else (Verdict.unjudged,)
    num = sum(verdict not in left_out for verdict in verdicts)
    return verdicts.count(Verdict.right) / num if num else None

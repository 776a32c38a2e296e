"""Scored rows: the input's batches with the columns that scoring adds, in input order.

Owns the shape of those columns and the count of what was scored. Memory is bounded by the batches
read ahead. Must not know where the rows are written.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rollout.input_columns import values_of
from rollout.prompts import Prompts
from rollout.scoring.pool import Pool, num_cores
from rollout.scoring.process import Item, Lot
from rollout.scoring.scorers import Mark, room
from rollout.scoring.settings import Postprocess

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 64  # progress is told by batches, and a program takes a tenth of a second
MAX_REASONS = 1000  # different ones counted; a reason may quote the response
NULL_RESPONSE = Mark(None, None, "the response is null")


@dataclass(slots=True)
class Tally:
    """What has been scored so far."""

    num_rows: int = 0
    num_failed_rows: int = 0  # without a response
    num_samples: int = 0
    num_scored: int = 0
    num_passed: int = 0
    sum_scores: float = 0.0
    num_rows_any_passed: int = 0
    num_rows_all_passed: int = 0
    sum_pass_rates: float = 0.0
    num_rows_scored: int = 0
    reasons: Counter[str] = field(default_factory=Counter)  # of samples without a score

    @property
    def num_unscored(self) -> int:
        return self.num_samples - self.num_scored

    def add(self, marks: list[Mark], threshold: float) -> float | None:
        """Count a row's samples, and give its pass rate."""
        self.num_rows += 1
        self.num_failed_rows += not marks
        self.num_samples += len(marks)
        scores = [mark.score for mark in marks if mark.score is not None]
        if len(scores) < len(marks):
            self._add_reasons(marks)
        if not scores:
            return None
        num_passed = sum(score >= threshold for score in scores)
        self.num_rows_scored += 1
        self.num_scored += len(scores)
        self.num_passed += num_passed
        self.sum_scores += sum(scores)
        self.num_rows_any_passed += num_passed > 0
        self.num_rows_all_passed += num_passed == len(scores)
        self.sum_pass_rates += num_passed / len(scores)
        return num_passed / len(scores)

    def _add_reasons(self, marks: list[Mark]) -> None:
        for mark in marks:
            if mark.score is None:
                reason = re.sub(r"'[^']*'", "'...'", mark.error or "")
                reason = re.sub(r"\d+", "N", reason)[:120]  # alike but for what they quote
                if reason in self.reasons or len(self.reasons) < MAX_REASONS:
                    self.reasons[reason] += 1


def scored_schema(schema: "pa.Schema", prefix: str) -> "pa.Schema":
    """The input's schema with the added columns."""
    import pyarrow as pa

    added = {
        "scores": pa.list_(pa.float64()),
        "score_errors": pa.list_(pa.string()),
        "extracted": pa.list_(pa.string()),
        "pass_rate": pa.float64(),
    }
    fields = [pa.field(prefix + name, kind) for name, kind in added.items()]
    return pa.schema([*schema, *fields], metadata=schema.metadata)


def scored_batches(
    settings: Postprocess,
    responses: Prompts,
    tally: Tally,
    poll: Callable[[], None] = lambda: None,
) -> "Iterator[pa.RecordBatch]":
    """Stream the input's rows, scored, in input order; `tally` counts them as they come.

    Every batch has `scored_schema`. `poll` is called several times a second and may raise.
    Raises UserError where the scorer can't serve; close the generator to end its workers.
    """
    schema = scored_schema(responses.schema, settings.prefix)
    num_workers = settings.workers or num_cores()
    with Pool(settings, num_workers, poll) as pool:
        lots = (_lot(batch, settings) for batch in responses.batches(BATCH_ROWS))
        for lot in pool.marked(lots):
            batch, places = lot.label
            rows = [[NULL_RESPONSE if i is None else lot.marks[i] for i in row] for row in places]
            yield _joined(batch, rows, schema, tally, settings.pass_threshold)


def _lot(batch: "pa.RecordBatch", settings: Postprocess) -> Lot:
    """A batch's different responses of each row as items, and where each sample's mark is."""
    named = room(settings).columns(settings)
    wanted = batch.schema.names if named is None else list(named.values())
    wanted = [name for name in wanted if name != settings.responses_key]
    columns = {name: list(values_of(batch.column(name))) for name in wanted}
    may_share = settings.scorer != "python"  # a user's function may draw lots
    items: list[Item] = []
    places: list[list[int | None]] = []
    for number, responses in enumerate(texts_of(batch.column(settings.responses_key))):
        row: dict[str, Any] = {name: values[number] for name, values in columns.items()}
        seen: dict[str, int] = {}
        place: list[int | None] = []
        for text in responses or ():
            if text is None:
                place.append(None)
                continue
            if not may_share or text not in seen:
                seen[text] = len(items)
                items.append((text, row))
            place.append(seen[text])
        places.append(place)
    return Lot((batch, places), items, batch.nbytes)


def texts_of(column: "pa.Array") -> list[list[str | None] | None]:
    """Each row's responses; what is no UTF-8 is read with question marks."""
    import pyarrow as pa

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
    rows: list[list[Mark]],
    schema: "pa.Schema",
    tally: Tally,
    threshold: float,
) -> "pa.RecordBatch":
    """The batch with its marks beside it."""
    import pyarrow as pa

    added = [
        [[mark.score for mark in row] for row in rows],
        [[mark.error for mark in row] for row in rows],
        [[mark.extracted for mark in row] for row in rows],
        [tally.add(row, threshold) for row in rows],
    ]
    types = [field.type for field in list(schema)[-len(added) :]]
    arrays = [pa.array(values, kind) for values, kind in zip(added, types, strict=True)]
    return pa.RecordBatch.from_arrays([*batch.columns, *arrays], schema=schema)

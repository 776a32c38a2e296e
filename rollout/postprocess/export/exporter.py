"""The export of scored rows: count them, select among them and write one training file.

Guarantees: batches stream, so memory grows by a few numbers per row; the file appears whole at
`finish` or not at all. Must not know about scorers or where the scored rows go.
"""

from collections import Counter
from typing import TYPE_CHECKING, Any

from rollout.config.sections.export import Format
from rollout.errors import RolloutError, UserError
from rollout.inputs.columns import values_of
from rollout.postprocess.export.agreement import check_row
from rollout.postprocess.export.answers import COMPARED
from rollout.postprocess.export.checks import check_columns, check_settings
from rollout.postprocess.export.destination import export_place
from rollout.postprocess.export.estimates import Counts
from rollout.postprocess.export.rows import Rows
from rollout.postprocess.export.table import Summary
from rollout.rows.column_paths import column_at
from rollout.store.places import Place, Writer
from rollout.system.formats import parquet_writer
from rollout.system.formats.plain_types import decode, rebuild

if TYPE_CHECKING:
    import pyarrow as pa

    from rollout.config.sections.postprocess import Postprocess


class Exporter:
    """Counts and exports scored batches, added in order. The caller ends it: `finish` or `abort`.

    `schema` is that of the scored rows. With `compares`, the scorer compared with the text in
    column compared_with (None: if there is such a column). Raises UserError for settings that do
    not fit the schema.
    """

    def __init__(
        self,
        settings: "Postprocess",
        schema: "pa.Schema",
        compares: bool | None = None,
        place: Place | None = None,
        writer: Writer | None = None,
    ):
        self.estimate, self.export = settings.estimate, settings.export
        self.prefix, self.responses_key = settings.prefix, settings.responses_key
        self._place = place or export_place(settings, settings.export.path)
        self._places = writer or Writer()
        self.counts = Counts(self.estimate, settings.pass_threshold)
        self.summary: Summary | None = None
        self.num_exported = self._row = 0
        self._publication = self._writer = None
        self._rows = rows_of(settings, schema, compares)
        if self._rows:
            self._open()

    def _open(self) -> None:
        if self._place is None:
            raise UserError("export.path is not set; type export.path=train.parquet")
        try:
            self._publication = self._places.written(self._place)
            temporary = self._publication.__enter__()
            self._writer = parquet_writer.Writer(temporary, self._rows.schema)
        except OSError as error:
            raise UserError(
                f"{self._place.shown} can't be written ({error.strerror or error}); type another "
                f"{self._place.key}="
            ) from None

    def add(self, batch: "pa.RecordBatch") -> None:
        """Count one batch of scored rows and write the selected ones.

        Raises UserError if a row's scored columns don't agree.
        """
        names = [f"{self.prefix}{name}" for name in ("scores", "extracted", "pass_rate")]
        verdicts = f"{self.prefix}verdicts"
        wanted = [*names, *self.estimate.group_by, *(self._rows.needed if self._rows else [])]
        wanted += [name for name in (verdicts, self.responses_key) if name in batch.schema.names]
        columns = {name: _values(column_at(batch, name)) for name in dict.fromkeys(wanted)}
        made: list[dict[str, Any]] = []
        origin: list[int] = []
        for number in range(batch.num_rows):
            row = {name: values[number] for name, values in columns.items()}
            check_row(row, self._row, self.prefix, self.responses_key)
            scores, answers, pass_rate = (row[name] for name in names)
            group = tuple(str(row[name]) for name in self.estimate.group_by)
            texts = row.get(self.responses_key)
            num_distinct = len(set(texts)) if isinstance(texts, list) else None
            self.counts.add(scores, answers, row.get(verdicts), group, num_distinct)
            if self._writer:
                rows = self._rows.of(row, scores or [], pass_rate, self._row)
                made += rows
                origin += [number] * len(rows)
            self._row += 1
        if made:
            self._writer.write_table(self._rows.table(made, batch, origin))
            self.num_exported += len(made)

    def finish(self) -> Summary:
        """Publish the file and return the summary.

        Raises UserError if nothing was selected, and RolloutError if another file has appeared at
        the place; the attribute `summary` is set before.
        """
        place = self._place if self._writer else None
        path = place and str(place.path)
        dropped = +self._rows.dropped if self._rows else Counter()
        self.summary = Summary(
            self.counts.groups(),
            dropped,
            self.num_exported,
            path,
            self.estimate.confidence,
            self._rows.notes if self._rows else [],
            self.counts.num_rows_other,
        )
        if self._writer and not self.num_exported:
            self.abort()
            self._places.remove_if_ours(place)  # an earlier selection would be taken for this one
            rules = ", ".join(f"{n:,} {rule}" for rule, n in dropped.most_common())
            raise UserError(
                f"{place.shown} would be empty: of {self._row:,} rows, these were dropped: "
                f"{rules or 'none'}; loosen select.* or draw more samples"
            )
        if self._writer:
            self._writer.close()
            try:
                self._publication.__exit__(None, None, None)
            except FileExistsError:
                raise RolloutError(
                    f"{place.shown} has appeared meanwhile and is left unchanged; type another "
                    f"{place.key}="
                ) from None
            self._writer = None
        return self.summary

    def abort(self) -> None:
        """Leave no file. Does nothing after `finish` or a second time."""
        if self._writer:
            self._writer.close()
            self._writer = None
            reason = RuntimeError("aborted")
            self._publication.__exit__(RuntimeError, reason, None)


def _values(column: "pa.Array") -> list[Any]:
    """Return each row's value, extension types as the types they are stored in."""
    return list(values_of(rebuild(column, decode(column.type))))


def rows_of(
    settings: "Postprocess", schema: "pa.Schema", compares: bool | None = None
) -> Rows | None:
    """Check settings and columns; return the maker of the export's rows, or None without export.

    Raises UserError.
    """
    check_settings(settings)
    check_columns(settings, schema)
    if settings.export.format is Format.none:
        return None
    if compares is None:
        compares = settings.prefix + COMPARED in schema.names
    return Rows(settings, schema, compares)

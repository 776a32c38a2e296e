"""Score the responses of a run and write the scored rows, their figures, errors and an export.

Owns the order of a scoring: check everything, stream the input into one file that appears whole,
then write the figures. Needs no GPU, engine or model.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.config.sections.postprocess import Postprocess
from rollout.errors import RolloutError
from rollout.inputs.input_files import InputFiles, input_files_of
from rollout.postprocess.destinations import ScoringPlaces, scoring_places
from rollout.postprocess.error_file import ErrorFile, error_path
from rollout.postprocess.export.exporter import Exporter
from rollout.postprocess.export.reexport import reexport
from rollout.postprocess.export.table import Summary
from rollout.postprocess.lines import example_lines, fault_lines, reason_lines
from rollout.postprocess.responses import files_of, open_responses
from rollout.postprocess.scored_rows import scored_batches, scored_schema
from rollout.postprocess.scoring.scorers import Verdict, compares_with_text
from rollout.postprocess.tally import Tally
from rollout.store.places import Place, Writer
from rollout.store.publish import row_groups, write_parquet
from rollout.system.console import Console
from rollout.system.disk import expand_home, path_of, write_json_into
from rollout.system.signals import StopRequest, stop_on_signals
from rollout.system.status import Status
from rollout.system.storage.paths import is_remote
from rollout.system.terminal import counted

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Scored:
    """The result of a scoring."""

    path: Path
    tally: Tally
    elapsed_s: float
    summary: Summary
    num_errors: int = 0  # lines in the error file
    fault: RolloutError | None = None  # why nothing was judged or exported

    @property
    def figures(self) -> dict[str, Any]:
        """The figures for summary.json, a sweep's table and an optimizer."""
        tally = self.tally
        return {
            "path": str(self.path),
            "num_scored": tally.num_scored,
            "num_unscored": tally.num_unscored,
            "num_judged": tally.num_judged,
            **tally.counts(),
            **self.summary.figures(),
        }

    def __str__(self) -> str:
        """Return the table, reasons, errors, examples and files as lines for a terminal."""
        tally = self.tally
        lines = [
            f"{counted(tally.num_samples, 'sample')} of {counted(tally.num_rows, 'row')} scored in "
            f"{self.elapsed_s:.1f} s",
            *self.summary.table_lines(),
        ]
        if tally.num_failed_rows:
            lines.append(
                f"no responses: {counted(tally.num_failed_rows, 'row')}, kept without scores"
            )
        lines += [*reason_lines(tally), *fault_lines(tally), *example_lines(tally)]
        lines += self.summary.export_lines()
        if self.num_errors:
            lines.append(f"errors  {error_path(self.path)}: {counted(self.num_errors, 'sample')}")
        return "\n".join([*lines, f"scored  {self.path} (figures: {self.path.stem}.json)"])


def readings_of(settings: Postprocess, files: list[Path], given: str | Path) -> list[InputFiles]:
    """Return the files that a scoring reads: its input, as `given`, and the scorer's own files."""
    given = str(given)
    path = path_of(given)
    is_a_run = not is_remote(path) and (path / "run.json").is_file()  # run.json names its output
    found = [InputFiles("input", tuple(files), "" if is_a_run else expand_home(given))]
    function = (settings.python.function or "").rpartition(":")[0]
    named = {"python.function": function, "json_schema.schema": settings.json_schema.schema}
    return found + [r for key, text in named.items() if text for r in input_files_of(key, text)]


def export_again(settings: Postprocess) -> int:
    """Count and export an input that already has scores; return the exit code."""
    from rollout.config.stages import last_line_of

    console = Console()
    with stop_on_signals(ends_process=True) as stop:
        stop.print_line = console.print_now
        stop.last_line = last_line_of(path_of(settings.export.path or "."))
        summary, error = reexport(settings, stop)
    console.result(summary.text())
    if error:
        raise error
    return 0


def postprocess(
    settings: Postprocess,
    input_path: str | Path,
    output_path: Path,
    console: Console,
    stop: StopRequest | None = None,
    within: tuple[ScoringPlaces, Writer] | None = None,
) -> Scored:
    """Score `input_path` into `output_path`; each file written appears whole or not at all.

    `input_path` takes the same values as `settings.input`. A run passes `within`: the places of
    all files and their writer. Raises UserError before any work if settings, input or output
    can't be used, and Interrupted on a stop request.
    """
    if stop is None:
        with stop_on_signals() as own:
            return postprocess(settings, input_path, output_path, console, own, within)
    began = time.monotonic()
    files = files_of(input_path, Path.cwd())
    responses = open_responses(files, settings)
    if within is None:
        places = scoring_places(settings, output_path, settings.export.path)
        writer = Writer(readings_of(settings, files, input_path))
    else:
        places, writer = within
    writer.check(places)
    schema = scored_schema(responses.schema, settings.prefix)
    compares = compares_with_text(settings)
    exporter = Exporter(settings, schema, compares, places.export, writer)
    tally, fault = Tally(settings.pass_threshold), None
    errors = ErrorFile(places.errors, writer)
    with stop.deferred():
        poll = stop.raise_if_requested
        batches = scored_batches(settings, responses, tally, poll, errors.add)
        try:
            with console.progress() as progress, errors:
                num_rows = responses.num_rows
                exported = _exported(batches, exporter, tally, num_rows, progress, began)
                _write(exported, schema, places.scored, writer)
            try:
                exporter.finish()
            except RolloutError as error:
                fault = error
        finally:
            batches.close()  # ends the workers
            exporter.abort()
        summary = exporter.summary
        with _writing(places.figures), writer.written(places.figures) as temporary:
            write_json_into(temporary, summary.as_json() | tally.as_json())
    fault = _nothing_judged(tally, settings) or fault
    elapsed_s = time.monotonic() - began
    return Scored(places.scored.path, tally, elapsed_s, summary, errors.num_lines, fault)


@contextmanager
def _writing(place: Place) -> Iterator[None]:
    """Name the place in errors raised while writing to it."""
    try:
        yield
    except FileExistsError:
        raise RolloutError(
            f"{place.shown}: another process wrote {place.path} in the meantime; it is left "
            f"unchanged; type another {place.key}="
        ) from None
    except OSError as error:
        reason = error.strerror or error
        raise RolloutError(f"{place.shown} can't be written: {reason}") from error


def _nothing_judged(tally: Tally, settings: Postprocess) -> RolloutError | None:
    """Return the error of a scoring in which no response was right or wrong, else None."""
    if tally.num_judged:
        return None
    if not tally.num_samples:
        return RolloutError("nothing could be judged: no row has a response")
    reason, number = tally.reasons()[0]
    remedy = f"check that scorer={settings.scorer} suits these responses"
    if tally.verdicts[Verdict.cut_off] > tally.num_samples / 2:
        remedy = (
            "draw them with a larger sampling.max_tokens (continue_truncated=true continues them)"
        )
    return RolloutError(
        f"nothing could be judged: none of {tally.num_samples:,} samples is right or wrong "
        f"({number:,} times: {reason}); {remedy}"
    )


def _write(
    batches: "Iterator[pa.RecordBatch]", schema: "pa.Schema", place: Place, writer: Writer
) -> None:
    """Stream the scored rows into one file, which appears whole."""
    import pyarrow as pa

    with _writing(place), writer.written(place) as temporary:
        tables = (pa.Table.from_batches([batch]) for batch in batches)
        write_parquet(temporary, schema, row_groups(tables))


def _exported(
    batches: "Iterator[pa.RecordBatch]",
    exporter: Exporter,
    tally: Tally,
    num_rows: int,
    progress: Any,
    began: float,
) -> "Iterator[pa.RecordBatch]":
    """Yield the batches, each after `exporter` counted and exported it; then show progress."""
    for batch in batches:
        exporter.add(batch)
        yield batch
        fraction = tally.num_rows / num_rows
        elapsed_s = time.monotonic() - began
        left_s = elapsed_s * (1 - fraction) / fraction if elapsed_s > 1 else None
        phrases = [f"{tally.num_rows:,}/{num_rows:,} rows", f"{tally.num_scored:,} scored"]
        if tally.num_unscored:
            phrases.append(f"{tally.num_unscored:,} without a score")
        counts = {"rows": tally.num_rows, "num_rows": num_rows}
        counts |= {"num_scored": tally.num_scored, "num_unscored": tally.num_unscored}
        values = {"phase": "score", **counts, "text": "  ".join(phrases)}
        progress.update(Status(fraction, tuple(phrases), left_s, values=values))

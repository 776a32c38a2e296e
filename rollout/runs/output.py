"""Check where a run publishes its rows, and in which columns."""

import os
from pathlib import Path

from rollout.config.sections.output import Layout, Output
from rollout.config.settings import Settings
from rollout.errors import UserError, did_you_mean
from rollout.inputs.columns import is_list, stored
from rollout.inputs.input_files import InputFiles
from rollout.inputs.prompts import Prompts
from rollout.rows.columns import COLUMNS, RENAMED, Column, output_columns
from rollout.store.directory_output import MAX_FILES
from rollout.store.row_layout import added_names
from rollout.store.run_dir import RECORDS, own_files
from rollout.system.storage.paths import real

# Columns of an output that are read again by their names.
READ_BACK = ("finish_reason", "num_response_tokens", "is_reasoning_closed", "final_response")


def chosen_columns(settings: Settings) -> list[Column]:
    """Return the output's columns. Raises UserError for an unknown name."""
    for name in settings.output.columns:
        if new := RENAMED.get(name):
            raise UserError(
                f"output.columns has no {name!r}, a name that many inputs use: the response "
                f"without its reasoning is called {new!r}; type that"
            )
        if name not in COLUMNS:
            raise UserError(
                f"output.columns has no {name!r}.{did_you_mean(name, COLUMNS)} "
                f"Choose from: {', '.join(COLUMNS)}"
            )
    return output_columns(settings.output.columns)


def refuse_no_place(run_dir: Path) -> None:
    """Raise UserError if the run directory can neither be made nor written to."""
    nearest = next(p for p in (run_dir, *run_dir.parents) if os.path.lexists(p))
    if nearest == run_dir and nearest.is_file():
        return  # is_a_run refuses it
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise UserError(f"run_dir={run_dir}: can't write in {nearest}; type another run_dir=")


def refuse_clash(prompts: Prompts, columns: list[Column], settings: Settings) -> None:
    """Raise UserError if an output column has the name of an input column."""
    prefix = settings.output.prefix
    other = "new_" if prefix != "new_" else "newer_"
    per_sample = settings.output.layout is Layout.per_sample
    example = "response" if per_sample else "responses"
    for name in added_names(columns, per_sample):
        if prefix + name in prompts.schema.names:
            raise UserError(
                f"the input has a column {prefix + name!r} already, which the output would "
                f"overwrite; type output.prefix={other} to add {other}{example}, ... instead"
            )
    _refuse_taken(prompts, [column.name for column in columns], settings, other)


def _refuse_taken(prompts: Prompts, added: list[str], settings: Settings, other: str) -> None:
    """Raise UserError for an input column that scores, exports and pages would take for ours."""
    for name in READ_BACK:
        column = settings.output.prefix + name
        if name in added or column not in prompts.schema.names:
            continue
        per_prompt = settings.output.layout is Layout.per_prompt
        if is_list(stored(prompts.schema.field(column).type)) == per_prompt:
            raise UserError(
                f"the input has its own column {column!r}, which scores, exports and pages would "
                f"take for this run's; type output.prefix={other}, so that the run's have their own"
            )


def refuse_many_files(prompts: Prompts, settings: Settings) -> None:
    """Raise UserError if the published directory could hold more than MAX_FILES."""
    per_sample = settings.output.layout is Layout.per_sample
    num_rows = prompts.num_rows * (settings.sampling.n_samples if per_sample else 1)
    size, fewest = settings.output.partition_rows, -(-num_rows // MAX_FILES)
    if size and size < fewest:
        raise UserError(
            f"output.partition_rows={size} would make {-(-num_rows // size):,} files of "
            f"{num_rows:,} rows; type output.partition_rows={fewest} or more"
        )


def refuse_own_input(prompts: Prompts, run_dir: Path) -> None:
    """Raise UserError if the input is among the run's own files."""
    run_dir = real(run_dir)
    for file in prompts.files:
        path = real(file)
        inside = path.relative_to(run_dir).parts[:1] if path.is_relative_to(run_dir) else ()
        if set(inside) & set(RECORDS):
            raise UserError(
                f"{file}, the input, is where the run keeps its own files; type another run_dir="
            )


def refuse_own_shards(reading: InputFiles, run_dir: Path) -> None:
    """Raise UserError if the next launch would read the run's own files as input."""
    if reading.would_read(run_dir / "shards" / "00000000.parquet"):
        raise UserError(
            f"run_dir={run_dir}: data.input={reading.given} would find the run's own files there; "
            "type another run_dir=, or a data.input= that leaves it out"
        )


def refuse_moved_input(prompts: Prompts, run_dir: Path) -> None:
    """Raise UserError if resume=fresh would move the input aside with the old run."""
    moved = own_files(run_dir)
    for file in prompts.files:
        if file.is_relative_to(run_dir) and file.relative_to(run_dir).parts[0] in moved:
            raise UserError(
                f"resume=fresh would move {file}, the input, aside with the old run; type another "
                "run_dir="
            )


def written_as(output: Output) -> str:
    """Return how the output is laid out, if not as one file with a row for each prompt."""
    each = " (a row for each sample)" if output.layout is Layout.per_sample else ""
    size = output.partition_rows
    return f"{f', files of at most {size:,} rows' if size else ''}{each}"

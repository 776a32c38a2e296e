"""The responses to score: their files, columns and rows in order.

Guarantees: an error of the input as a whole is a UserError, found from the files' footers alone.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rollout.config.sections.data import Data
from rollout.config.sections.postprocess import AnswerIs, Postprocess
from rollout.errors import UserError, did_you_mean
from rollout.inputs.columns import is_list, is_text, short, stored
from rollout.inputs.files import find_files
from rollout.inputs.prompt_record import with_record_from
from rollout.inputs.prompts import Prompts, open_rows
from rollout.postprocess.export.agreement import is_list_of
from rollout.postprocess.export.answers import VERL_KEY
from rollout.postprocess.scored_rows import scored_schema
from rollout.postprocess.scoring.scorers import check_threshold, scorer_module
from rollout.rows.column_paths import field_at
from rollout.store.run_dir import is_a_run
from rollout.store.run_records import published_record
from rollout.system.disk import path_of, read_json
from rollout.system.storage.paths import is_remote

if TYPE_CHECKING:
    import pyarrow as pa

SCORED = "scored.parquet"  # in a run's directory
FILE_ITSELF = "type input=FILE.parquet instead"


def files_of(text: str | Path | None, start_dir: Path) -> list[Path]:
    """Return the files of `input`: a file, a glob, a directory of files, or a run's directory."""
    if not text:
        raise UserError("input is not set; type input=output.parquet or input=RUN_DIR")
    path = path_of(str(text), start_dir)
    if not is_remote(path) and path.is_dir() and is_a_run(path, FILE_ITSELF):
        text = str(_output_of_run(path))
    with _named_input():
        return find_files(str(text), start_dir)


def _output_of_run(run_dir: Path) -> Path:
    """Return the file, or directory of files, that a run published."""
    path = path_of(published_record(run_dir, FILE_ITSELF).get("path", "output.parquet"), run_dir)
    if not path.exists():
        raise UserError(
            f"input={run_dir}: this run has not published its output yet; finish it with "
            f"python -m rollout run_dir={run_dir}, or type input=FILE.parquet"
        )
    return path


@contextmanager
def _named_input() -> Iterator[None]:
    """Name `input` in errors that are about data.input in a run."""
    try:
        yield
    except UserError as error:
        raise UserError(str(error.args[0]).replace("data.input", "input")) from error


def open_responses(files: list[Path], settings: Postprocess) -> Prompts:
    """Check the footers and columns of the input; `.batches()` then streams its rows.

    Raises UserError if pass_threshold is out of range, a file is not parquet, the files' columns
    differ, there are no rows, a column is missing or of a wrong type, or a name is taken.
    """
    check_threshold(settings)
    with _named_input():
        rows = open_rows(files, Data())
    if not rows.num_rows:
        raise UserError(f"input={files[0]} has no rows")
    check_columns(rows.schema, files[0], settings)
    return with_record(rows)


def with_record(rows: Prompts) -> Prompts:
    """Return the rows with the record of what was asked, restored from run.json if it was lost."""
    path = rows.files[0].absolute()
    if is_remote(path):
        return rows
    run = read_json(path.parent / "run.json") or {}
    published = read_json(path.parent / "published.json") or {}
    if path.name not in (published.get("path"), SCORED) or not isinstance(
        run.get("fingerprint"), dict
    ):
        return rows
    return replace(rows, schema=with_record_from(rows.schema, run["fingerprint"]))


def check_columns(
    schema: "pa.Schema", path: Path, settings: Postprocess, given: Sequence[str] | None = None
) -> None:
    """Refuse missing columns, responses that are not lists of texts, and names that are taken.

    `given` lists the file's present columns, if a run is going to add the others.
    """
    needed = {"responses_key": settings.responses_key} | (
        scorer_module(settings).columns(settings) or {}
    )
    for setting, name in needed.items():
        if name == settings.responses_key and setting != "responses_key":
            raise UserError(
                f"{setting}={name} is the column with the responses; type {setting}=COLUMN, the "
                "column to score them by"
            )
        if field_at(schema, name) is None:
            if name == "responses" and {"sample_index", "response"} <= set(schema.names):
                raise UserError(
                    f"{path} has one row per sample (output.layout=per_sample); score the output "
                    "of a run with output.layout=per_prompt"
                )
            names = schema.names if given is None or setting == "responses_key" else given
            listed = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
            has_truth = setting == "answer_key" and field_at(schema, VERL_KEY)
            column = VERL_KEY if has_truth else "COLUMN"
            raise UserError(
                f"{setting}={name}: {path} has columns {listed}."
                f"{did_you_mean(name, names)} Type {setting}={column}{_or_else(settings, setting)}"
            )
    kind = schema.field(settings.responses_key).type
    if not is_list_of(kind, is_text):
        hint = ""
        if is_text(kind):
            hint = "; convert one response per row (output.layout=per_sample) to lists first"
        raise UserError(
            f"responses_key={settings.responses_key}: that column of {path} holds {kind}, but a "
            f"list of texts is needed{hint}"
        )
    _refuse_unused_answer_is(schema, path, settings, needed.get("answer_key"))
    added = scored_schema(schema, settings.prefix).names[len(schema) :]
    if taken := [name for name in added if name in schema.names]:
        raise UserError(
            f"{path} already has a column {taken[0]!r}; type prefix=second_ to add "
            f"second_{taken[0]} beside it, type input= of a file without it, or leave scorer= out "
            "to export the scores it has"
        )


def _refuse_unused_answer_is(
    schema: "pa.Schema", path: Path, settings: Postprocess, answer_key: str | None
) -> None:
    """Refuse answer_is if no answer can be a list; scorer=choice also reads the text `A, C` so."""
    from pyarrow import types

    if settings.answer_is is AnswerIs.one or settings.scorer == "choice":
        return
    problem = f"answer_is={settings.answer_is.name} has no effect"
    if answer_key is None:
        raise UserError(
            f"{problem} on scorer={settings.scorer}, which takes no answers from a column of "
            "lists; leave it out"
        )
    kind = stored(field_at(schema, answer_key).type)
    if not (is_list(kind) or types.is_null(kind)):
        raise UserError(
            f"{problem}: column {answer_key!r} of {path} holds {short(kind)}, one answer per row, "
            "not lists; leave answer_is out, or type answer_key=COLUMN of a column with lists"
        )


def _or_else(settings: Postprocess, setting: str) -> str:
    """Return what to type to score without the answer column, if the scorer can."""
    other = getattr(scorer_module(settings), "MISSING", None)
    return f", or {other}" if other and setting == "answer_key" else ""

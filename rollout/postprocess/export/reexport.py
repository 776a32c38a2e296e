"""Count and export a scored file again; nothing is scored and no worker starts.

`python -m rollout.postprocess input=scored.parquet export.format=dpo export.path=dpo.parquet`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.config.schema import get, keys_of
from rollout.config.sections.data import Data
from rollout.config.sections.postprocess import Postprocess
from rollout.errors import RolloutError, UserError, did_you_mean
from rollout.inputs.files import open_parquet, reading
from rollout.inputs.input_files import InputFiles
from rollout.inputs.prompts import Prompts, open_rows
from rollout.postprocess.export.agreement import check_types
from rollout.postprocess.export.answers import COMPARED
from rollout.postprocess.export.checks import PROMPTS
from rollout.postprocess.export.destination import export_place
from rollout.postprocess.export.exporter import Exporter
from rollout.postprocess.export.table import Summary
from rollout.postprocess.responses import FILE_ITSELF, SCORED, files_of, with_record
from rollout.postprocess.scoring.scorers import SCORERS
from rollout.store.ledger import Ledger
from rollout.store.places import Writer
from rollout.store.run_dir import is_a_run
from rollout.store.run_records import published_record
from rollout.system.disk import expand_home, path_of
from rollout.system.formats.row_batches import group_batches
from rollout.system.signals import StopRequest

if TYPE_CHECKING:
    import pyarrow as pa

NEEDED = ("scores", "verdicts", "extracted", "pass_rate")
COUNTS = ("estimate.", "select.", "export.")
OF_THE_FILE = ("input", "answer_key", "responses_key", "prompt_key", "prefix")


def reexport(settings: Postprocess, stop: StopRequest) -> tuple[Summary, RolloutError | None]:
    """Count and export the rows of `settings.input`, which is already scored.

    Return the summary and the error, if nothing was exported or judged. Raises UserError before any
    work if settings or input can't be used, and at a row whose columns don't agree.
    """
    scored = open_scored(settings)
    _refuse_scoring(settings)
    place = export_place(settings, settings.export.path)
    writer = Writer([InputFiles("input", tuple(scored.files), expand_home(settings.input))])
    writer.check([place] if place else [])
    exporter = Exporter(settings, scored.schema, _compares(settings, scored), place, writer)
    error = None
    with stop.deferred():
        try:
            for batch in scored.batches():
                stop.raise_if_requested()
                exporter.add(batch)
            try:
                exporter.finish()
            except RolloutError as raised:
                error = raised
        finally:
            exporter.abort()
    if not exporter.summary.groups[0].num_judged:
        error = RolloutError(f"no response of {scored.files[0]} was judged right or wrong")
    return exporter.summary, error


def open_scored(settings: Postprocess) -> Prompts:
    """Find the scored rows and check their columns. Raises UserError."""
    run_dir = Path.cwd() / expand_home(settings.input)
    given = settings.input
    if run_dir.is_dir() and is_a_run(run_dir, FILE_ITSELF):
        scored = published_record(run_dir, FILE_ITSELF).get("scored")
        ledger = Ledger(run_dir)
        if scored is None and ledger.lists(run_dir / SCORED):  # from an earlier launch
            raise UserError(_unscored(f"the last output of the run in {settings.input}"))
        path = path_of(scored or SCORED, run_dir)
        given = str(path)
        if scored is not None and path.exists() and not ledger.knows(path):
            raise UserError(
                f"{given} was changed after the run wrote it; type input=FILE to use it anyway, or "
                "score the run again"
            )
        if not path.exists():
            raise UserError(_unscored(f"the run in {settings.input}"))
    rows = open_rows(files_of(given, Path.cwd()), Data())
    if not rows.num_rows:
        raise UserError(f"input={rows.files[0]} has no rows")
    _check(rows.schema, rows.files[0], settings)
    return with_record(rows)


def _check(schema: "pa.Schema", path: Path, settings: Postprocess) -> None:
    names = schema.names
    missing = [name for name in NEEDED if settings.prefix + name not in names]
    prefixes = [name.removesuffix("verdicts") for name in names if name.endswith("verdicts")]
    if missing and prefixes:
        raise UserError(
            f"{path} has no column {settings.prefix + missing[0]!r}, only the scores of another "
            f"prefix; type prefix={prefixes[0] or repr('')}"
        )
    if missing and settings.prefix + "scores" in names:
        raise UserError(
            f"{path} has scores but no column {settings.prefix + missing[0]!r}: an older version "
            "scored it; type scorer=NAME input=OUTPUT.parquet to score the run's output again"
        )
    if missing:
        raise UserError(_unscored(path))
    if settings.responses_key not in names:
        guess = did_you_mean(settings.responses_key, names)
        raise UserError(
            f"responses_key={settings.responses_key}: {path} has no such column.{guess}"
        )
    check_types(schema, path, settings.prefix, settings.responses_key)


def _unscored(what: Any) -> str:
    listed = ", ".join(SCORERS)
    return f"scorer is not set, and {what} has no scores; type scorer=NAME, one of {listed}"


def _refuse_scoring(settings: Postprocess) -> None:
    """Refuse settings that only a scoring uses."""
    for name, key in keys_of(Postprocess).items():
        value = get(settings, name)
        if name.startswith(COUNTS) or name in OF_THE_FILE or value == key.default:
            continue
        shown = str(value).lower() if isinstance(value, bool) else getattr(value, "name", value)
        hint = "export.path= names the training file; " if name == "output.path" else ""
        raise UserError(
            f"{name}={shown} has no effect without scorer=: the input's scores are used unchanged; "
            f"{hint}leave it out, or type scorer=NAME to score"
        )


def _compares(settings: Postprocess, scored: Prompts) -> bool:
    """Return whether the scorer compared with text. Raises UserError if the file lacks that."""
    name, export = settings.prefix + COMPARED, settings.export
    if export.format not in PROMPTS:
        return False
    if name not in scored.schema.names:
        if export.answer_key:
            return False
        raise UserError(
            f"{scored.files[0]} has no column {name!r}, which holds what the scorer compared with; "
            "score it again, or type export.answer_key=COLUMN to use a column unchanged"
        )
    for path in scored.files:
        with reading(path, UserError), open_parquet(path) as file:
            for number in range(file.num_row_groups):
                for batch in group_batches(file, number, [name]):
                    if batch.column(0).null_count < len(batch):
                        return True
    return False

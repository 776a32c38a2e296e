"""The stages around generation in one run: prepare prompts before it, score responses after it.

`prepare.source=` and `postprocess.scorer=` turn them on. Guarantees that files made in the same way
are not made again. Must not know about engines.
"""

import atexit
import hashlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rollout.config.fingerprint import to_plain
from rollout.config.plain_values import PATHS_OR_TEXTS
from rollout.config.schema import get
from rollout.config.sections.export import Format
from rollout.config.sections.output import Layout
from rollout.config.sections.postprocess import Postprocess
from rollout.config.sections.prepare import Prepare
from rollout.config.settings import Settings
from rollout.errors import EmptyExport, RolloutError, UserError
from rollout.inputs.input_files import InputFiles, input_files_of
from rollout.inputs.prompt_record import with_prompt_record
from rollout.inputs.prompts import Prompts
from rollout.postprocess.destinations import ScoringPlaces, scoring_places
from rollout.postprocess.within_run import refuse_no_scorer, with_long_keys
from rollout.rows.columns import Column
from rollout.store.ledger import Ledger
from rollout.store.places import Kind, Place, Writer, place
from rollout.store.shards import arrow_type
from rollout.system.console import Console
from rollout.system.disk import path_of
from rollout.system.signals import StopRequest

if TYPE_CHECKING:
    from rollout.postprocess.postprocess import Scored

PROMPTS, SCORED, TRAIN = "prompts.parquet", "scored.parquet", "train.parquet"
PROMPTS_LEDGER = "prompts.json"


def with_prompts(settings: Settings, console: Console, directory: Path) -> Settings:
    """Make the prompts that `prepare` describes; return the settings with data.input set to them.

    They are written to `directory`, unless prepare.output.path is set. A file there that was made
    in another way stays; the new one gets another name. Raises UserError.
    """
    wanted = settings.prepare
    if wanted.source is None:
        return settings
    from rollout.prepare.prepare import is_made_by, prepare, refuse_in_run

    refuse_in_run(wanted)
    ledger = Ledger(directory, PROMPTS_LEDGER)
    if (given := settings.data.input) is not None:
        path = path_of(given)
        if path.is_file() and is_made_by(path, wanted):  # settings read back from a run
            return settings
        raise UserError(
            "prepare.source and data.input both say where the prompts come from; leave one out"
        )
    if settings.dry_run:  # writes nothing to `directory`
        directory = Path(tempfile.mkdtemp(prefix="rollout-"))
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
        ledger = None
    if wanted.output.path and not settings.dry_run:
        path = path_of(wanted.output.path)
    else:
        path = _prompts_path(directory, wanted)
    if path.exists() and is_made_by(path, wanted):
        if ledger and ledger.lists(path) and not ledger.knows(path):
            raise UserError(
                f"{path}, the prompts, was changed since prepare.source={wanted.source} made it; "
                f"remove it to make it again, or type data.input={path} instead of prepare.*"
            )
    else:
        made = prepare(wanted, path, console, Path.cwd(), ledger=ledger, section="prepare.")
        console.note(f"prepared {made.tally.num_written:,} prompts: {path}")
    data = replace(settings.data, input=str(path), prompt_key=wanted.prompt_key)
    return replace(settings, data=data)


def _prompts_path(directory: Path, wanted: Prepare) -> Path:
    """Return the path of prompts already made by `wanted`, else a free one."""
    from rollout.prepare.prepare import is_made_by

    text = json.dumps(to_plain(wanted), sort_keys=True)
    mark = hashlib.blake2b(text.encode(errors="replace"), digest_size=4).hexdigest()
    more = (f"prompts-{mark}-{n}.parquet" for n in itertools.count(2))
    paths = (directory / n for n in itertools.chain((PROMPTS, f"prompts-{mark}.parquet"), more))
    return next(p for p in paths if not os.path.lexists(p) or is_made_by(p, wanted))


def scoring_of(settings: Settings) -> Postprocess | None:
    """Return the settings that score this run's output; None if it is not scored."""
    wanted = settings.postprocess
    if wanted.scorer is None:
        return None
    own, prefix = "responses", settings.output.prefix
    key = prefix + own if wanted.responses_key == own else wanted.responses_key
    prompt_key = settings.data.prompt_key if wanted.prompt_key == "prompt" else wanted.prompt_key
    return replace(wanted, responses_key=key, prompt_key=prompt_key)


@dataclass(frozen=True, slots=True)
class RunPlaces:
    """The files that a run writes for its user; iterates over all of them."""

    output: Place
    scoring: ScoringPlaces | None

    def __iter__(self) -> Iterator[Place]:
        yield self.output
        yield from self.scoring or ()


def run_places(settings: Settings, run_dir: Path) -> RunPlaces:
    """Return where the run writes its output and scores. Raises UserError for unusable places."""
    output, wanted = settings.output, settings.postprocess
    is_many = output.partition_rows is not None
    own = run_dir / ("output" if is_many else "output.parquet")
    kind = Kind.directory if is_many else Kind.parquet
    path = path_of(output.path) if output.path else own
    published = place("output.path", output.path or path, path, kind, output.overwrite)
    if wanted.scorer is None:
        return RunPlaces(published, None)
    given = wanted.output.path
    scored = path_of(given) if given else run_dir / SCORED
    export = wanted.export.path
    if export is None and wanted.export.format is not Format.none:
        export = str(run_dir / TRAIN)
    return RunPlaces(published, scoring_places(wanted, scored, export, "postprocess."))


def named_files(settings: Settings) -> list[InputFiles]:
    """Return the files other than the input that settings name, which must not be overwritten."""
    found = []
    for key in PATHS_OR_TEXTS:
        text = get(settings, key)
        if key == "postprocess.python.function" and text:
            text = text.rpartition(":")[0]
        found += input_files_of(key, text) if isinstance(text, str) else []
    return found


def refuse_unscorable(settings: Settings, prompts: Prompts, columns: list[Column]) -> None:
    """Raise UserError before anything starts if the output of this run could not be scored."""
    wanted = scoring_of(settings)
    if settings.postprocess.input is not None:
        raise UserError(
            "postprocess.input: a run scores its own output; to score another file, type "
            f"python -m rollout.postprocess input={settings.postprocess.input} scorer=..."
        )
    if wanted is None:
        return
    import pyarrow as pa

    from rollout.postprocess.export.exporter import rows_of
    from rollout.postprocess.responses import check_columns
    from rollout.postprocess.scored_rows import scored_schema
    from rollout.postprocess.scoring.scorers import (
        check_threshold,
        compares_with_text,
        scorer_module,
    )

    scorer_module(wanted)
    if settings.output.layout is Layout.per_sample:
        raise UserError("postprocess.scorer needs lists of responses; leave output.layout out")
    added = [pa.field(settings.output.prefix + c.name, arrow_type(c)) for c in columns]
    schema = pa.schema([*prompts.schema, *added])
    asked = with_prompt_record(schema, prompts.builder)
    try:
        check_threshold(wanted)
        check_columns(schema, prompts.files[0], wanted, prompts.schema.names)
        rows_of(wanted, scored_schema(asked, wanted.prefix), compares_with_text(wanted))
    except UserError as error:  # with the keys of python -m rollout.postprocess
        raise UserError(with_long_keys(str(error.args[0]))) from error
    refuse_no_scorer(settings)


def refuse_failing_scorer(settings: Settings) -> None:
    """Raise UserError if a worker can't import the user's function."""
    wanted = scoring_of(settings)
    if wanted is None or wanted.scorer != "python":
        return
    from rollout.postprocess.scoring.pool import Pool

    try:
        with Pool(wanted, num_workers=1):
            pass
    except UserError as error:
        raise UserError(with_long_keys(str(error.args[0]))) from error


def score(
    settings: Settings, places: RunPlaces, writer: Writer, console: Console, stop: StopRequest
) -> "Scored | None":
    """Score the published output, replacing scores of earlier launches of this run.

    Raises RolloutError if the scorer fails, or a file has appeared at one of the places; the
    responses are published then.
    """
    wanted = scoring_of(settings)
    if wanted is None:
        return None
    from rollout.postprocess.postprocess import postprocess

    try:
        within = places.scoring, writer
        scored = places.scoring.scored.path
        found = postprocess(wanted, places.output.path, scored, console, stop, within)
    except UserError as error:  # checked before the run started, so it is not the user's
        message = with_long_keys(str(error.args[0]))
        raise RolloutError(f"the responses are published, but not scored: {message}") from error
    if isinstance(found.fault, UserError):  # the export is empty: the command is correct
        message = with_long_keys(str(found.fault.args[0]))
        fault = EmptyExport(f"the responses are published and scored, but not exported: {message}")
        return replace(found, fault=fault)
    return found

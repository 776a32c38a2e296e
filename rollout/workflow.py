"""The stages around a rollout, in one run: prompts are made before it, responses scored after it.

`prepare.source=` and `postprocess.scorer=` ask for them. Promises that what stands already, made
in the same way, is not made again. Knows no engine.
"""

import atexit
import hashlib
import json
import re
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rollout.asked import with_asked
from rollout.config import Layout, Settings
from rollout.console import Console
from rollout.disk import read_json
from rollout.errors import UserError
from rollout.fingerprint import to_plain
from rollout.overrides import at_home
from rollout.prompts import Prompts
from rollout.records import Column
from rollout.schema import keys_of
from rollout.scoring.settings import Postprocess
from rollout.shards import arrow_type
from rollout.signals import StopRequest
from rollout.training.settings import Format

if TYPE_CHECKING:
    from rollout.postprocess import Scored

PROMPTS, SCORED, TRAIN = "prompts.parquet", "scored.parquet", "train.parquet"
CHECKED_AT_ONCE = ("exact", "choice", "regex", "json_schema", "code")  # import nothing heavy


def with_prompts(settings: Settings, console: Console, directory: Path) -> Settings:
    """The settings with data.input at the prompts that `prepare` asks for, which are made.

    They lie in `directory`, unless prepare.output.path says otherwise. A file there that was made
    in another way stays, and another name is taken. Raises UserError.
    """
    wanted = settings.prepare
    if wanted.source is None:
        return settings
    from rollout.prepare import is_made_by, prepare, refuse_in_run

    refuse_in_run(wanted)
    if (given := settings.data.input) is not None:
        path = Path(at_home(given))
        if path.is_file() and is_made_by(path, wanted):  # a run's own config, read back
            return settings
        raise UserError(
            "prepare.source and data.input both say where the prompts come from; leave one out"
        )
    if settings.dry_run:  # which writes nothing
        directory = Path(tempfile.mkdtemp(prefix="rollout-"))
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
    path = directory / PROMPTS
    if wanted.output.path and not settings.dry_run:
        path = Path(at_home(wanted.output.path)).absolute()
    elif path.exists() and not is_made_by(path, wanted):
        text = json.dumps(to_plain(wanted), sort_keys=True)
        mark = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
        path = directory / f"prompts-{mark}.parquet"
    if not (path.exists() and is_made_by(path, wanted)):
        path.parent.mkdir(parents=True, exist_ok=True)
        made = prepare(wanted, path, console, Path.cwd())
        console.note(f"prepared {made.tally.num_written:,} prompts: {path}")
    data = replace(settings.data, input=str(path), prompt_key=wanted.prompt_key)
    return replace(settings, data=data)


def scoring_of(settings: Settings) -> Postprocess | None:
    """How this run's own output is scored; None where it is not."""
    wanted = settings.postprocess
    if wanted.scorer is None:
        return None
    own, prefix = "responses", settings.output.prefix
    key = prefix + own if wanted.responses_key == own else wanted.responses_key
    prompt_key = settings.data.prompt_key if wanted.prompt_key == "prompt" else wanted.prompt_key
    return replace(wanted, responses_key=key, prompt_key=prompt_key)


def scored_path(settings: Settings, run_dir: Path) -> Path:
    """Where the scored rows go."""
    given = settings.postprocess.output.path
    return Path(at_home(given)).absolute() if given else run_dir / SCORED


def scoring_files(settings: Settings, run_dir: Path) -> dict[str, Path]:
    """The files that scoring writes outside the run's directory, by the key that says so."""
    wanted = settings.postprocess
    said = {"output.path": wanted.output.path, "export.path": wanted.export.path}
    if wanted.scorer is None:
        return {}
    paths = {f"postprocess.{k}": Path(at_home(v)).absolute() for k, v in said.items() if v}
    return {key: path for key, path in paths.items() if path.parent != run_dir}


def refuse_taken(settings: Settings, run_dir: Path, output: Path) -> None:
    """Raise UserError where scoring would write over a file that is not this run's."""
    known = (read_json(run_dir / "published.json") or {}).get("scored", {})
    may = {
        "postprocess.output.path": settings.postprocess.output.overwrite,
        "postprocess.export.path": settings.postprocess.export.overwrite,
    }
    for key, path in scoring_files(settings, run_dir).items():
        if path == output:
            raise UserError(f"{key}={path} is the run's own output; type another {key}=")
        if path.exists() and not may[key] and known.get(key) != str(path):
            raise UserError(
                f"{key}={path} exists already; type another {key}=, or "
                f"{key.removesuffix('path')}overwrite=true to replace it"
            )


def refuse_unscorable(settings: Settings, prompts: Prompts, columns: list[Column]) -> None:
    """Raise UserError where the output of this run could not be scored, before anything starts."""
    wanted = scoring_of(settings)
    if wanted is None:
        if settings.postprocess.input is not None:
            raise UserError(
                "postprocess.input: a run scores its own output; to score another file type "
                f"python -m rollout.postprocess input={settings.postprocess.input} scorer=..."
            )
        return
    import pyarrow as pa

    from rollout.scoring.scored import scored_schema
    from rollout.scoring.scorers import check_threshold, compares_with_text, room
    from rollout.scoring.sources import check_columns
    from rollout.training.handover import rows_of

    scorer = room(wanted)
    if settings.output.layout is Layout.per_sample:
        raise UserError("postprocess.scorer needs lists of responses; leave output.layout out")
    added = [pa.field(settings.output.prefix + c.name, arrow_type(c)) for c in columns]
    schema = pa.schema([*prompts.schema, *added])
    asked = with_asked(schema, prompts.wording)
    try:
        check_threshold(wanted)
        check_columns(schema, prompts.files[0], wanted, prompts.schema.names)
        rows_of(wanted, scored_schema(asked, wanted.prefix), compares_with_text(wanted))
        if wanted.scorer in CHECKED_AT_ONCE:
            scorer.load(wanted)
    except UserError as error:  # whose keys are those of python -m rollout.postprocess
        raise UserError(_with_long_keys(str(error.args[0]))) from error


def _with_long_keys(message: str) -> str:
    """The message with the keys of python -m rollout.postprocess as a run has them."""
    names = list(keys_of(Postprocess))
    sections = {name.partition(".")[0] for name in names if "." in name}
    keys = [rf"{re.escape(name)}\b" if "." in name else f"{name}=" for name in names]
    keys += [rf"{section}\.\*" for section in sections]
    return re.sub(rf"(?<![\w./])(?:{'|'.join(keys)})", r"postprocess.\g<0>", message)


def score(
    settings: Settings, output: Path, run_dir: Path, console: Console, stop: StopRequest
) -> "Scored | None":
    """Score what the run published; the file of an earlier launch of this run is replaced.

    Raises UserError where the scorer can't serve; the responses are published then.
    """
    wanted = scoring_of(settings)
    if wanted is None:
        return None
    from rollout.postprocess import postprocess

    path = scored_path(settings, run_dir)
    export = wanted.export
    if export.format is not Format.none and export.path is None:
        export = replace(export, path=str(run_dir / TRAIN))
    # What stands there is of an earlier launch of this run: refuse_taken saw to that.
    whole = replace(wanted.output, overwrite=True)
    wanted = replace(wanted, output=whole, export=replace(export, overwrite=True))
    return postprocess(wanted, output, path, console, stop)

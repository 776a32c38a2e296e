"""The settings section of a run's page: commands, configuration, versions and engine."""

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from glob import has_magic
from pathlib import Path
from typing import Any

from rollout.config.names import INPUT_KEYS, flatten
from rollout.config.overrides import override
from rollout.config.recorded import Recorded, take_starred
from rollout.errors import UserError
from rollout.errors.secret_texts import STARS, without_secrets
from rollout.report.page import Block, Code, Facts, Note
from rollout.report.run.records import AttemptRecords, RunRecords
from rollout.runs.command import command_in, place_word, python
from rollout.runs.run_settings import recorded
from rollout.store.run_dir import is_a_sweep
from rollout.system.disk import path_of
from rollout.system.storage.paths import is_remote, real

PLACES = ("run_dir=", "hydra.run.dir=", "hydra.sweep.dir=", "resume=")
OUTPUTS = ("output.path", "postprocess.output.path", "postprocess.export.path")
SWEEP_WORDS = ("-m", "--multirun", "hydra.mode=MULTIRUN")


def settings_blocks(records: RunRecords) -> list[Block]:
    """Return commands, the effective configuration, and what it ran on."""
    blocks: list[Block] = [command_to_repeat(records)]
    if text := next((a.settings_text for a in reversed(records.attempts) if a.settings_text), ""):
        blocks.append(Code(text, "Effective configuration of the last launch", is_folded=True))
    else:
        blocks.append(Note("The configuration of the last launch is not recorded."))
    facts = [*_engine_facts(records), *_machine_facts(records)]
    return [*blocks, Facts(facts)] if facts else blocks


def argv_of(records: RunRecords) -> Sequence[str] | None:
    """Return the words that were typed; None from Python, or if they are unknown."""
    found = records.first.get("argv")
    is_typed = isinstance(found, list) and all(isinstance(word, str) for word in found)
    return found if is_typed else None


def command_to_resume(records: RunRecords) -> list[Block]:
    """Return the command that resumes the run where it is now, or how to do it from Python."""
    argv, run_dir = argv_of(records), records.run_dir
    if argv is None:
        return [Note(f"It was started from Python: call it again with run_dir={str(run_dir)!r}.")]
    is_sweep = any(word in SWEEP_WORDS for word in argv)
    if _has_moved(records) and not (is_sweep and is_a_sweep(run_dir.parent)):
        with suppress(UserError):  # a damaged record: the typed words are all there is
            if found := recorded(run_dir, Path.cwd()):
                return _resume_moved(records, found, is_sweep)
    text = command_in(list(argv), run_dir.parent if is_sweep else run_dir, _started_in(records))
    what = "This resumes its sweep. " if is_sweep else ""
    return [Code(without_secrets(text), f"{what}Type{_where(records)}:")]


def _has_moved(records: RunRecords) -> bool:
    """Whether the last launch was in another directory; False if that is not recorded."""
    before = records.setting("run_dir")
    return isinstance(before, str) and real(Path(before)) != real(records.run_dir)


def _resume_moved(records: RunRecords, found: Recorded, is_point: bool) -> list[Block]:
    """Return the command for the directory alone: it finds relative paths from anywhere."""
    text = shlex.join([python(), "-m", "rollout", place_word(records.run_dir.absolute())])
    text = " ".join([text, *(shlex.quote(f"{key}={STARS}") for key in found.missing)])
    moved = f"It was moved or copied from {records.setting('run_dir')}"
    moved += ", and is resumed without its sweep" if is_point else ""
    secrets = f", with your secrets instead of {STARS}" if found.missing else ""
    label = f"{moved}. Type in any directory{secrets}:"
    return [Code(without_secrets(text), without_secrets(label)), *_missing_input(found)]


def _missing_input(found: Recorded) -> list[Block]:
    """Return a note if the input is not where the record has it; not known for one on a store."""
    text = found.values.get("data.input")
    if not isinstance(text, str) or is_remote(text) or has_magic(text):
        return []
    try:
        path = path_of(text)
        is_there = path.exists()
    except (OSError, ValueError, UserError):
        path, is_there = text, False
    note = Note(without_secrets(f"Its input {path} is not there; put it back before you resume."))
    return [] if is_there else [note]


def command_to_repeat(records: RunRecords) -> Code | Note:
    """Return the command that makes the same run anew in another directory."""
    argv, run_dir = argv_of(records), records.run_dir
    if argv is None:
        return Note("It was started from Python, so there is no command to repeat it.")
    is_sweep = any(word in SWEEP_WORDS for word in argv)
    launch = next((a for a in reversed(records.attempts) if a.settings), None)
    if launch is not None and not is_sweep and _needs_record(argv, records):
        return _repeat_record(launch, run_dir.absolute())
    words = [word for word in argv if not word.lstrip("+").startswith(PLACES)]
    directory = run_dir.parent if is_sweep else run_dir
    typed = [word.partition("=")[2] for word in argv if word.startswith("run_dir=")]
    text = command_in(words, _beside(Path(typed[-1]) if typed else directory))
    what = "its sweep" if is_sweep else "it"
    label = f"To repeat {what} in a new directory, type{_where(records)}:"
    return Code(without_secrets(text), label)


def _needs_record(argv: Sequence[str], records: RunRecords) -> bool:
    """Whether the typed words may be too few: a resume takes the others from the run."""
    keys = {word.lstrip("+").partition("=")[0] for word in argv}
    has_input = bool(keys & (INPUT_KEYS | {"config_file"}))
    return len(records.attempts) > 1 or ("resume" in keys and not has_input)


def _repeat_record(launch: AttemptRecords, run_dir: Path) -> Code:
    """Return the command that takes all settings from the record of a launch."""
    settings = flatten(dict(launch.settings))
    missing = take_starred(settings)
    file = run_dir / "attempts" / str(launch.number) / "config.yaml"
    words = [_word("config_file", file)]
    words += [f"{key}=null" for key in OUTPUTS if settings.get(key) is not None]
    words += ["resume=auto"] if settings.get("resume", "auto") != "auto" else []
    text = command_in(words, _beside(run_dir))
    text = " ".join([text, *(shlex.quote(f"{key}={STARS}") for key in missing)])
    where = _in(launch.environment.get("cwd"))
    secrets = f", with your secrets instead of {STARS}" if missing else ""
    same = "with the settings of its last launch"
    label = f"To repeat it in a new directory {same}, type{where}{secrets}:"
    return Code(without_secrets(text), label)


def _word(key: str, path: Path) -> str:
    """Return `key=path`, in quotes only if it needs them."""
    is_plain = re.fullmatch(r"[\w./-]+", str(path)) is not None
    return f"{key}={path}" if is_plain else override(key, str(path))


def _beside(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}-again")


def _where(records: RunRecords) -> str:
    """Return where it was typed: relative paths of the command start there."""
    return _in(records.first.get("cwd"))


def _in(cwd: Any) -> str:
    if not isinstance(cwd, str):
        return ""
    is_there = os.path.isdir(cwd)  # noqa: PTH112  Path's raises for some texts
    gone = "" if is_there else ", which is not there now: its relative paths start there"
    return f" in {shlex.quote(cwd)}{gone}"


def _started_in(records: RunRecords) -> Path:
    """Return where it was typed; if that is not recorded, the root, where no run is."""
    cwd = records.first.get("cwd")
    return Path(cwd if isinstance(cwd, str) else "/")


def _engine_facts(records: RunRecords) -> list[tuple[str, str]]:
    names = {
        "name": "engine",
        "version": "engine version",
        "stepped_down": "lowered to save memory",
    }
    found = records.engine.items()
    return [(names.get(key, key), text) for key, value in found if (text := _text(value))]


def _machine_facts(records: RunRecords) -> list[tuple[str, str]]:
    environment = records.last.environment if records.last else {}
    facts = [("rollout", records.first.get("rollout"))]
    facts += [(name, environment.get(name)) for name in ("machine", "host", "platform", "python")]
    versions = environment.get("versions")
    facts += list(versions.items()) if isinstance(versions, dict) else []
    return [(name, text) for name, value in facts if (text := _text(value))]


def _text(value: Any) -> str:
    """Return a fact as text; empty for what is unset."""
    if value is None or value == [] or value == {}:
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(one)}" for name, one in value.items() if _text(one))
    if isinstance(value, list):
        return "; ".join(map(_text, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return without_secrets(str(value))

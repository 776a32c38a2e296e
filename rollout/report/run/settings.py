"""The settings section of a run's page: commands, configuration, versions and engine. Pure."""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rollout.config.names import INPUT_KEYS, flatten
from rollout.config.overrides import override
from rollout.config.recorded import take_starred
from rollout.errors.secret_texts import STARS, without_secrets
from rollout.report.page import Block, Code, Facts, Note
from rollout.report.run.records import AttemptRecords, RunRecords
from rollout.runs.command import command_in

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


def command_to_resume(records: RunRecords) -> Code | Note:
    """Return the command that resumes the run, or how to do it from Python."""
    argv, run_dir = argv_of(records), records.run_dir
    if argv is None:
        return Note(f"It was started from Python: call it again with run_dir={str(run_dir)!r}.")
    is_sweep = any(word in SWEEP_WORDS for word in argv)
    text = command_in(list(argv), run_dir.parent if is_sweep else run_dir)
    what = "This resumes its sweep. " if is_sweep else ""
    return Code(without_secrets(text), f"{what}Type{_where(records)}:")


def command_to_repeat(records: RunRecords) -> Code | Note:
    """Return the command that makes the same run anew in another directory."""
    argv, run_dir = argv_of(records), records.run_dir
    if argv is None:
        return Note("It was started from Python, so there is no command to repeat it.")
    is_sweep = any(word in SWEEP_WORDS for word in argv)
    recorded = next((a for a in reversed(records.attempts) if a.settings), None)
    if recorded is not None and not is_sweep and _needs_record(argv, records):
        return _repeat_record(recorded, run_dir.absolute())
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


def _repeat_record(recorded: AttemptRecords, run_dir: Path) -> Code:
    """Return the command that takes all settings from the record of a launch."""
    settings = flatten(dict(recorded.settings))
    missing = take_starred(settings)
    file = run_dir / "attempts" / str(recorded.number) / "config.yaml"
    words = [_word("config_file", file)]
    words += [f"{key}=null" for key in OUTPUTS if settings.get(key) is not None]
    words += ["resume=auto"] if settings.get("resume", "auto") != "auto" else []
    text = command_in([*words, _word("run_dir", _beside(run_dir))], run_dir)
    text = " ".join([text, *(shlex.quote(f"{key}={STARS}") for key in missing)])
    cwd = recorded.environment.get("cwd")
    where = f" in {shlex.quote(cwd)}" if isinstance(cwd, str) else ""
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
    cwd = records.first.get("cwd")
    return f" in {shlex.quote(cwd)}" if isinstance(cwd, str) else ""


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

"""The sources of settings and their precedence: presets < YAML file < environment < typed.

Turns the lower sources into Hydra overrides before Hydra starts, so that one mechanism composes,
checks types and records. A typed preset also takes precedence over the file and the environment for
the keys it sets. Guarantees a note to the user about settings that were not typed. Must not know
how Hydra composes, or what the settings are used for.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rollout.config.command_line import read_command_line
from rollout.config.fingerprint import names_parameters, redacted
from rollout.config.interpolation import alone
from rollout.config.names import (
    FILLED_IN,
    GROUPS,
    INPUT_KEYS,
    bag_of,
    declared,
    flatten,
    known_keys,
)
from rollout.config.overrides import override, parse, parts, unquoted
from rollout.config.plain_values import check_run_dir, plain, short
from rollout.config.presets import implied_presets, preset_keys, preset_names
from rollout.config.recorded import ReadRun, refuse_missing, take_starred
from rollout.config.settings import SECTIONS
from rollout.errors import UserError, did_you_mean
from rollout.errors.secret_texts import remember, remember_whole, without_secrets
from rollout.system.console import Mode
from rollout.system.disk import expand_home, path_of
from rollout.system.formats.plain_yaml import read_yaml

ENVIRONMENT = {
    "MODEL_PATH": "model.model_path",
    "INPUT": "data.input",
    "OUTPUT": "output.path",
    "N_SAMPLES": "sampling.n_samples",
    "MAX_TOKENS": "sampling.max_tokens",
    "TEMPERATURE": "sampling.temperature",
    "TOP_P": "sampling.top_p",
    "TENSOR_PARALLEL_SIZE": "engine.tensor_parallel_size",
    "GPU_MEMORY_UTILIZATION": "engine.gpu_memory_utilization",
    "MAX_NUM_SEQS": "engine.max_num_seqs",
}


# With nothing else typed, the command resumes a run.
RESUMING = {
    "run_dir", "resume", "retry_failed", "continue_truncated", "dry_run", "console",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Given:
    """The settings from all sources, for Hydra."""

    words: list[str]  # flags, then overrides, lowest precedence first
    config_dir: Path | None  # the user's own presets
    notes: list[str]  # for the user: which settings were not typed
    from_environment: list[str]  # the environment's settings as overrides
    mode: Mode = Mode.auto  # of the console: needed before settings are composed


def gather(
    argv: list[str],
    environment: Mapping[str, str],
    start_dir: Path,
    read_run: ReadRun | None = None,
) -> Given:
    """Merge the command line, the environment and `config_file=`.

    Without input, use the settings of the last launch in run_dir, as `read_run` returns them, or
    the demo's if there is no run; without `read_run`, neither. Raises UserError for an unknown
    key, preset or flag.
    """
    for word, starred in zip(argv, redacted(argv), strict=True):
        if word != starred:  # so that no message repeats it
            remember_whole(unquoted(parts(word)[1]))
    line = read_command_line(argv, start_dir)
    typed = dict(map(parts, line.overrides))
    lower: dict[str, Any] = {}
    notes = []
    if line.config_file:
        lower |= read_config_file(path_of(line.config_file, start_dir))
        refuse_missing(take_starred(lower), typed, line.config_file, "config_file")
        notes.append(f"from {line.config_file}: {', '.join(lower)}")
    for key, value in lower.items():
        bag = bag_of(key)
        if bag and names_parameters(bag.name):
            remember({key.rpartition(".")[2]: value})
    if named := {name: environment[name] for name in ENVIRONMENT if environment.get(name)}:
        lower |= {ENVIRONMENT[name]: _from_text(name, text) for name, text in named.items()}
        shown = " ".join(without_secrets(f"{n}={t}") for n, t in named.items())
        notes.append(f"from the environment: {shown}")
    if named_run := _named_run(typed, lower):
        check_run_dir(named_run)
    if isinstance(run_dir := lower.get("run_dir"), str):
        lower["run_dir"] = expand_home(run_dir)  # Hydra creates a sweep's directory
    given = {*lower, *typed}
    has_input = bool(given & INPUT_KEYS)
    before = None
    if read_run and not has_input and not line.is_sweep:
        if run_dir := _named_run(typed, lower):
            before = read_run(start_dir / expand_home(run_dir), start_dir, {*typed, *lower})
    own = before.values if before else {}
    lower = _without_preset_keys(own | lower, typed, line.config_dir)
    filled_in = before.filled_in(own.keys() & lower.keys() - given, given) if before else []
    lower = implied_presets({*lower, *typed}) | lower
    if before:
        notes.insert(0, f"from run_dir={before.run_dir}: the settings of its last launch")
    elif read_run and not has_input:
        if given <= RESUMING and (run_dir := _named_run(typed, lower)):
            raise UserError(_no_run(run_dir, start_dir))
        # Without input: the demo. A sampling preset that was given keeps its values.
        lower = ({"data": "example"} if "sampling" in given else {"experiment": "demo"}) | lower
    words = [*line.flags, *filled_in, *(override(k, v) for k, v in lower.items()), *line.overrides]
    texts = {ENVIRONMENT[name]: text for name, text in named.items()}
    from_environment = [
        f"{key}={texts[key]}" if re.fullmatch(r"[\w./-]+", texts[key]) else override(key, value)
        for key, value in lower.items()
        if key in texts and key not in typed
    ]
    return Given(words, line.config_dir, notes, from_environment, _mode(typed, lower))


def _mode(typed: dict[str, str], lower: dict[str, Any]) -> Mode:
    """Return how to talk to the user; a value that is no mode is refused with the other settings.

    Raises UserError for a sweep over modes.
    """
    value = lower.get("console")
    if "console" in typed:
        parsed = parse(f"console={typed['console']}")
        if parsed is not None and parsed.is_sweep_override():
            raise UserError("console can't differ between points; type console=json, for example")
        value = parsed.value() if parsed is not None else None
    return Mode.__members__.get(value, Mode.auto) if isinstance(value, str) else Mode.auto


def _named_run(typed: dict[str, str], lower: dict[str, Any]) -> str | None:
    """Return the run_dir that was given; None if it is empty or known only after composition."""
    run_dir = lower.get("run_dir")
    if "run_dir" in typed:
        parsed = parse(f"run_dir={typed['run_dir']}")
        run_dir = None if parsed is None else parsed.value()
        run_dir = alone(run_dir) if isinstance(run_dir, str) else run_dir
    return run_dir if isinstance(run_dir, str) and run_dir else None


def _no_run(run_dir: str, start_dir: Path) -> str:
    """Return the message for a command that names only a run to resume where there is none."""
    directory = start_dir / expand_home(run_dir)
    names: list[str] = []
    with suppress(OSError):  # the names only make a hint
        names = [path.name for path in directory.parent.iterdir() if path.is_dir()]
    near = did_you_mean(directory.name, [name for name in names if name != directory.name])
    return (
        f"run_dir={short(run_dir)} holds no run to resume.{near} To begin one there, type "
        "data.input=FILE.parquet, or experiment=demo for the example prompts"
    )


def read_config_file(path: Path) -> dict[str, Any]:
    """Return the settings of a plain YAML file by dotted key. Raises UserError naming a bad key.

    Also reads a run's attempts/N/config.yaml.
    """
    try:
        if path.exists() and not path.is_file():  # reading a device may never end
            raise UserError(f"config_file={path} can't be read: it is not a file")
        content = read_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"config_file={path}: no such file") from None
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"config_file={short(str(path))} can't be read: {reason}") from error
    except ValueError as error:
        raise UserError(f"config_file={path} {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"config_file={path} must hold sections: {', '.join(SECTIONS)}")
    for name in FILLED_IN:
        content.pop(name, None)
    try:
        flat = flatten(content)
        for key, value in flat.items():
            _check(key, value)
    except UserError as error:
        raise UserError(f"config_file={path}: {error}") from None
    return flat


def _check(key: str, value: Any) -> None:
    if key not in GROUPS:
        if declared(key, value).is_bag:
            plain(key, value)
    elif not isinstance(value, str):
        raise UserError(
            f"{key} must be a preset's name or hold settings, not {value!r}; "
            f"choose from: {', '.join(preset_names(key))}"
        )


def _from_text(name: str, text: str) -> str | int | None:
    """Convert an environment variable; omegaconf converts texts to numbers, but not to null."""
    kind = known_keys()[ENVIRONMENT[name]].type
    if kind == int | str and text.strip().isdecimal():
        return int(text)
    is_text = kind in (str, str | None)
    return None if not is_text and text.strip().lower() in ("null", "none") else text


def _without_preset_keys(
    lower: dict[str, Any], typed: dict[str, str], config_dir: Path | None
) -> dict[str, Any]:
    """Drop the keys that a typed preset sets.

    Raises UserError if only some presets of a sweep set a key: its value would be ambiguous.
    """
    overridden: set[str] = set()
    for group, value in typed.items():
        if group not in GROUPS:
            continue
        sets = [preset_keys(group, name, config_dir) for name in _swept(group, value, config_dir)]
        always, ever = set.intersection(*sets), set.union(*sets)
        if unclear := sorted((ever - always) & set(lower)):
            raise UserError(
                f"{unclear[0]} is set by the config_file or the environment, and by only some of "
                f"{group}={value}; type {unclear[0]}=..."
            )
        overridden |= {group, *always}
    return {key: value for key, value in lower.items() if key not in overridden}


def _swept(group: str, value: str, config_dir: Path | None) -> list[str]:
    """Return the presets that a typed value names: one, or those of a sweep."""
    parsed = parse(f"{group}={value}")
    if not parsed.is_choice_sweep():
        return [unquoted(value)]
    choices = parsed.value()
    if hasattr(choices, "filter"):  # glob(*)
        return choices.filter(preset_names(group, config_dir)) or [value]
    return [unquoted(str(choice)) for choice in parsed.sweep_string_iterator()]

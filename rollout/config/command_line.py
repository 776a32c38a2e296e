"""Parse the words typed after `python -m rollout`: Hydra's flags and checked overrides.

Guarantees a one-line error with what to type instead for any other word. Must not know about the
environment, files of settings, or the composed values.
"""

from dataclasses import dataclass
from pathlib import Path

from rollout.config.names import GROUPS, known_keys, meant_by
from rollout.config.overrides import checked_override, closing, parts, unquoted
from rollout.config.plain_values import short
from rollout.config.presets import ROOT_CONFIG
from rollout.errors import UserError, did_you_mean
from rollout.system.disk import expand_home

FLAGS = ("-m", "--multirun", "--resolve")
SHORT_FLAGS = {"-c": "--cfg", "-i": "--info", "-p": "--package", "-cd": "--config-dir"}
# Flags that take a value: the values Hydra accepts, and an example of each.
CHOICES = {
    "--cfg": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
}
EXAMPLES = {"--cfg": "job", "--info": "all", "--package": "sampling", "--config-dir": "my_conf"}


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A parsed command line."""

    flags: list[str]  # Hydra's, each with its value in one word
    overrides: list[str]  # checked, in Hydra's grammar
    config_file: str | None
    config_dir: Path | None  # the user's own presets
    is_sweep: bool


def read_command_line(argv: list[str], start_dir: Path) -> CommandLine:
    """Parse `argv`; paths are relative to `start_dir`.

    Raises UserError for an invalid flag, key or value.
    """
    flags, typed = _split(argv)
    config_dir, flags = _take(flags, "--config-dir")
    config_file, typed = _take(typed, "config_file")
    if config_file is not None and not unquoted(config_file):
        raise UserError("config_file= names no file; type config_file=FILE.yaml, or leave it out")
    if config_dir is not None:
        config_dir = _checked_config_dir(config_dir, start_dir)
    is_sweep = any(flag in ("-m", "--multirun") for flag in flags)
    is_sweep |= any(parts(text) == ("hydra.mode", "MULTIRUN") for text in typed)
    also = "hydra.sweep.dir" if is_sweep else "hydra.run.dir"
    if {"run_dir", also} <= {parts(text)[0] for text in typed}:
        raise UserError(f"run_dir= and {also}= name the same directory; leave one of them out")
    return CommandLine(
        flags,
        [checked_override(text, config_dir, is_sweep) for text in typed],
        unquoted(config_file) if config_file else None,
        config_dir,
        is_sweep,
    )


def _take(words: list[str], name: str) -> tuple[str | None, list[str]]:
    """Return the last value of `name=`, or None, and the words without it."""
    values = [value for key, value in map(parts, words) if key == name]
    return (values[-1] if values else None), [w for w in words if parts(w)[0] != name]


def _split(argv: list[str]) -> tuple[list[str], list[str]]:
    """Split `argv` into flags and overrides."""
    flags: list[str] = []
    typed: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        name = SHORT_FLAGS.get(name, name)
        if word in FLAGS:
            flags.append(word)
        elif name in EXAMPLES:
            value = value if equals else (words.pop(0) if words else "")
            flags.append(_checked_flag(name, value))
        elif word.startswith("-"):
            _refuse_flag(name, value, words)
        elif not equals and not word.startswith("~"):
            _refuse_word(word, typed, words)
        else:
            typed.append(word)
    if "--resolve" in flags and not any(flag.startswith("--cfg") for flag in flags):
        raise UserError("--resolve fills in what --cfg prints; type --cfg job --resolve")
    return flags, typed


def _refuse_word(word: str, typed: list[str], following: list[str]) -> None:
    """Raise UserError for a word without =, with the way to write it."""
    key = word.lstrip("+")
    if key in known_keys() or key in GROUPS:
        raise UserError(f"{word!r} has no value: settings are written key=value; type {key}=...")
    if typed and typed[-1].endswith("="):
        raise UserError(f"{typed[-1]} {word}: no space after =; type {typed[-1]}{word}")
    if typed and closing(parts(typed[-1])[1]):
        whole = " ".join([typed[-1], word])
        while following and closing(parts(whole)[1]):
            whole = f"{whole} {following.pop(0)}"
        raise UserError(f"{typed[-1]} {word}: the shell splits at spaces; type '{whole}'")
    example = "data.input" if Path(word).suffix == ".parquet" else "model.model_path"
    looks_like_a_path = any(sign in word for sign in "/:.")
    example = f"{example}={word}" if looks_like_a_path else "data.input=prompts.parquet"
    raise UserError(f"{word!r} has no value: settings are written key=value; type {example}")


def _checked_flag(name: str, value: str) -> str:
    if not value:
        raise UserError(f"{name} needs a value, such as {name} {EXAMPLES[name]}")
    if name in CHOICES and value not in CHOICES[name]:
        raise UserError(f"{name} {value} is unknown. Choose from: {', '.join(CHOICES[name])}")
    return f"{name}={value}"


def _refuse_flag(name: str, value: str, following: list[str]) -> None:
    """Raise UserError for an old or unknown flag, with the setting to type instead."""
    bare = name.lstrip("-")
    if key := bare if bare in known_keys() else meant_by(bare.replace("-", "_")):
        if not value and following and not following[0].startswith("-") and "=" not in following[0]:
            value = following[0]
        elif not value:
            value = "true" if known_keys()[key].type is bool else "..."
        raise UserError(f"{name}: settings have no dashes here; type {key}={value}")
    if name in FLAGS:
        raise UserError(f"{name} takes no value; type {name} alone")
    known = [*FLAGS, *EXAMPLES, "--help", "--version"]
    raise UserError(f"unknown flag {name}.{did_you_mean(name, known)} See --help")


def _checked_config_dir(given: str, start_dir: Path) -> Path:
    path = (start_dir / expand_home(given)).resolve()
    try:
        is_there = path.is_dir()
    except (OSError, ValueError):  # longer than a path can be
        is_there = False
    if not is_there:
        raise UserError(f"--config-dir {short(given)}: no such directory")
    if (path / f"{ROOT_CONFIG}.yaml").exists():
        raise UserError(
            f"{path}/{ROOT_CONFIG}.yaml would replace the root config; move it to "
            f"{path}/experiment/NAME.yaml and type experiment=NAME, or type config_file=FILE"
        )
    return path

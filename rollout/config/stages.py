"""Compose the settings of the stage commands, python -m rollout.prepare and rollout.postprocess.

`python -m rollout.prepare source=x` means the same as `prepare.source=x` in a run, with the same
presets, experiments, config_file and checks. Must not know what a stage does.
"""

from collections.abc import Callable
from pathlib import Path

from rollout.config.compose import compose_words
from rollout.config.effects import refuse_without_effect_in_stage
from rollout.config.names import GROUPS, bag_of, known_keys
from rollout.config.overrides import parts
from rollout.config.settings import Settings
from rollout.config.sources import gather
from rollout.config.validate import validate
from rollout.errors import UserError, did_you_mean

LIKELY = {"data.input": "source"}


def compose_stage(stage: str, argv: list[str]) -> Settings:
    """Return the settings of `argv`; a key of the stage may leave out the stage's name.

    Raises UserError as the command line of a run does.
    """
    words = [_in_stage(word, stage) for word in argv]
    given = gather(words, {}, Path.cwd())
    _refuse_foreign(words, stage)
    settings = compose_words(given.words, given.config_dir)
    validate(settings)
    refuse_without_effect_in_stage(settings, stage)
    return settings


def last_line_of(*paths: Path) -> Callable[[], str]:
    """Return the last line of a stopped command: it says whether its files were written."""
    before = {path: _inode(path) for path in paths}

    def last_line() -> str:
        written = [str(p) for p in paths if _inode(p) not in (None, before[p])]
        if written:
            return f"interrupted at its end; {' and '.join(written)} is complete"
        return f"interrupted; nothing was written to {paths[0]}"

    return last_line


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _refuse_foreign(words: list[str], stage: str) -> None:
    """Raise UserError for a typed setting that the stage does not use.

    A config_file or an experiment may hold the other sections as well.
    """
    for word in words:
        key, _ = parts(word)
        of_others = key in known_keys() or bag_of(key) or (key in GROUPS and key != "experiment")
        if word.startswith("-") or key.startswith(f"{stage}.") or not of_others:
            continue
        leaf = key.rsplit(".", 1)[-1]
        own = leaf if f"{stage}.{leaf}" in known_keys() else LIKELY.get(key)
        hint = f"did you mean {own}?" if own else "leave it out"
        raise UserError(f"{word} is for a run; rollout.{stage} does not use it; {hint}")


def _in_stage(word: str, stage: str) -> str:
    """Return `source=x` as `prepare.source=x`, and other words as they are."""
    key, _ = parts(word)
    own = [name for name in known_keys() if name.startswith(f"{stage}.")]
    bags = [name for name in own if known_keys()[name].is_bag]
    full = f"{stage}.{key}"
    if full in own or any(full.startswith(f"{bag}.") for bag in bags):
        return word.replace(key, full, 1)
    short = [name.removeprefix(f"{stage}.") for name in own]
    if close := did_you_mean(key, short) if "=" in word and key not in known_keys() else "":
        raise UserError(f"there is no setting {key!r}.{close} See --help")
    return word

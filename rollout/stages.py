"""The commands around a rollout: their words are the settings of one section, in the one language.

`python -m rollout.prepare source=x` means what `prepare.source=x` means in a run: the same
presets, experiments, config_file and checks. Must not know what a stage does.
"""

from pathlib import Path

from rollout.compose import compose_words
from rollout.config import Settings
from rollout.errors import UserError, did_you_mean
from rollout.names import known_keys
from rollout.overrides import parts
from rollout.sources import gather


def compose_stage(stage: str, argv: list[str]) -> Settings:
    """The settings that `argv` says, where a key of the stage may leave out the stage's name.

    Raises UserError as the command line of a run does.
    """
    given = gather([_in_stage(word, stage) for word in argv], {}, Path.cwd(), demo=False)
    return compose_words(given.words, given.config_dir)


def _in_stage(word: str, stage: str) -> str:
    """`source=x` as `prepare.source=x`; other words stay."""
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

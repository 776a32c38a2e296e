"""The names users may set: keys, preset groups, free-form settings.

Owns the meaning of any name a user gives, and the message for an unknown one. Must not know where
names come from, or Hydra.
"""

import difflib
import re
from collections.abc import Collection
from functools import cache
from typing import Any, get_args

from rollout.config.schema import Key
from rollout.config.settings import SECTIONS, keys
from rollout.errors import UserError, did_you_mean

GROUPS = (*SECTIONS, "experiment")
STAGES = ("prepare", "postprocess")  # before and after a rollout; each is also its own command
SWITCHES = {"prepare": "prepare.source", "postprocess": "postprocess.scorer"}
FILLED_IN = ("presets", "given")  # by us, not typed
# Without any of these, a command resumes the run in run_dir, or runs the demo.
INPUT_KEYS = frozenset({"data.input", "experiment", "data", "prepare.source"})
# Names that are not a key's last part: flags of the script this tool replaces, and likely guesses.
OLD_NAMES = {
    "input_parquet": "data.input",
    "output_parquet": "output.path",
    "output": "output.path",
    "n": "sampling.n_samples",
    "model_name": "model.model_path",
    "model.path": "model.model_path",
    "model.name": "model.model_path",
    "data.path": "data.input",
}


@cache
def known_keys() -> dict[str, Key]:
    """Return every key that users may set. Cached: don't change it."""
    return {name: key for name, key in keys().items() if name not in FILLED_IN}


def bag_of(key: str) -> Key | None:
    """Return the free-form setting above `key`: sampling.extra for sampling.extra.top_a."""
    bags = (k for k in known_keys().values() if k.is_bag)
    return next((bag for bag in bags if key.startswith(bag.name + ".")), None)


def declared(key: str, value: Any = "...") -> Key:
    """Return the setting of `key`, or the free-form one above it. Raises UserError if unknown."""
    if key in known_keys():
        return known_keys()[key]
    bag = bag_of(key)
    if bag is None:
        raise UserError(unknown_key(key, value))
    inner = key.removeprefix(bag.name + ".")
    if _has_numbers(bag.name):
        raise UserError(f"{key}: type {bag.name}='{{{inner}: {value}}}' ({bag.help})")
    if not re.fullmatch(r"[A-Za-z_][\w-]*(\.[\w-]+)*", inner, re.ASCII):
        raise UserError(f"{key}: {inner!r} is not a name; type {bag.name}.NAME=... ({bag.help})")
    return bag


def full_key(name: str, active: Collection[str] = ()) -> str:
    """Return the key or group that `name` means by its last part; of several the least nested.

    Settings of a stage count if the stage is `active`; the one that switches it on always counts.
    Raises UserError if `name` means none, or more than one.
    """
    if name in GROUPS or name in STAGES or "." in name:
        return name
    every = [key for key in known_keys() if key.rsplit(".", 1)[-1] == name]
    stages = {key: next((s for s in STAGES if key.startswith(f"{s}.")), None) for key in every}
    is_on = {key: s is None or s in active or key == SWITCHES[s] for key, s in stages.items()}
    found = _least_nested([key for key in every if is_on[key]])
    if len(found) > 1:
        raise UserError(f"{name!r} could be {' or '.join(found)}; give the dotted key")
    if found:
        return found[0]
    if every:
        switches = " or ".join(dict.fromkeys(SWITCHES[stages[key]] for key in every))
        plural = "have" if len(every) > 1 else "has"
        raise UserError(
            f"{name!r} could be {' or '.join(every)}, which {plural} no effect without {switches}"
            f"{did_you_mean(name, [k for k in known_keys() if not k.startswith(STAGES)])}"
        )
    raise UserError(unknown_key(name))


def meant_by(name: str) -> str | None:
    """Return the key that an old name, or a last part of only one setting, means."""
    found = [OLD_NAMES[name]] if name in OLD_NAMES else _ending_in(name)
    return found[0] if len(found) == 1 else None


def _in_another_section(key: str) -> str | None:
    """Return the only setting with the last part of `key`, in whichever section.

    engine.max_model_len for sampling.max_model_len, also if misspelled.
    """
    section, dot, _ = key.partition(".")
    leaf = key.rpartition(".")[2]
    own = {n.rpartition(".")[2] for n in known_keys() if n.startswith(f"{section}.")}
    if not dot or not own or key.rpartition(".")[0] in known_keys():
        return None
    leaves = {name.rpartition(".")[2] for name in known_keys()}
    if leaf not in leaves and not difflib.get_close_matches(leaf, own, 1, 0.7):
        leaf = next(iter(difflib.get_close_matches(leaf, leaves, 1, 0.8)), leaf)
    found = [OLD_NAMES[leaf]] if leaf in OLD_NAMES and leaf not in leaves else _ending_in(leaf)
    ending = [name for name in known_keys() if name.endswith(f".{leaf}")]
    near = _least_nested([name for name in ending if name.startswith(f"{section}.")])
    return next((names[0] for names in (near, found) if len(names) == 1), None)


def _ending_in(name: str) -> list[str]:
    """Return the least nested keys whose last part is `name`: one if it is unambiguous."""
    found = [key for key in known_keys() if key.rsplit(".", 1)[-1] == name]
    return _least_nested([key for key in found if not key.startswith(STAGES)] or found)


def _least_nested(keys: list[str]) -> list[str]:
    depth = min((key.count(".") for key in keys), default=0)
    return [key for key in keys if key.count(".") == depth]


def flatten(content: dict, prefix: str = "") -> dict[str, Any]:
    """Flatten nested sections to dotted keys; values of free-form settings stay nested.

    A setting with numbers as keys stays whole. Raises UserError for a key that is given twice,
    dotted and nested.
    """
    flat: dict[str, Any] = {}
    for name, value in content.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and not bag_of(key) and not _has_numbers(key):
            found = flatten(value, key + ".")
        else:
            found = {key: value}
        if twice := sorted(flat.keys() & found.keys()):
            raise UserError(f"{twice[0]} is given twice; leave one of them out")
        flat |= found
    return flat


def _has_numbers(key: str) -> bool:
    """Whether the keys below a free-form setting are numbers: sampling.logit_bias."""
    setting = known_keys().get(key)
    return setting is not None and setting.is_bag and get_args(setting.type)[0] is int


def unknown_key(key: str, value: Any = "...") -> str:
    """Return the message for a key that does not exist."""
    if "/" in key and key.split("/")[0] in ("data", "model"):
        setting = "data.input" if key.startswith("data") else "model.model_path"
        return f"there is no setting {key!r}; type {setting}=..."
    if meant := meant_by(key):
        return f"there is no setting {key!r}; type {meant}={value}"
    if meant := _in_another_section(key):
        return f"there is no setting {key!r}; did you mean {meant}?"
    bags = {
        "sampling": " Other vLLM SamplingParams go under sampling.extra.",
        "engine": " Other vLLM engine arguments go under engine.extra.",
    }
    section, dot, _ = key.partition(".")
    hint = did_you_mean(key, [*known_keys(), *GROUPS, "config_file"])
    bag = bags.get(section, "") if dot else ""
    return f"there is no setting {key!r}.{hint}{bag} All settings: --help all"

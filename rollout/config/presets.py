"""The presets: their files, their names, and the keys they set.

Guarantees that a user's preset takes precedence over ours of the same name. Reads the files as
plain YAML; Hydra reports their errors. Must not know about the command line, or Hydra.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rollout.config.names import flatten
from rollout.errors import UserError, did_you_mean
from rollout.system.formats.plain_yaml import NoSettings, read_yaml

ROOT_CONFIG = "rollout"  # the file that lists the groups
ELSEWHERE = {  # where to find what a name that is no preset stands for
    "hydra/launcher=ray": "For Ray tasks: pip install hydra-ray-launcher; for replicas: scale=ray.",
    "scale=slurm": "On Slurm: multirun_examples/slurm_ray.sh, or hydra/launcher=submitit_slurm.",
}


def conf_dir() -> Path:
    """Return the directory of our presets: rollout/conf in a wheel, conf in a checkout."""
    here = Path(__file__).resolve().parents[1]
    inside = here / "conf"
    return inside if inside.is_dir() else here.parent / "conf"


def preset_names(group: str, config_dir: Path | None = None) -> list[str]:
    """Return the names of a group's presets, ours and the user's."""
    return sorted({file.stem for d in _folders(group, config_dir) for file in d.glob("*.yaml")})


def preset_keys(group: str, name: str, config_dir: Path | None) -> set[str]:
    """Return the keys that a preset sets, including those of the presets it builds on."""
    content = preset_content(group, name, config_dir)
    bases = content.pop("defaults", [])
    root = content if group == "experiment" else {group: content}
    found = {key for key, value in flatten(root).items() if value != "???"}
    for base in bases if isinstance(bases, list) else []:
        if isinstance(base, str) and base not in ("_self_", name):
            found |= preset_keys(group, base, config_dir)
    return found


def overridden_groups(group: str, name: str, config_dir: Path | None) -> set[str]:
    """Return the groups whose choice a preset overrides: `override /hydra/launcher: basic`."""
    bases = preset_content(group, name, config_dir).get("defaults")
    keys = [key for base in bases or () if isinstance(base, dict) for key in base]
    chosen = [key.removeprefix("override ") for key in keys if key.startswith("override ")]
    return {key.strip().removeprefix("/") for key in chosen}


def preset_content(group: str, name: str, config_dir: Path | None) -> dict[str, Any]:
    """Return the contents of a preset's file; empty if it does not exist, or is not YAML.

    Raises UserError for YAML that refers to itself, or has a duplicate key.
    """
    files = [folder / f"{name}.yaml" for folder in _folders(group, config_dir)]
    file = next((f for f in files if f.is_file()), None)
    try:
        content = read_yaml(file.read_text(encoding="utf-8")) if file else None
    except NoSettings as error:  # Hydra would recurse, or take one of two values
        raise UserError(f"{file} {error}") from error
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def implied_presets(given: Iterable[str]) -> dict[str, str]:
    """Return the presets that other keys imply: a typed model.model_path implies model=custom."""
    given = set(given)
    return {"model": "custom"} if "model.model_path" in given and "model" not in given else {}


def unknown_preset(group: str, name: str, options: list[str]) -> str:
    """Return the message for a preset that does not exist."""
    first, slash, more = group.partition("/")  # Hydra splits a path in two
    setting = {"model": "model.model_path", "data": "data.input"}.get(first)
    if setting and (slash or "/" in name):
        path = f"{more}/{name}" if slash else name
        return f"there is no preset {first}={path}; for a path or an id type {setting}={path}"
    known = ELSEWHERE.get(f"{group}={name}")
    hint = f" {known}" if known else did_you_mean(name, options)
    return f"there is no preset {group}={name}.{hint} Choose from: {', '.join(options)}"


def _folders(group: str, config_dir: Path | None) -> list[Path]:
    return [directory / group for directory in (config_dir, conf_dir()) if directory]

"""Models to plan for: the shapes of the presets, on a machine without GPUs."""

import yaml

from rollout.config.presets import conf_dir
from rollout.system.machine import Machine

NOWHERE = Machine((), 2, 24.0, 20.0)


def preset(name):
    return yaml.safe_load((conf_dir() / "model" / f"{name}.yaml").read_text())["shape"]

"""The table of models in the engine presets' headers, made by the planner.

python tests/support/preset_headers.py --write   updates conf/engine/*.yaml
"""

import sys

import yaml

from rollout.config.presets import conf_dir
from rollout.config.sections.engine import Device, Engine
from rollout.plan.choose import shortened
from rollout.plan.memory.fit import Limit, Needs, fit, model_size
from rollout.plan.memory.hardware import Hardware, named
from rollout.system.machine import Machine

# preset -> the devices it is meant for
MEANT_FOR = {
    "cpu": ("cpu", 1),
    "single_a100": ("a100_80gb", 1),
    "dual_a100": ("a100_80gb", 2),
    "high_throughput": ("h100_80gb", 2),
    "single_h100": ("h100_80gb", 1),
    "single_h200": ("h200_141gb", 1),
    "rtx_4090": ("rtx_4090", 1),
    "low_mem": ("l4", 1),
}
MODELS = (
    "qwen3_0_6b", "qwen3_1_7b", "qwen3_4b", "qwen3_8b", "llama3_1_8b", "qwen3_14b",
    "qwen3_30b_a3b", "qwen3_32b",
)  # fmt: skip
FIRST = "# Planned for "
CPU_GIB = 16.0


def header_of(preset: str) -> str:
    """Return the lines from FIRST on, each starting with #."""
    device, number = MEANT_FOR[preset]
    if device == "cpu":
        hardware = Hardware("CPU", Device.cpu, 1, CPU_GIB, CPU_GIB, batched_tokens=4096)
        where = f"{CPU_GIB:.0f} GiB of free memory"
    else:
        hardware = named(device, number, Machine((), 1, 1.0, 1.0))
        where = f"{number} x {hardware.label}: python -m rollout.plan device={device}"
        where += f" num_devices={number}" * (number > 1)
    lines = [f"{FIRST}{where}", "# model          weights GiB  KV cache tokens  context tokens"]
    values = yaml.safe_load((conf_dir() / "engine" / f"{preset}.yaml").read_text())
    values["device"] = Device[values["device"]]
    for model in MODELS:
        shape = yaml.safe_load((conf_dir() / "model" / f"{model}.yaml").read_text())["shape"]
        found = fit(model_size(model, shape), Engine(**values), hardware, Needs())
        longest = f"{found.max_model_len:,}"
        if not found.fits:
            shorter = shortened(found, Needs()) if found.limit is Limit.context else None
            longest = f"engine.max_model_len={shorter}" if shorter else "-"
            if shorter:
                again = Engine(**values, max_model_len=shorter)
                found = fit(model_size(model, shape), again, hardware, Needs())
        tokens = f"{found.kv_tokens:,}" if found.fits else "does not fit"
        lines.append(f"# {model:<14} {found.weights_gib:>11.1f}  {tokens:>15}  {longest}")
    return "\n".join(lines) + "\n"


def written(preset: str) -> str:
    """Return the preset's file with an up-to-date header."""
    text = (conf_dir() / "engine" / f"{preset}.yaml").read_text()
    lines = text.splitlines(keepends=True)
    comments = [line for line in lines if line.startswith("#")]
    start = next((i for i, line in enumerate(comments) if line.startswith(FIRST)), len(comments))
    settings = [line for line in lines if not line.startswith("#")]
    return "".join(comments[:start]) + header_of(preset) + "".join(settings)


if __name__ == "__main__":
    for preset in MEANT_FOR:
        if "--write" in sys.argv:
            (conf_dir() / "engine" / f"{preset}.yaml").write_text(written(preset))
        else:
            print(f"{preset}\n{header_of(preset)}")

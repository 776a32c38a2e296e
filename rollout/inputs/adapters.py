"""LoRA adapters: find the one model.lora_path points at, and check it.

Owns what an adapter directory must contain. Refuses an unusable one in seconds, with a
one-line error, before any engine starts. Whether it fits the model in full, only the engine can
tell when it loads it. Must not know about the engine.
"""

import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rollout.errors import UserError
from rollout.inputs.hub import fetch_adapter
from rollout.system.storage.paths import is_remote

WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")


@dataclass(frozen=True, slots=True)
class Adapter:
    """A checked adapter."""

    path: Path
    rank: int
    digest: str  # of its configuration and weights


def resolve_adapter(
    given: str, model_config: dict[str, Any], say: Callable[[str], None] = print
) -> Adapter:
    """Find the adapter at a directory or hub id. Raises UserError, one line, if it is unusable.

    Also if it was trained for a model of another width than `model_config` (a config.json): vLLM
    would silently apply the matrices that fit.
    """
    if is_remote(given):
        raise UserError(
            f"model.lora_path={given}: an adapter must be on a disk or the hub; download the "
            "directory, and type its path"
        )
    path = Path(given).expanduser().absolute()
    if not path.exists():
        if given.startswith(("/", "./", "../", "~")) or given.count("/") != 1:
            raise UserError(
                f"model.lora_path={given} is neither a directory nor a hub id, ORG/NAME"
            )
        say(f"fetching the adapter {given} from the hub, unless it is cached")
        path = fetch_adapter(given)
    config = path / "adapter_config.json"
    try:
        settings = json.loads(config.read_text(encoding="utf-8"))
        rank, kind = settings.get("r"), settings.get("peft_type", "LORA")
    except (OSError, ValueError, AttributeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"model.lora_path={given} is not an adapter: adapter_config.json: {reason}; type the "
            "directory that PEFT's save_pretrained wrote"
        ) from error
    if kind != "LORA" or not isinstance(rank, int) or rank < 1:
        raise UserError(
            f"model.lora_path={given} is a {kind} adapter of rank {rank}; only LoRA is supported"
        )
    weights = next((path / name for name in WEIGHTS if (path / name).is_file()), None)
    if weights is None:
        raise UserError(f"model.lora_path={given} has no weights ({' or '.join(WEIGHTS)})")
    hidden = (model_config.get("text_config") or model_config).get("hidden_size")
    for name, width in _input_widths(weights):
        if hidden and width != hidden:
            raise UserError(
                f"model.lora_path={given} is for another model: {name} has input width {width}, "
                f"and this model's hidden size is {hidden}"
            )
    digest = hashlib.blake2b(config.read_bytes(), digest_size=8)
    with weights.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return Adapter(path, rank, digest.hexdigest())


def _input_widths(weights: Path) -> list[tuple[str, int]]:
    """Return name and input width of the matrices that read the hidden state; [] for .bin."""
    if weights.suffix != ".safetensors":
        return []
    try:
        with weights.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(size, 1 << 26)))
        return [
            (name, tensor["shape"][1])
            for name, tensor in header.items()
            if name.endswith(tuple(f"{p}_proj.lora_A.weight" for p in "qkv"))
        ]
    except (OSError, ValueError, struct.error, LookupError, TypeError) as error:
        raise UserError(f"{weights} is damaged or not a safetensors file: {error}") from error

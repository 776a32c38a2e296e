"""LoRA adapters: what model.lora_path points at, and whether it can be one.

Owns what an adapter directory must hold. Promises that one which can't be used is refused in
seconds, in one line, before any engine starts; whether it fits the model, the engine finds out
when it loads it. Must not know the engine.
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

WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter that was found."""

    path: Path
    rank: int
    digest: str  # of its configuration and weights


def resolve_adapter(
    given: str, model_config: dict[str, Any], say: Callable[[str], None] = print
) -> Adapter:
    """Find the adapter at a directory or hub id; raise UserError, one line, where it is none.

    Or where it was made for a model of another width than that of `model_config`, a config.json:
    vLLM would apply what there is.
    """
    path = Path(given).expanduser().absolute()
    if not path.exists():
        if given.startswith(("/", "./", "../", "~")) or given.count("/") != 1:
            raise UserError(f"model.lora_path={given}: no such directory, and no hub id (ORG/NAME)")
        say(f"fetching the adapter {given} from the hub, if it is not here already")
        path = fetch_adapter(given)
    config = path / "adapter_config.json"
    try:
        said = json.loads(config.read_text(encoding="utf-8"))
        rank, kind = said.get("r"), said.get("peft_type", "LORA")
    except (OSError, ValueError, AttributeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"model.lora_path={given} holds no adapter: adapter_config.json: {reason}; give the "
            "directory that PEFT's save_pretrained wrote"
        ) from error
    if kind != "LORA" or not isinstance(rank, int) or rank < 1:
        raise UserError(
            f"model.lora_path={given} is a {kind} adapter of rank {rank}; only LoRA is served"
        )
    weights = next((path / name for name in WEIGHTS if (path / name).is_file()), None)
    if weights is None:
        raise UserError(f"model.lora_path={given} has no weights ({' or '.join(WEIGHTS)})")
    hidden = (model_config.get("text_config") or model_config).get("hidden_size")
    for name, width in _input_widths(weights):
        if hidden and width != hidden:
            raise UserError(
                f"model.lora_path={given} is for another model: {name} takes {width} values, and "
                f"the hidden size of this one is {hidden}"
            )
    found = hashlib.blake2b(config.read_bytes(), digest_size=8)
    with weights.open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return Adapter(path, rank, found.hexdigest())


def _input_widths(weights: Path) -> list[tuple[str, int]]:
    """How many values each matrix takes that reads the hidden state; none of a .bin file."""
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
        raise UserError(f"{weights} is damaged or no safetensors file: {error}") from error

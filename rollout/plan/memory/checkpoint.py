"""The size of a checkpoint's tensors, read from safetensors headers without the weights."""

import json
import re
from functools import lru_cache
from pathlib import Path

from rollout.plan.memory.shape import Shape, is_quantized, is_tied, padded

VOCABULARY_TENSORS = ("embed_tokens.weight", "lm_head.weight", "wte.weight")
SAFETENSORS_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2}
FLOATS = ("F64", "F32", "F16", "BF16")


def read_headers(directory: Path) -> dict[str, tuple[str, int]] | None:
    """Return each tensor's dtype and number of bytes, by name; None without readable safetensors.

    A file starts with the header's length (8 bytes, little endian) and the JSON header
    (https://github.com/huggingface/safetensors#format).
    """
    try:
        files = tuple((f, f.stat().st_mtime_ns) for f in sorted(directory.glob("*.safetensors*")))
    except OSError:
        return None
    return _read_headers(directory, files)


@lru_cache(maxsize=4)  # the planner reads them again for each setting it tries
def _read_headers(
    directory: Path, stamps: tuple[tuple[Path, int], ...]
) -> dict[str, tuple[str, int]] | None:
    files = [file for file, _ in stamps if file.suffix == ".safetensors"]
    index = directory / "model.safetensors.index.json"
    try:
        if index.is_file():
            named = set(json.loads(index.read_bytes()).get("weight_map", {}).values())
            files = [directory / name for name in sorted(named)]
        found: dict[str, tuple[str, int]] = {}
        for file in files:
            with file.open("rb") as stream:
                header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
            header.pop("__metadata__", None)
            for name, tensor in header.items():
                start, end = tensor["data_offsets"]
                found[name] = tensor["dtype"], end - start
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, MemoryError):
        return None  # inputs/models.py reports what is wrong
    return found or None


def loaded_bytes(headers: dict[str, tuple[str, int]], shape: Shape, plain: float) -> float:
    """Return the bytes of the tensors once loaded; floats take the engine's dtype, as in vLLM.

    `plain` is the bytes of one value in that dtype. Leaves out the output head if it is tied to
    the embedding, layers beyond the last one (multi-token prediction), and computed buffers.
    """
    packs = is_quantized(shape.config)
    total = 0.0
    for name, (dtype, num_bytes) in headers.items():
        if is_tied(shape) and name.endswith("lm_head.weight"):
            continue
        number = re.search(r"\.layers\.(\d+)\.", name)
        if number and int(number[1]) >= shape.num_layers:
            continue
        if name.endswith("rotary_emb.inv_freq"):
            continue
        if dtype in FLOATS and not packs:
            num_bytes = num_bytes // SAFETENSORS_BYTES[dtype] * plain
        if name.endswith(VOCABULARY_TENSORS) and shape.vocab_size:
            num_bytes *= padded(shape.vocab_size) / shape.vocab_size
        total += num_bytes
    return total

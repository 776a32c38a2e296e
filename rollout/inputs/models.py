"""Find and check the model: a local directory, a hub id, or an embedded model.

Owns the distinction of the three, and the contents a checkpoint directory must have.
Guarantees: an unusable model is refused in seconds, in one line that says what to type, before any
engine starts; the model that is checked is the one that runs (a hub id is pinned to its commit).
Must not know about the engine, the device, or the available memory.
"""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rollout.config.sections.model import Model
from rollout.errors import UserError, did_you_mean
from rollout.inputs.embedded import unpack_embedded
from rollout.inputs.hub import fetch_snapshot, find_cached_snapshot
from rollout.system.storage.paths import is_remote


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A checked model, and its configuration."""

    path: str  # passed to vLLM: an absolute directory, or a hub id
    revision: str | None  # the commit on the hub; None for a directory
    source: str  # "local", "hub" or "embedded"
    config: dict[str, Any]  # parsed config.json; {} if there is none (Mistral's params.json)
    config_digest: str  # of config.json's bytes; "" if there is none
    generation_config: dict[str, Any]  # {} if there is none
    weights_digest: str = ""  # sampled, see _weights_digest; "" on the hub, where the commit pins
    tokenizer_digest: str = ""  # tokenizer files and chat template; "" on the hub


_INDEXES = {".safetensors": "model.safetensors.index.json", ".bin": "pytorch_model.bin.index.json"}
_TRAINING_STATE = {
    "training_args.bin",
    "optimizer.bin",
    "optimizer.pt",
    "scheduler.pt",
    "scaler.pt",
}
SAMPLED_BLOCKS, SAMPLED_BYTES = 64, 4096
_TOKENIZERS = ("tokenizer*", "vocab.*", "tekken.json", "*.tiktoken", "spiece.model")


def resolve_model(
    model: Model,
    say: Callable[[str], None] = print,
    *,
    needs_weights: bool = True,
    needs_tokenizer: bool = True,
) -> ResolvedModel:
    """Find the model and check it. Raises UserError, one line, if it is unusable.

    `say` is called with a line when something slow starts. `needs_weights=False` is for dummy
    weights, `needs_tokenizer=False` for a tokenizer configured elsewhere. An embedded model is
    unpacked the first time. A hub id that is completely cached needs no network. For any other,
    the hub is contacted once, for about 6 s at most: config.json is fetched, never the weights.
    """
    name = str(model.model_path)
    if name.startswith("embedded:"):
        directory = unpack_embedded(name.removeprefix("embedded:"), say, _is_whole)
        return _inspect(directory, "embedded")
    if is_remote(name) and not name.startswith("http"):
        raise UserError(
            f"model.model_path={name}: rollout reads a model's files before it loads it, so they "
            "must be on a disk or the hub; download the directory, and type its path"
        )
    if not name or "://" in name:
        raise UserError(f"model.model_path={name!r}: type a local directory or a hub id, ORG/NAME")
    try:
        path = Path(name).expanduser().absolute()
        exists = path.exists()
    except (RuntimeError, OSError) as error:  # ~name of an unknown user, or no permission
        raise UserError(f"model.model_path={name}: {error}") from None
    is_path = name.startswith(("/", "./", "../", "~")) or name.endswith(("/", ".gguf"))
    if exists or is_path or name.count("/") > 1:
        if model.revision is not None:
            say(f"model.revision={model.revision} is ignored: {name} is a local directory")
        return _inspect(path, "local", needs_weights, needs_tokenizer)
    return _resolve_hub(name, model.revision, needs_weights, needs_tokenizer)


def _resolve_hub(
    repo_id: str, revision: str | None, weights: bool, tokenizer: bool
) -> ResolvedModel:
    if (snapshot := find_cached_snapshot(repo_id, revision)) is not None:
        with suppress(UserError):  # incomplete: the hub may have the rest
            return _from_snapshot(repo_id, snapshot, weights, tokenizer)
    snapshot = fetch_snapshot(repo_id, revision)
    return _from_snapshot(repo_id, snapshot, weights=False, tokenizer=False)


def _from_snapshot(repo_id: str, snapshot: Path, weights: bool, tokenizer: bool) -> ResolvedModel:
    """Pin the commit, after which a snapshot is named, since a branch may move."""
    found = _inspect(snapshot, "hub", weights, tokenizer)
    return ResolvedModel(
        repo_id, snapshot.name, "hub", found.config, found.config_digest, found.generation_config
    )


def _is_whole(directory: Path) -> bool:
    """Return whether the checkpoint is complete: a crash or a cleanup may have left only parts."""
    try:
        _inspect(directory, "embedded")
    except UserError:
        return False
    return True


# A checkpoint directory


def _inspect(
    path: Path, source: str, weights: bool = True, tokenizer: bool = True
) -> ResolvedModel:
    """Check a checkpoint directory, cheapest checks first, reading only headers."""
    try:
        config, digest = _read_config(path)
        if weights:
            _check_weights(path)
        if weights and tokenizer and not any(any(path.glob(name)) for name in _TOKENIZERS):
            raise UserError(
                f"{path} has no tokenizer (tokenizer.json, tokenizer.model or vocab.json); copy it "
                "from the model this one was trained from, or type engine.extra.tokenizer=ORG/NAME"
            )
        for file in path.glob("tokenizer*"):
            _refuse_lfs_pointer(file)
        generation = path / "generation_config.json"
        generation_config = _read_json(generation)[0] if generation.is_file() else {}
    except OSError as error:
        raise UserError(f"can't read {error.filename or path}: {error.strerror}") from None
    return ResolvedModel(
        str(path),
        None,
        source,
        config,
        digest,
        generation_config,
        _weights_digest(path) if source != "hub" else "",
        _files_digest(path) if source != "hub" else "",
    )


def _read_config(path: Path) -> tuple[dict[str, Any], str]:
    if not path.exists():
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(f"there is no model at {path}.{did_you_mean(path.name, siblings)}")
    if path.suffix == ".gguf":
        raise UserError(f"{path} is a GGUF file; use the model's safetensors checkpoint instead")
    if not path.is_dir():
        raise UserError(f"{path} is a file; type model.model_path={path.parent}")
    file = path / "config.json"
    if file.is_file():
        config, raw = _read_json(file)
        if not config.get("model_type") and not config.get("architectures"):
            raise UserError(
                f"{file} names neither model_type nor architectures, so the kind of model is "
                "unknown; take config.json from the model's own repository"
            )
        return config, hashlib.sha256(raw).hexdigest()[:16]
    if (path / "params.json").is_file():  # Mistral's format, which vLLM reads too
        return {}, ""
    if (path / "adapter_config.json").is_file():
        base = _read_json(path / "adapter_config.json")[0].get(
            "base_model_name_or_path", "its base"
        )
        raise UserError(
            f"{path} is a LoRA adapter, not a model; merge it into {base} first "
            "(peft: merge_and_unload, then save_pretrained) and type the merged directory"
        )
    if any(path.glob("*.gguf")):
        raise UserError(
            f"{path} holds GGUF files and no config.json; use the model's safetensors checkpoint"
        )
    inner = [*path.glob("*/config.json"), *path.glob("snapshots/*/config.json")]
    if inner:
        newest = max(inner, key=lambda p: p.stat().st_mtime).parent
        raise UserError(
            f"{path} has no config.json; for its newest checkpoint type model.model_path={newest}"
        )
    raise UserError(f"{path} has no config.json, so it is not a model in the Hugging Face layout")


def _read_json(file: Path) -> tuple[dict[str, Any], bytes]:
    _refuse_lfs_pointer(file)
    raw = file.read_bytes()
    try:
        value = json.loads(raw)
    except ValueError as error:
        raise UserError(f"{file} is not JSON ({error}); download or save it again") from None
    if not isinstance(value, dict):
        raise UserError(f"{file} is not a JSON object; download or save it again")
    return value, raw


def _refuse_lfs_pointer(file: Path) -> None:
    if not file.is_file() or file.stat().st_size > 1024:
        return
    if file.read_bytes().startswith(b"version https://git-lfs"):
        raise UserError(f"{file} is a git-lfs pointer; type: git -C {file.parent} lfs pull")


def _check_weights(path: Path) -> None:
    for suffix in (".safetensors", ".bin", ".pt"):  # in the order vLLM prefers them
        files = {p.name for p in path.glob(f"*{suffix}")} - _TRAINING_STATE
        index = path / _INDEXES.get(suffix, "")
        if suffix in _INDEXES and index.is_file():
            files = set(_read_json(index)[0].get("weight_map", {}).values())
            if missing := sorted(name for name in files if not (path / name).is_file()):
                raise UserError(
                    f"{path} lacks {len(missing)} of the {len(files)} weight files that "
                    f"{index.name} names, {missing[0]} first; download or copy it again"
                )
        for name in sorted(files):
            _refuse_lfs_pointer(path / name)
            if suffix == ".safetensors":
                _check_safetensors(path / name)
        if files:
            return
    gguf = " but GGUF files, which are not used here" if any(path.glob("*.gguf")) else ""
    raise UserError(f"{path} has a config.json and no weights (*.safetensors, *.bin, *.pt){gguf}")


def _check_safetensors(file: Path) -> None:
    """Compare the file's size with its header.

    Layout: 8 bytes header length, little endian; the JSON header; the tensors
    (https://github.com/huggingface/safetensors#format).
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = stream.read(length) if length <= min(size - 8, 100_000_000) else b""
    try:
        tensors = [t for name, t in json.loads(header).items() if name != "__metadata__"]
        expected = 8 + length + max((t["data_offsets"][1] for t in tensors), default=0)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"{file} is cut short or not a safetensors file ({size:,} bytes, no complete header); "
            "download or copy it again"
        ) from None
    if size != expected:
        raise UserError(
            f"{file} is {'cut short' if size < expected else 'damaged'}: it has {size:,} bytes, "
            f"its header says {expected:,}; download or copy it again"
        )


# Digests of all that the samples depend on


def _weights_digest(path: Path) -> str:
    """Digest sizes and sampled blocks of each file, to detect an overwritten checkpoint."""
    found = hashlib.blake2b(digest_size=8)
    for suffix in (".safetensors", ".bin", ".pt"):
        for file in sorted(path.glob(f"*{suffix}")):
            if file.name in _TRAINING_STATE:
                continue
            size = file.stat().st_size
            found.update(f"{file.name} {size}\n".encode("utf-8", "surrogateescape"))
            with file.open("rb") as stream:
                for i in range(SAMPLED_BLOCKS):
                    stream.seek(max(0, size - SAMPLED_BYTES) * i // (SAMPLED_BLOCKS - 1))
                    found.update(stream.read(SAMPLED_BYTES))
    return found.hexdigest()


def _files_digest(path: Path) -> str:
    """Digest the files that turn prompts into tokens: tokenizer and chat template."""
    found = hashlib.blake2b(digest_size=8)
    others = ("chat_template*", "special_tokens_map.json", "added_tokens.json", "merges.txt")
    names = {file for pattern in (*_TOKENIZERS, *others) for file in path.glob(pattern)}
    for file in sorted(names):
        if file.is_file():
            found.update(file.name.encode("utf-8", "surrogateescape") + b"\0" + file.read_bytes())
    return found.hexdigest()

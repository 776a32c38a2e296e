"""Names in wandb: the group of each figure, tags, and the name of an artifact.

wandb shows a section of charts for each group. metrics.jsonl and summary.json keep the bare names.
Imports no wandb.
"""

import math
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from rollout.config.sections.engine import Backend
from rollout.config.settings import Settings
from rollout.errors.secret_texts import without_secrets
from rollout.system.safe_text import one_line

STEP = "elapsed_s"  # the x axis of every chart
MAX_TAG = 64  # characters; wandb refuses longer ones
KIND = "responses"  # of an artifact; wandb calls it a type
MAX_NAME = 128  # of a run, a group, an artifact
# The first pattern that matches a whole name decides; other names are in run/.
GROUPS = tuple(
    (group, re.compile(pattern))
    for group, pattern in (
        ("engine", r"replica.*|balance|gpu_.*|kv_cache_.*|prefix_cache_.*"),
        ("speed", r".*_per_.*"),
        ("quality", r".*_fraction|.*_response_tokens"),
        ("quality", r"num_(failed|truncated|empty|distinct|unclosed|repetitive)"),
        ("engine", r"num_(running|waiting|preemptions|steps|gpus|replicas|sharing|beside)"),
        ("engine", r"num_engine_restarts|.*_(gib|w|j)"),
        ("speed", r".*_s|num_.*(rows|samples|tokens)"),
    )
)


def grouped(name: str) -> str:
    """Return the name of a figure in wandb: `speed/output_tokens_per_s`."""
    group = next((group for group, pattern in GROUPS if pattern.fullmatch(name)), "run")
    return f"{group}/{name}"


def is_rate(name: str) -> bool:
    return bool(re.search(r"_per_[a-z]+$", name))


def charted(line: Mapping[str, Any]) -> dict[str, float | int]:
    """Return the finite numbers of a line of metrics.jsonl by their names in wandb."""
    return {
        grouped(name): value
        for name, value in line.items()
        if name != STEP
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    }


def summarized(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of summary.json by their names in wandb.

    Those of the engine and of the scores join their groups; an interval becomes two figures.
    """
    found = {}
    for name, value in figures.items():
        if name == "scores" and isinstance(value, Mapping):
            found |= _scores(value)
        elif name == "engine" and isinstance(value, Mapping):
            found |= {f"engine/{key}": fact for key, fact in value.items()}
        else:
            found[grouped(name)] = value
    return found


def _scores(scores: Mapping[str, Any]) -> dict[str, Any]:
    found = {f"scores/{name}": value for name, value in scores.items() if name != "intervals"}
    for name, (low, high) in (scores.get("intervals") or {}).items():
        found |= {f"scores/{name}_low": low, f"scores/{name}_high": high}
    return found


def tags_of(settings: Settings) -> list[str]:
    """Return the tags of every run: model, presets, scorer, n, and the input's name."""
    model = str(settings.model.model_path or "")
    is_scripted = settings.engine.backend is Backend.scripted
    name = PurePosixPath(model.rpartition(":")[2]).name if not is_scripted else ""
    engine, sampling = (settings.presets.get(group) for group in ("engine", "sampling"))
    given = settings.prepare.source or settings.data.input or ""  # as in summary.json
    source = "" if re.search(r"[*\[{]", given) else re.sub(r"[?#].*", "", given)
    found = {
        "engine": engine,
        "sampling": sampling if sampling != "default" else None,
        "scorer": settings.postprocess.scorer,
        "n": settings.sampling.n_samples,
        "input": PurePosixPath(source).name,
    }
    return [name, *(f"{key}={value}" for key, value in found.items() if value)]


def valid_tags(tags: Iterable[str]) -> list[str]:
    """Return the tags as wandb takes them: each once, on one line, not empty, at most MAX_TAG."""
    cut = (one_line(without_secrets(str(tag)), MAX_TAG) for tag in tags)
    return list(dict.fromkeys(tag for tag in cut if tag))


def upload_command(settings: Settings, run_name: str, path: Path) -> str:
    """Return the command that uploads a file or directory as an artifact."""
    name = f"{settings.tracking.project}/{readable_name(run_name)[:MAX_NAME]}"
    return shlex.join(["wandb", "artifact", "put", "--type", KIND, "--name", name, str(path)])


def artifact_name(run_name: str, run_id: str) -> str:
    """Return the name of a run's artifact: readable, and no other run's."""
    return f"{readable_name(run_name)[: MAX_NAME - len(run_id) - 1]}-{run_id}"


def readable_name(run_name: str) -> str:
    """Return the name in characters that wandb allows in that of an artifact."""
    return re.sub(r"[^a-zA-Z0-9_.-]+", "-", run_name)

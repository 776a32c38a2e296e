"""Group the points of a sweep that run side by side: same engine, same class of sampler.

Works on checked jobs; starts nothing.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rollout.config.sections.engine import Device
from rollout.config.sections.sampling import Sampling
from rollout.config.sections.scale import Scale
from rollout.engines.base import EnginePlan, Ladder
from rollout.errors import UserError
from rollout.inputs.input_files import same
from rollout.report.sweep.points import Point
from rollout.runs.job import Job, plan_of
from rollout.store.places import Kind, Place
from rollout.store.run_dir import SWEEP_RECORDS

MAX_POINTS = 32  # in one batch: each has open files and its own tracker
MAX_LORAS = 8  # adapters in the device's memory at once; more take turns
LIGHT = (  # sampling parameters that don't slow down the other samples of a batch
    "temperature", "top_p", "top_k", "repetition_penalty", "stop", "stop_token_ids", "ignore_eos",
    "include_stop_str_in_output", "skip_special_tokens",
)  # fmt: skip


@dataclass(slots=True, eq=False)
class Batch:
    """Points that run side by side."""

    plan: EnginePlan
    environment: dict[str, str]
    points: list[Point]
    ladder: Ladder | None = None  # what to lower when memory runs out


def refuse_own_tables(job: Job, directory: Path) -> None:
    """Raise UserError if a point would overwrite the sweep's files or read them as input."""
    for wanted in job.places:
        if wanted.path in [Path(os.path.realpath(directory)) / name for name in SWEEP_RECORDS]:
            raise wanted.refusal("is where the sweep keeps its own files")
    if any(same(file.parent, directory) for file in job.prompts.files):
        raise UserError(
            f"data.input={job.settings.data.input} is in the sweep's own directory, where "
            "sweep.parquet would become input; type another run_dir="
        )


def refuse_one_place(points: list[Point], taken: dict[Any, str]) -> None:
    """Raise UserError if two points would write the same file, links included.

    `taken` maps each file, by resolved path and by inode if it exists, to the point that writes it.
    """
    for point in points:
        name, written = point.name, list(point.job.places)
        for wanted in written:
            above = [parent for parent in wanted.path.parents if (parent, "directory") in taken]
            keys = [*_file_keys(wanted), *((parent, "directory") for parent in above)]
            if key := next((key for key in keys if key in taken), None):
                raise UserError(
                    f"{wanted.key}={wanted.given} is the same for the points {taken[key]} and "
                    f"{name}; {_advice(wanted.key, list(point.values))}"
                )
        taken |= {key: name for wanted in written for key in _file_keys(wanted)}


def _advice(key: str, swept: list[str]) -> str:
    """Return what to type if points would share the file that `key` names."""
    if key in swept:
        return f"type values of {key} that name different files"
    names = "-".join(f"${{{name}}}" for name in swept if "." in name) or "${run_dir}"
    return (
        "leave it out (each point writes in its own directory), or put every swept key in the "
        f"name: {key}='answers/{names}.parquet'"
    )


def _file_keys(wanted: Place) -> list[Any]:
    """Return the keys that identify a place: its path, its inode, whether it is a directory."""
    keys: list[Any] = [wanted.path]
    if wanted.kind is Kind.directory:
        keys.append((wanted.path, "directory"))
    if wanted.path.is_file():
        status = wanted.path.stat()
        keys.append((status.st_dev, status.st_ino))
    return keys


def batches_of(points: list[Point], directory: Path) -> list[Batch]:
    """Group points by engine and class of sampler, at most MAX_POINTS to a batch."""
    groups: dict[Any, dict[Any, Batch]] = {}
    plans = _with_adapters([plan_of(point.job, directory) for point in points], points)
    for point, plan in zip(points, plans, strict=True):
        engine = plan.identity, tuple(sorted(point.environment.items()))
        drawn = sampler_class(point.job.settings.sampling, point.job)
        groups.setdefault(engine, {}).setdefault(
            drawn, Batch(plan, point.environment, [])
        ).points.append(point)
    return [
        Batch(batch.plan, batch.environment, batch.points[i : i + MAX_POINTS])
        for by_class in groups.values()
        for batch in by_class.values()
        for i in range(0, len(batch.points), MAX_POINTS)
    ]


def rounds_of(
    batches: list[Batch], is_up: Callable[[EnginePlan, dict[str, str]], bool]
) -> list[list[list[Batch]]]:
    """Return rounds of groups of batches: a group's have the same engine.

    Groups of a round may run side by side: their engines take as much of the same host, so that it
    can be divided evenly. First comes the engine that is up; Ray before engines in this process,
    since it has to be started before vLLM imports it.
    """

    def order(batch: Batch) -> tuple[bool, bool]:
        return not is_up(batch.plan, batch.environment), batch.plan.scale.mode is Scale.local

    rounds: dict[Any, dict[Any, list[Batch]]] = {}
    for batch in sorted(batches, key=order):
        engine = batch.plan.identity, tuple(sorted(batch.environment.items()))
        plan = batch.plan
        alike = repr(plan.scale), plan.device, plan.engine.world_size
        rounds.setdefault(alike, {}).setdefault(engine, []).append(batch)
    return [list(groups.values()) for groups in rounds.values()]


def _with_adapters(plans: list[EnginePlan], points: list[Point]) -> list[EnginePlan]:
    """Return the plans, made equal where they differ only in the LoRA adapter.

    On a CPU, points without an adapter stay apart: vLLM's CPU kernels (seen in 0.32) apply the
    last adapter to the rows of a mixed batch that have none.
    """
    bare = [replace(plan, lora_rank=0, num_loras=0).identity for plan in plans]
    found = []
    for plan, point, identity in zip(plans, points, bare, strict=True):
        if plan.device is Device.cpu and not point.job.adapter:
            found.append(plan)
            continue
        alike = [i for i, other in enumerate(bare) if other == identity]
        used = {points[i].job.adapter.path for i in alike if points[i].job.adapter}
        rank = max(plans[i].lora_rank for i in alike)
        found.append(replace(plan, lora_rank=rank, num_loras=min(len(used), MAX_LORAS)))
    return found


def sampler_class(sampling: Sampling, job: Job) -> tuple[str, ...]:
    """Return the options that slow down the sampler for a whole batch if one request sets them.

    Measured on vLLM's CPU backend: one request with top_p below 1 makes the batch 1.7 times as
    slow; temperature, top_k, seeds and lengths cost nothing. On GPUs (from vLLM's source, not
    measured) a seed per request keeps vLLM from its fastest sampler. Greedy sampling ignores top_p.
    """
    model = job.model.generation_config if job.model else {}
    top_p = model.get("top_p", 1.0) if sampling.top_p is None else sampling.top_p
    penalty = sampling.repetition_penalty
    if penalty is None:
        penalty = model.get("repetition_penalty", 1.0)
    found = [name for name in sampling.params if name not in LIGHT]
    if top_p < 1 and sampling.temperature != 0:
        found.append("top_p")
    if penalty != 1:
        found.append("repetition_penalty")
    if sampling.seed is None:
        found.append("unseeded")
    if {"logprobs", "cumulative_logprob"} & set(job.settings.output.columns):
        found.append("logprobs")
    return tuple(sorted(found))

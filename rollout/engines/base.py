"""The interface between a run and the engine: requests in, their samples out.

There are two implementations: vllm/ (real) and scripted.py (no model, faults on demand). ray/ runs
either of them in another process, behind the same interface. An engine owns its processes and
memory until `shutdown`, which is called on every exit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from rollout.config.sections.engine import Device
from rollout.config.sections.engine import Engine as EngineSettings
from rollout.config.sections.model import Model
from rollout.config.sections.sampling import Sampling
from rollout.config.sections.scale import ScaleOut
from rollout.engines.memory_faults import MemoryFault
from rollout.rows.prompt import is_greedy_row
from rollout.rows.reasoning import TAGS
from rollout.rows.request import Completion, Request


@dataclass(slots=True)
class EnginePlan:
    """The settings an engine is loaded with, checked before anything heavy is imported."""

    model: Model
    model_path: str  # resolved: a local directory or a hub id
    revision: str | None
    engine: EngineSettings
    device: Device  # resolved: cpu or cuda
    available_gib: float  # host memory free now
    log_file: Path  # the engine's log, tracebacks included
    lora_rank: int = 0  # the largest rank among the adapters to serve
    num_loras: int = 0  # adapters served at the same time
    scale: ScaleOut = field(default_factory=ScaleOut)  # how many such engines, and where

    @property
    def identity(self) -> tuple[Any, ...]:
        """A key: one engine can serve all plans with the same identity."""
        model = self.model_path, self.revision, self.model.trust_remote_code
        engine = repr(self.engine), self.device, self.lora_rank, self.num_loras
        return *model, *engine, repr(self.scale)


@dataclass(slots=True)
class Sampler:
    """How to render a run's chats and draw its samples, in the engine's own form."""

    sampling: dict[str, Any]  # effective values; printed and recorded
    notes: list[str] = field(default_factory=list)  # where they differ from the model's
    ready: Any = None  # private to the engine: sampling parameters
    chat: Any = None  # private to the engine: how it renders chats
    adapter: Any = None  # private to the engine: the LoRA adapter
    reasoning_tags: Sequence[str] = TAGS  # the first may end a prompt
    is_greedy: bool = False


GREEDY_NOTE = "temperature 0 is greedy: one response is drawn for each prompt and repeated n times"


def repeats(request: Request) -> bool:
    """Return whether a single sample is drawn and repeated for all n samples of the request.

    True at temperature 0 with n > 1, whether the run or the row sets it: n stays n.
    """
    return request.n_samples > 1 and is_greedy_row(request.prompt, request.sampler)


@dataclass(frozen=True, slots=True)
class ReplicaStats:
    """What the engines of one slot have done so far."""

    number: int
    where: str  # the node of the last one
    is_up: bool = False
    up_s: float = 0.0
    num_rows: int = 0
    num_output_tokens: int = 0
    num_restarts: int = 0

    def since(self, before: "ReplicaStats | None") -> "ReplicaStats":
        """Return what was done after `before`."""
        if before is None:
            return self
        names = ("up_s", "num_rows", "num_output_tokens", "num_restarts")
        return replace(self, **{n: getattr(self, n) - getattr(before, n) for n in names})

    @property
    def output_tokens_per_s(self) -> float | None:
        """Tokens per second while it was up."""
        return self.num_output_tokens / self.up_s if self.up_s > 0 else None


@dataclass(slots=True)
class EngineStats:
    """Counters since the engine started, and current gauges, from the engine's own statistics."""

    num_output_tokens: int = 0
    num_cached_tokens: int = 0  # prompt tokens found in the prefix cache
    num_queried_tokens: int = 0  # prompt tokens looked up in the prefix cache
    num_preemptions: int = 0  # not counted if prefix caching is off
    num_steps: int = 0
    num_running: int = 0
    num_waiting: int = 0
    num_running_tokens: int = 0  # output tokens of the samples that have not ended
    least_running_tokens: int = 0  # of the one among them that has the fewest
    num_ended_in_flight: int = 0  # samples that ended, while others of their request still run
    kv_cache_usage: float = 0.0  # share of the blocks in use, 0 to 1
    kv_cache_usage_peak: float = 0.0
    # Of the devices, see system/gpus.py; filled in by the caller, not by the engine.
    memory_gib: float | None = None
    gpu_utilization: float | None = None
    power_w: float | None = None
    energy_j: float | None = None  # a counter, unlike the others
    replicas: tuple[ReplicaStats, ...] = ()  # of each slot; none of an engine in this process


COUNTERS = (
    "num_output_tokens", "num_cached_tokens", "num_queried_tokens", "num_preemptions", "num_steps",
)  # fmt: skip
GAUGES = "num_running", "num_waiting", "num_running_tokens", "num_ended_in_flight"  # add up


@dataclass(slots=True)
class EngineFacts:
    """The engine's settings as it resolved them; printed and recorded."""

    name: str
    version: str
    max_num_seqs: int
    max_model_len: int
    num_gpus: int = 0
    has_chat_template: bool = False
    where: str = ""  # the node it runs on; empty: this process
    details: dict[str, Any] = field(default_factory=dict)


class Engine(Protocol):
    """One engine. Not thread-safe: a single driver owns it."""

    facts: EngineFacts  # once it is up
    num_steps: int  # iterations so far

    @property
    def is_up(self) -> bool:
        """Whether it is loaded; always true of an engine in this process.

        Raises RolloutError if it can't be loaded.
        """

    def sampler(
        self, sampling: Sampling, model: Model, wants_logprobs: bool, adapter: Path | None = None
    ) -> Sampler:
        """Return the Sampler that requests of a run with these settings carry.

        It is valid for every engine of the same plan. Of `model`, only the chat template and its
        variables are used. `adapter` is the directory of a LoRA adapter.

        Raises UserError if the engine does not accept the settings.
        """

    def submit(self, request: Request) -> None:
        """Queue all samples of a request.

        Raises RequestRefused if the engine does not accept this request, EngineError if it died. An
        engine in another process returns a Completion with an `error` later instead.
        """

    def step(self) -> list[Completion]:
        """Advance by one iteration; return the requests it completed, in any order.

        An engine in another process advances by itself; this returns at once what has arrived.
        Each request is returned once, with exactly its n samples in sample order. A sample that
        continues a prefix includes the prefix.
        Raises EngineError if the engine died; unfinished requests are then lost.
        """

    @property
    def num_unfinished(self) -> int:
        """Number of samples (not rows) submitted and not finished."""

    def stats(self) -> EngineStats:
        """Return the current counters. Cheap enough to call a few times a second, not per step."""

    def shutdown(self) -> None:
        """Free all memory and end all processes; safe to call twice, and after a death."""


class Host(Protocol):
    """Where engines run: this process, or the nodes of a cluster."""

    def num_slots(self, plan: EnginePlan) -> int:
        """Return how many engines of `plan` are wanted: as asked, or as many as there is room."""

    def load(self, plan: EnginePlan, environment: Mapping[str, str], group: str) -> Engine:
        """Start an engine, which may be up only later. Raises RolloutError.

        A sampler made by one engine of a `group` serves all of them, also when memory ran out and
        the next one has other settings.
        """

    def wait(self, timeout_s: float) -> None:
        """Wait until something arrived from an engine, or until `timeout_s` is over."""

    def is_leaving(self, engine: Engine) -> bool:
        """Whether the engine's node will soon be taken away: it should get no more requests."""

    def close(self) -> None:
        """Free what the host holds; all engines are shut down."""


CPU_KV_CACHE_GIB = 4.0
CPU_BLOCK_SIZE = 32  # tokens; vLLM's 128 on CPUs keeps shorter prompts from sharing their prefix


def cpu_kv_cache_gib(available_gib: float) -> float:
    """Return the default KV cache size on a CPU: 4 GiB, or a quarter of free memory if less."""
    return min(CPU_KV_CACHE_GIB, available_gib / 4)


@dataclass(frozen=True, slots=True)
class Rung:
    """A smaller engine, and the settings that were changed: name -> value."""

    engine: EngineSettings
    changed: dict[str, object]

    def __str__(self) -> str:
        return " ".join(f"engine.{name}={value}" for name, value in self.changed.items())


class Ladder(Protocol):
    """The settings to lower, one rung at a time, when an engine runs out of memory."""

    @property
    def longest(self) -> int | None:
        """Tokens of the longest prompt with its response; None if unknown."""
        ...

    def next(self, engine: EngineSettings, fault: MemoryFault) -> Rung | None:
        """Return the next rung down from `engine`; None if nothing is left to lower."""
        ...

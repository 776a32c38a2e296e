"""The seam between the run and whatever generates: requests in, their samples out.

Two peers stand behind it: vllm.py (real) and scripted.py (no model, faults on demand). An
engine owns its processes and memory until `shutdown`, which is called on every way out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rollout.config.sections.engine import Device
from rollout.config.sections.engine import Engine as EngineSettings
from rollout.config.sections.model import Model
from rollout.config.sections.sampling import Sampling
from rollout.engines.memory_faults import MemoryFault
from rollout.rows.prompt import is_greedy_row
from rollout.rows.reasoning import TAGS
from rollout.rows.request import Completion, Request


@dataclass(slots=True)
class EnginePlan:
    """What an engine is loaded with; known and checked before anything heavy is imported."""

    model: Model
    model_path: str  # resolved: a local directory or a hub id
    revision: str | None
    engine: EngineSettings
    device: Device  # resolved: cpu or cuda
    available_gib: float  # host memory free now
    log_file: Path  # the engine's own words, tracebacks included
    lora_rank: int = 0  # the largest of the adapters it is to serve
    num_loras: int = 0  # different ones side by side

    @property
    def identity(self) -> tuple[Any, ...]:
        """Two plans with the same identity can be served by one engine."""
        model = self.model_path, self.revision, self.model.trust_remote_code
        return *model, repr(self.engine), self.device, self.lora_rank, self.num_loras


@dataclass(slots=True)
class Sampler:
    """How a run's chats are rendered and its samples drawn: settings as the engine takes them."""

    sampling: dict[str, Any]  # effective values; printed and recorded
    notes: list[str] = field(default_factory=list)  # where they differ from the model's
    ready: Any = None  # the engine room's own
    chat: Any = None  # how it renders chats, the engine room's own
    adapter: Any = None  # the LoRA adapter, the engine room's own
    reasoning_tags: Sequence[str] = TAGS  # the first may end a prompt
    is_greedy: bool = False


ONE_FOR_ALL = "temperature 0 is greedy: one response is drawn for each prompt and stands n times"


def repeats(request: Request) -> bool:
    """Whether one sample is drawn and stands for all that the request asks for.

    The rule for temperature 0 with n > 1, be it the run's or the row's own: n stays n.
    """
    return request.n_samples > 1 and is_greedy_row(request.prompt, request.sampler)


@dataclass(slots=True)
class EngineStats:
    """Counters since the engine started, and gauges of now; all from the engine's own books."""

    num_output_tokens: int = 0
    num_cached_tokens: int = 0  # of the prompt tokens looked up, those found in the prefix cache
    num_queried_tokens: int = 0  # prompt tokens looked up in the prefix cache
    num_preemptions: int = 0  # not counted where prefix caching is off
    num_steps: int = 0
    num_running: int = 0
    num_waiting: int = 0
    kv_cache_usage: float = 0.0  # share of the blocks in use, 0 to 1
    kv_cache_usage_peak: float = 0.0
    memory_gib: float | None = None  # held now; put in by who asks, not by the engine


COUNTERS = (
    "num_output_tokens", "num_cached_tokens", "num_queried_tokens", "num_preemptions", "num_steps",
)  # fmt: skip


@dataclass(slots=True)
class EngineFacts:
    """What the engine resolved its settings to; printed and recorded."""

    name: str
    version: str
    max_num_seqs: int
    max_model_len: int
    num_gpus: int = 0
    has_chat_template: bool = False
    details: dict[str, Any] = field(default_factory=dict)


class Engine(Protocol):
    """One loaded engine. Not thread safe: one driver owns it."""

    facts: EngineFacts

    def sampler(
        self,
        sampling: Sampling,
        model: Model,
        wants_logprobs: bool,
        adapter: Path | None = None,
    ) -> Sampler:
        """What requests of a run with these settings carry; good for every engine of one plan.

        Of `model` the chat template counts, and its variables. `adapter` is a LoRA adapter's
        directory.

        Raises UserError where the engine does not take them.
        """

    def submit(self, request: Request) -> None:
        """Queue all samples of a request.

        Raises RequestRefused where this one can't be had, EngineError where the engine is dead.
        """

    def step(self) -> list[Completion]:
        """Advance by one iteration; return what was completed, in any order.

        A request comes back once, with exactly its n samples in sample order; one with a prefix
        with that sample whole, prefix included.
        Raises EngineError when the engine died: what is unfinished is then lost.
        """

    @property
    def num_unfinished(self) -> int:
        """Samples (not rows) submitted and not finished."""

    def stats(self) -> EngineStats:
        """The counters as they stand; cheap enough for a few times a second, not every step."""

    def shutdown(self) -> None:
        """Free everything and end every process; safe to call twice and after a death."""


CPU_KV_CACHE_GIB = 4.0
CPU_BLOCK_SIZE = 32  # tokens; vLLM's 128 on CPUs keeps shorter prompts from sharing their prefix


def cpu_kv_cache_gib(available_gib: float) -> float:
    """The KV cache on a CPU where nothing is said: 4 GiB, or a quarter of the memory free."""
    return min(CPU_KV_CACHE_GIB, available_gib / 4)


@dataclass(frozen=True, slots=True)
class Rung:
    """A smaller engine, and what was changed: setting -> value."""

    engine: EngineSettings
    changed: dict[str, object]

    def __str__(self) -> str:
        return " ".join(f"engine.{name}={value}" for name, value in self.changed.items())


class Ladder(Protocol):
    """What to give up, a rung at a time, when an engine runs out of memory."""

    @property
    def longest(self) -> int | None:
        """Tokens of the longest prompt with its response, as far as the data are known."""
        ...

    def next(self, engine: EngineSettings, fault: MemoryFault) -> Rung | None:
        """The next rung down from `engine`; None at the floor."""
        ...

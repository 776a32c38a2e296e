"""`engine.`: how the model is run."""

import typing
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from rollout.config.schema import HOW, WHAT, setting

DTYPES = ("auto", "bfloat16", "float16", "float32")
KV_CACHE_DTYPES = ("auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2")


class Device(Enum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Backend(Enum):
    vllm = "vllm"
    scripted = "scripted"


class OnOom(Enum):
    fail = "fail"
    step_down = "step_down"


@dataclass(kw_only=True, slots=True)
class Scripted:
    """The scripted engine: deterministic, no model, failures on demand."""

    response_tokens: int = setting(
        16, "tokens of each response, at most max_tokens", minimum=1, kind=WHAT
    )
    vary: bool = setting(
        True, "lengths vary from 1 to twice response_tokens; false: all equal", kind=WHAT
    )
    text: str | None = setting(None, "text of every response", kind=WHAT)
    instant: bool = setting(False, "every sample ends in the step that admits it")
    max_model_len: int = setting(4096, "longer prompts (1 token per word) are refused", minimum=1)
    step_s: float = setting(0.0, "seconds each step takes", minimum=0)
    load_s: float = setting(0.0, "seconds loading takes", minimum=0)
    refuse: str | None = setting(None, "refuse prompts that contain this text")
    poison: str | None = setting(None, "prompts that contain this text kill the engine")
    die_after_steps: int | None = setting(None, "each engine dies after this many steps", minimum=0)
    oom_above: int | None = setting(None, "out of memory if max_num_seqs is above this", minimum=1)
    oom_after_steps: int = setting(
        0, "oom_above: after this many steps; 0: while loading", minimum=0
    )


@dataclass(kw_only=True, slots=True)
class Engine:
    """How the model is run: vLLM's settings under vLLM's names."""

    kind: typing.ClassVar[str] = HOW
    backend: Backend = setting(
        Backend.vllm, "vllm, or scripted (no model: for tests and drills)", kind=WHAT
    )
    device: Device = setting(Device.auto, "auto: the GPUs if there are any, else the CPU")
    tensor_parallel_size: int = setting(1, "GPUs that share one copy of the model", minimum=1)
    pipeline_parallel_size: int = setting(
        1, "stages that share the layers, each on tensor_parallel_size GPUs", minimum=1
    )
    gpu_memory_utilization: float = setting(
        0.9, "share of each GPU's memory to use", above=0, maximum=1
    )
    max_model_len: int | None = setting(
        None, "context length, in tokens; null: the model's own", minimum=1, kind=WHAT
    )
    dtype: str = setting("bfloat16", "bfloat16, float16, float32 or auto", kind=WHAT)
    quantization: str | None = setting(
        None, "vLLM's quantization method; null: the checkpoint's", kind=WHAT
    )
    enforce_eager: bool = setting(False, "no CUDA graphs: less memory, slower decoding")
    enable_prefix_caching: bool = setting(True, "compute shared prompt prefixes once")
    max_num_seqs: int = setting(256, "maximum number of samples decoded at once", minimum=1)
    max_num_batched_tokens: int | None = setting(
        None, "maximum tokens per step; null: vLLM's choice", minimum=1
    )
    kv_cache_gib: float | None = setting(
        None, "KV cache size in GiB; null: from gpu_memory_utilization, or 4 on a CPU", above=0
    )
    kv_cache_dtype: str = setting(
        "auto", "auto: as dtype; fp8, fp8_e4m3, fp8_e5m2: half the memory per token", kind=WHAT
    )
    preflight: bool = setting(True, "refuse before loading what can't fit; false: try anyway")
    on_oom: OnOom = setting(
        OnOom.fail, "out of memory: fail, or step_down to smaller settings and continue"
    )
    on_oom_kv_cache_dtype: str | None = setting(
        None, "KV cache dtype that step_down may use, such as fp8; it changes the samples"
    )
    max_restarts: int = setting(
        3, "maximum restarts of a dead engine without a row finished in between", minimum=0
    )
    extra: dict[str, Any] = setting({}, "further vLLM EngineArgs, verbatim")
    scripted: Scripted = field(default_factory=Scripted)

    @property
    def world_size(self) -> int:
        """Devices of one engine: vLLM's word."""
        return self.tensor_parallel_size * self.pipeline_parallel_size

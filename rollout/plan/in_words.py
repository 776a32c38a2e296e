"""A fit in words and numbers: one line before loading, and plain values for programs."""

from typing import Any

from rollout.config.sections.engine import Device
from rollout.config.sections.sampling import Sampling
from rollout.plan.choose import Choice
from rollout.plan.memory.fit import Fit, Limit, gib
from rollout.plan.prompts.lengths import Lengths

LIMITS = {
    Limit.none: "max_num_seqs",
    Limit.kv_cache: "KV cache",
    Limit.context: "context",
    Limit.model: "model's context",
    Limit.weights: "weights",
    Limit.free: "free memory",
    Limit.devices: "GPUs",
    Limit.heads: "heads",
    Limit.dtype: "dtype",
    Limit.device: "device",
}


def one_line(fit: Fit) -> str:
    """What an engine will hold: weights, KV cache in tokens, requests side by side, the limit."""
    line = f"weights {gib(fit.weights_gib)}, "
    if fit.hardware.device is Device.cuda:
        line += f"activations and CUDA graphs about {gib(fit.allowance.total_gib)}, "
    line += f"KV cache {gib(fit.kv_cache_gib)} = {fit.kv_tokens:,} tokens: "
    line += f"{samples(fit.full_length)} requests of {fit.max_model_len:,} tokens side by side"
    if fit.typical is not None:
        line += f", {samples(fit.typical)} of the data's length"
    limit = LIMITS[fit.limit]
    if fit.limit is Limit.none:
        limit = f"max_num_seqs={fit.engine.max_num_seqs}"
    return f"{line}; limited by {limit}"


def samples(number: float) -> str:
    """How many samples side by side: 1.8, 12, 1,024."""
    return f"{number:,.1f}" if number < 10 else f"{number:,.0f}"


def chosen_words(choice: Choice) -> str:
    """`tensor_parallel_size=2 max_num_seqs=512`, of what differs from what was asked."""
    return " ".join(f"{name}={value}" for name, value in choice.changed.items())


def values_of(fit: Fit) -> dict[str, Any]:
    """The figures for JSON; GiB per device."""
    return {
        "fits": fit.fits,
        "limit": LIMITS[fit.limit],
        "why": fit.why or None,
        "tensor_parallel_size": fit.engine.tensor_parallel_size,
        "gpu_memory_utilization": fit.engine.gpu_memory_utilization,
        "max_num_seqs": fit.engine.max_num_seqs,
        "max_model_len": fit.max_model_len,
        "weights_gib": round(fit.weights_gib, 3),
        "activation_gib": round(fit.allowance.activation_gib, 3),
        "cuda_graphs_gib": round(fit.allowance.graphs_gib, 3),
        "other_gib": round(fit.allowance.other_gib, 3),
        "budget_gib": round(fit.budget_gib, 3),
        "kv_cache_gib": round(fit.kv_cache_gib, 3),
        "kv_cache_tokens": fit.kv_tokens,
        "full_length_requests": round(fit.full_length, 3),
        "typical_requests": None if fit.typical is None else round(fit.typical, 1),
        "samples_side_by_side": round(fit.num_side_by_side, 1),
        "longest_context": fit.longest_context,
    }


def room_note(lengths: Lengths, context: int, sampling: Sampling) -> str | None:
    """How many rows have less room than max_tokens, where there are any that have some."""
    limit = sampling.token_limit
    if limit is None:
        return None
    cut, over = lengths.num_longer_than(context - limit), lengths.num_longer_than(context - 1)
    if (num_rows := cut.num_rows - over.num_rows) <= 0:
        return None
    about = "" if cut.is_exact and over.is_exact else "about "
    return (
        f"note: {about}{num_rows:,} of {lengths.num_rows:,} rows have room for less than "
        f"max_tokens={limit:,} in the context of {context:,} tokens; their responses end there, "
        "with finish_reason length"
    )

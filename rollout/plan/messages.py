"""A fit as text and values: the line printed before an engine loads, and JSON."""

from math import floor
from typing import Any

from rollout.config.sections.engine import Device, Engine
from rollout.config.sections.sampling import Sampling
from rollout.plan.choose import Choice
from rollout.plan.memory.fit import Fit, Limit, gib
from rollout.plan.prompts.lengths import Lengths


def one_line(fit: Fit) -> str:
    """Return one line: weights, KV cache in tokens, concurrent requests, the limit."""
    line = f"weights {gib(fit.weights_gib)}, "
    if fit.hardware.device is Device.cuda:
        line += f"activations and CUDA graphs about {gib(fit.allowance.total_gib)}, "
    line += f"KV cache {gib(fit.kv_cache_gib)} = {fit.kv_tokens:,} tokens: "
    line += f"{samples(fit.full_length)} concurrent requests of {fit.max_model_len:,} tokens"
    if fit.typical is not None:
        line += f", {samples(fit.typical)} of typical length"
    limit = fit.limit.value
    if fit.limit is Limit.none:
        limit = f"max_num_seqs={fit.engine.max_num_seqs}"
    return f"{line}; limited by {limit}"


def samples(number: float) -> str:
    """Format a number of concurrent samples, rounded down, as they must all fit: 1.8, 12, 1,024."""
    tenths = floor(10 * number + 1e-9)  # of 1.1 * 3 and the like
    return f"{tenths / 10:,.1f}" if tenths < 100 else f"{tenths // 10:,}"


def parallel_sizes(engine: Engine) -> str:
    """Format how an engine is divided: 4 for TP 4, and 4 x 2 for TP 4 and PP 2."""
    stages = engine.pipeline_parallel_size
    return f"{engine.tensor_parallel_size}{f' x {stages}' if stages > 1 else ''}"


def changed_settings(choice: Choice) -> str:
    """Return the settings that `engine=auto` changed: `tensor_parallel_size=2 max_num_seqs=512`."""
    return " ".join(f"{name}={value}" for name, value in choice.changed.items())


def fit_values(fit: Fit) -> dict[str, Any]:
    """Return the figures for JSON; GiB per device."""
    return {
        "fits": fit.fits,
        "limit": fit.limit.value,
        "why": fit.why or None,
        "tensor_parallel_size": fit.engine.tensor_parallel_size,
        "pipeline_parallel_size": fit.engine.pipeline_parallel_size,
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
        "samples_side_by_side": round(fit.num_concurrent, 1),
        "longest_context": fit.longest_context,
    }


def room_note(lengths: Lengths, context: int, sampling: Sampling) -> str | None:
    """Return a note on the rows with room for a response shorter than max_tokens; None if none."""
    limit = sampling.token_limit
    if limit is None:
        return None
    cut = lengths.num_cut(context, limit)
    if cut.num_rows <= 0:
        return None
    return (
        f"note: {cut} of {lengths.num_rows:,} rows leave room for fewer than "
        f"max_tokens={limit:,} tokens in the context of {context:,}; their responses may end "
        "early, with finish_reason length"
    )

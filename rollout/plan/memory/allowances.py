"""Estimates of the memory besides weights and KV cache: activations, CUDA graphs, CUDA itself.

Not measured, but fitted to figures that users of vLLM 0.8 to 0.31 posted: activations of 1.2 GiB
for Llama-3.1-8B at 256 samples, 5.6 GiB at 1,024, 2.0 GiB for Mistral-7B at 16,384 tokens; CUDA
graphs of 0.2 to 0.7 GiB for dense models up to 8B, 2 GiB and more for mixtures of experts; 0.07
to 0.3 GiB outside torch on one GPU, 0.6 to 1.4 GiB on several.
"""

from dataclasses import dataclass

from rollout.config.sections.engine import Device, Engine
from rollout.plan.memory.hardware import Hardware
from rollout.plan.memory.shape import Shape, dtype_bytes, num_experts

GIB = 2**30
MOST_ON_CPU = 256
CPU_OVERHEAD_GIB = 1.5  # resident memory of vLLM, torch and the process itself
SAMPLER_BYTES = 36  # per logit: float32, a sorted copy, indices, probabilities, cumulative sum
GRAPHS_GIB, GRAPHS_GIB_PER_LAYER, MOST_CAPTURED = 0.1, 0.016, 512
OTHER_GIB, OTHER_GIB_TP = 0.3, 0.7


@dataclass(frozen=True, slots=True)
class Allowance:
    """Estimates in GiB per device."""

    activation_gib: float
    graphs_gib: float
    other_gib: float  # CUDA context, NCCL, workspaces; on a CPU the process itself

    @property
    def total_gib(self) -> float:
        return self.activation_gib + self.graphs_gib + self.other_gib


def allowances(
    shape: Shape, engine: Engine, hardware: Hardware, num_tokens: int, scale: float = 1.0
) -> Allowance:
    """Estimate the memory besides weights and KV cache, in GiB per device; `scale` weighs it.

    A step's peak is either the forward pass of `num_tokens` tokens (the feed-forward's inner
    activations, hidden states and their copies), or the sampler's work on the logits of
    `max_num_seqs` samples in float32.
    """
    config, tp = shape.config, engine.tensor_parallel_size
    if hardware.device is Device.cpu:
        tokens = min(num_tokens, 4096)  # prompts are prefilled one by one, without a warm-up
        forward = _forward_elements(shape, 1) * tokens * 4
        # A CPU has no profile run: count the logits of the samples that really run.
        logits = min(engine.max_num_seqs, MOST_ON_CPU) * shape.vocab_size * 4 * 2
        return Allowance(max(forward, logits) * scale / GIB, 0.0, CPU_OVERHEAD_GIB * scale)
    size = dtype_bytes(engine.dtype, shape)
    forward = _forward_elements(shape, tp) * num_tokens * size
    logits = engine.max_num_seqs * shape.vocab_size * SAMPLER_BYTES
    activation = max(forward, logits) / GIB
    graphs = 0.0
    if not engine.enforce_eager:
        share = min(engine.max_num_seqs, MOST_CAPTURED) / MOST_CAPTURED
        graphs = GRAPHS_GIB + GRAPHS_GIB_PER_LAYER * shape.num_layers * share
        graphs *= 2 if num_experts(config) else 1
    other = OTHER_GIB + (OTHER_GIB_TP if tp > 1 else 0.0)
    return Allowance(activation * scale, graphs * scale, other * scale)


def _forward_elements(shape: Shape, tp: int) -> float:
    """Return the values held per token at the widest point of one layer."""
    config, hidden = shape.config, shape.hidden_size
    inner = config.get("intermediate_size") or 4 * hidden
    if num_experts(config):
        inner = max(config.get("moe_intermediate_size") or inner, 1)
        chosen = config.get("num_experts_per_tok") or 2
        return 5 * hidden + chosen * (max(2 * inner / tp, hidden) + inner / tp + hidden)
    return 5 * hidden + 3 * inner / tp

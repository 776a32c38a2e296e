"""How many tokens a KV cache holds: blocks, groups and what one sequence takes of them.

Follows vLLM's block pool (vllm/v1/core/kv_cache_utils.py, as of 0.24 to 0.33): layers that cache
alike form groups of equally many layers; every group has a block table of its own, and all draw
blocks of one size from one pool. One block of the pool is never used.
"""

from dataclasses import dataclass
from math import ceil

from rollout.plan.memory.shape import Attention, CachedLayers, Shape


@dataclass(frozen=True, slots=True)
class Group:
    """Layers that share one block table."""

    kind: Attention
    window: int | None
    block_size: int  # tokens in a block

    def num_blocks(self, num_tokens: int, in_flight_tokens: int) -> int:
        """Blocks that a sequence of so many tokens holds at most.

        A sliding window keeps its last window - 1 tokens and those in flight; it may begin
        within a block, so one more (SlidingWindowSpec.max_admission_blocks_per_request).
        """
        if self.kind is not Attention.sliding:
            return ceil(num_tokens / self.block_size)
        kept = min(self.window - 1 + in_flight_tokens, num_tokens)
        return ceil(kept / self.block_size) + 1


@dataclass(frozen=True, slots=True)
class KVCache:
    """The KV cache of one model on one device; memory is asked in bytes."""

    groups: tuple[Group, ...]
    block_bytes: int  # of one block of the pool, all layers of a group together
    in_flight_tokens: int  # scheduled and not settled: the batched tokens of each step under way

    def num_blocks(self, memory_bytes: float) -> int:
        return int(memory_bytes // self.block_bytes)

    def blocks_of(self, num_tokens: int) -> int:
        """Blocks that one sequence of `num_tokens` takes."""
        return sum(group.num_blocks(num_tokens, self.in_flight_tokens) for group in self.groups)

    def bytes_of(self, num_tokens: int) -> int:
        """Memory in which one such sequence fits: its blocks, and the one never used."""
        return (self.blocks_of(num_tokens) + 1) * self.block_bytes

    def concurrency(self, memory_bytes: float, num_tokens: int) -> float:
        """How many sequences of `num_tokens` fit side by side."""
        return self.num_blocks(memory_bytes) / max(1, self.blocks_of(num_tokens))

    def num_tokens(self, memory_bytes: float, max_model_len: int) -> int:
        """Tokens of full-length sequences that fit, as vLLM logs it: `KV cache size: N tokens`."""
        return int(self.concurrency(memory_bytes, max_model_len) * max_model_len)

    def longest(self, memory_bytes: float, at_most: int) -> int:
        """The longest sequence that fits alone, in tokens; 0 where none does."""
        low, high = 0, at_most
        while low < high:
            middle = (low + high + 1) // 2
            if self.bytes_of(middle) <= memory_bytes:
                low = middle
            else:
                high = middle - 1
        return low

    @property
    def token_bytes(self) -> float:
        """Bytes that one more token of a short sequence costs."""
        return self.block_bytes * sum(1 / group.block_size for group in self.groups)


def kv_cache_of(
    shape: Shape,
    *,
    element_bytes: float,
    block_size: int,
    in_flight_tokens: int,
    tensor_parallel_size: int = 1,
    pipeline_parallel_size: int = 1,
) -> KVCache | None:
    """The KV cache of `shape` on each of the devices that share it; None where it has none.

    Layers of several kinds are split into groups as large as the smallest kind; where the
    largest kind is less than 1.5 times that, as large as the largest (kv_cache_utils.py,
    _get_kv_cache_groups_uniform_page_size). Smaller pages are made larger by more tokens.
    """
    kinds = [layers for layers in shape.layers if layers.num_layers]
    if not kinds:
        return None
    sizes = [
        _page_bytes(layers, element_bytes, block_size, tensor_parallel_size) for layers in kinds
    ]
    page = max(sizes)
    fewest = min(layers.num_layers for layers in kinds)
    most = max(layers.num_layers for layers in kinds)
    group_size = most if most < 1.5 * fewest else fewest
    groups: list[Group] = []
    for layers, size in zip(kinds, sizes, strict=True):
        tokens = block_size * int(page // size)
        number = ceil(layers.num_layers / group_size)
        groups += [Group(layers.kind, layers.window, tokens)] * number
    widest = min(group_size, most)  # layers of the largest group
    widest = ceil(widest / pipeline_parallel_size)
    return KVCache(tuple(groups), int(widest * page), in_flight_tokens)


def _page_bytes(layers: CachedLayers, element_bytes: float, block_size: int, tp: int) -> float:
    return block_size * layers.token_elements(tp) * element_bytes

"""How many tokens a KV cache holds: its blocks, its groups, and the blocks of one sequence.

Follows vLLM's block pool (vllm/v1/core/kv_cache_utils.py, as of 0.24 to 0.33): layers that cache
alike form groups with equal numbers of layers; each group has its own block table, and all take
blocks of one size from one pool. One block of the pool is never used.
"""

from dataclasses import dataclass
from math import ceil

from rollout.plan.memory.shape import Attention, Shape


@dataclass(frozen=True, slots=True)
class Group:
    """Layers that share one block table."""

    kind: Attention
    window: int | None
    block_size: int  # tokens in a block

    def num_blocks(self, num_tokens: int, in_flight_tokens: int) -> int:
        """Return the most blocks that a sequence of `num_tokens` holds.

        A sliding window keeps its last window - 1 tokens and those in flight. It may begin inside
        a block, which takes one more (SlidingWindowSpec.max_admission_blocks_per_request).
        """
        if self.kind is not Attention.sliding:
            return ceil(num_tokens / self.block_size)
        kept = min(self.window - 1 + in_flight_tokens, num_tokens)
        return ceil(kept / self.block_size) + 1


@dataclass(frozen=True, slots=True)
class KVCache:
    """The KV cache of one model on one device. Memory is in bytes."""

    groups: tuple[Group, ...]
    block_bytes: int  # of one block of the pool, over all layers of a group
    in_flight_tokens: int  # scheduled but not finished: the batched tokens of the running steps

    def num_blocks(self, memory_bytes: float) -> int:
        return int(memory_bytes // self.block_bytes)

    def blocks_of(self, num_tokens: int) -> int:
        """Return the blocks of one sequence of `num_tokens`."""
        return sum(group.num_blocks(num_tokens, self.in_flight_tokens) for group in self.groups)

    def bytes_of(self, num_tokens: int) -> int:
        """Return the bytes that hold one such sequence: its blocks, and the block never used."""
        return (self.blocks_of(num_tokens) + 1) * self.block_bytes

    def concurrency(self, memory_bytes: float, num_tokens: int) -> float:
        """Return how many concurrent sequences of `num_tokens` fit."""
        return self.num_blocks(memory_bytes) / max(1, self.blocks_of(num_tokens))

    def num_tokens(self, memory_bytes: float, max_model_len: int) -> int:
        """Return the tokens of full-length sequences that fit, the N of vLLM's log line
        `KV cache size: N tokens`."""
        return int(self.concurrency(memory_bytes, max_model_len) * max_model_len)

    def longest(self, memory_bytes: float, at_most: int) -> int:
        """Return the tokens of the longest sequence that fits alone; 0 if none fits."""
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
        """Bytes that one more token of a short sequence takes."""
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
    """Return the KV cache of `shape` on each of the devices that share it; None if it has none.

    Layers of several kinds are split into groups of the smallest kind's size, or of the largest
    kind's if that is less than 1.5 times as large (kv_cache_utils.py,
    _get_kv_cache_groups_uniform_page_size). Smaller pages hold more tokens, to equal the largest.
    """
    kinds = [layers for layers in shape.layers if layers.num_layers]
    if not kinds:
        return None
    token_bytes = [each.token_elements(tensor_parallel_size) * element_bytes for each in kinds]
    sizes = [block_size * size for size in token_bytes]
    page = max(sizes)
    fewest = min(layers.num_layers for layers in kinds)
    most = max(layers.num_layers for layers in kinds)
    group_size = most if most < 1.5 * fewest else fewest
    groups: list[Group] = []
    for layers, size in zip(kinds, sizes, strict=True):
        tokens = block_size * int(page // size)
        number = ceil(layers.num_layers / group_size)
        groups += [Group(layers.kind, layers.window, tokens)] * number
    num_layers = ceil(min(group_size, most) / pipeline_parallel_size)  # of the largest group
    return KVCache(tuple(groups), int(num_layers * page), in_flight_tokens)

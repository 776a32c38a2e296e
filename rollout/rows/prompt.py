"""A prompt: one row of the input, as it is sent to the model."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]
ENCODER = json.JSONEncoder(ensure_ascii=True, sort_keys=True, default=str)
GREEDY = 1e-5  # vLLM takes a temperature below this for 0 (_SAMPLING_EPS)


@dataclass(slots=True)
class Prompt:
    """One input row.

    `index` counts the rows of this run (0, 1, ... in input order). `row` is the row's position in
    the whole input; with `digest` it identifies the row. `content` is text or a list of chat
    messages; None if `token_ids` are sent as they are, or if `error` says why the row can't be
    sent. `tools` are for the chat template. `sampling` holds the row's own sampling parameters,
    under vLLM's names.
    """

    index: int
    row: int
    content: str | list[Message] | None
    error: str | None = None
    token_ids: list[int] | None = None
    tools: list[dict[str, Any]] | None = None
    sampling: dict[str, Any] | None = None
    _digest: bytes | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def digest(self) -> bytes:
        """16 bytes that depend on the prompt, its tools and its sampling; computed once."""
        if self._digest is None:
            self._digest = self._digest_of_content()
        return self._digest

    def _digest_of_content(self) -> bytes:
        more = {"tools": self.tools, "sampling": self.sampling, "token_ids": self.token_ids}
        more = {name: value for name, value in more.items() if value is not None}
        text = ENCODER.encode({"content": self.content, **more} if more else self.content)
        return hashlib.blake2b(text.encode(), digest_size=16).digest()


def is_greedy(temperature: Any) -> bool:
    """Whether all samples of a prompt are equal at this temperature."""
    return isinstance(temperature, int | float) and 0 <= temperature < GREEDY


def is_greedy_row(prompt: Prompt, sampler: Any) -> bool:
    """Whether all samples of this row are equal, by its own temperature or the run's."""
    own = (prompt.sampling or {}).get("temperature")
    return is_greedy(own) if own is not None else bool(sampler and sampler.is_greedy)


def seed_of(run_seed: int, prompt: Prompt) -> int:
    """Return the seed of a row's sample 0; sample i uses this + i.

    Depends only on the run's seed, the row's position and its digest, not on the order, the
    shard, the engine or the other rows. Lies in [0, 2**62), so that adding i stays in 64 bits.
    """
    key = f"{run_seed}:{prompt.row}:".encode() + prompt.digest
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest()) >> 2

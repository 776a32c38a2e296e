"""A request to an engine, and the samples that complete it."""

import hashlib
from dataclasses import dataclass
from typing import Any

from rollout.rows.prompt import Prompt


def continued_seed(seed: int, num_tokens: int) -> int:
    """Return the seed to continue a sample drawn with `seed` after `num_tokens` tokens.

    `seed` itself would repeat the random numbers of the first tokens.
    """
    key = f"{seed}:{num_tokens}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest()) >> 2


@dataclass(slots=True)
class Sample:
    """One response, and what the engine reports about it."""

    text: str
    finish_reason: str
    num_tokens: int
    stop_reason: str | None = None
    token_ids: list[int] | None = None
    cumulative_logprob: float | None = None
    num_continued: int = 0  # times it was continued after being cut off
    logprobs: list[float] | None = None  # of the sampled tokens, aligned with token_ids

    def extended(self, more: "Sample", text: str | None = None) -> "Sample":
        """Return this sample continued by `more`; `text` if the whole is not just both texts."""
        sums, each = (
            (self.cumulative_logprob, more.cumulative_logprob),
            (self.logprobs, more.logprobs),
        )
        return Sample(
            self.text + more.text if text is None else text,
            more.finish_reason,
            self.num_tokens + more.num_tokens,
            more.stop_reason,
            [*(self.token_ids or ()), *(more.token_ids or ())],
            None if None in sums else sum(sums),
            self.num_continued + 1,
            None if None in each else [*each[0], *each[1]],
        )


@dataclass(slots=True, eq=False)
class Request:
    """A request to an engine: for samples of one prompt, or to continue one sample.

    `seed` is that of the first sample, the row's sample `sample_index`. With `prefix`, a sample
    cut off earlier, n_samples is 1 and the completion holds that sample in full. `max_tokens`
    bounds the new tokens; None: only the context does. `sampler` is the engine's own form of the
    sampling settings (engines/base.py); None: its defaults.
    """

    prompt: Prompt
    n_samples: int
    seed: int | None
    max_tokens: int | None
    sample_index: int = 0
    prefix: Sample | None = None
    sampler: Any = None


@dataclass(slots=True)
class Completion:
    """An engine's answer to a request: its samples, in sample order; none if it was refused."""

    request: Request
    samples: list[Sample]
    prompt_token_ids: list[int]  # without a prefix
    num_cached_tokens: int | None = None
    latency_s: float = 0.0  # from submission to its last sample
    opens_reasoning: bool = False  # the prompt ended within the reasoning
    repeats: bool = False  # greedy: one sample was drawn and copied
    error: str | None = None  # why the engine refused the request

    @property
    def drawn(self) -> list[Sample]:
        """The samples that were generated, without copies."""
        return self.samples[:1] if self.repeats else self.samples

"""A result: one finished row."""

from dataclasses import dataclass, field

from rollout.rows.request import Sample


@dataclass(slots=True)
class Result:
    """One finished row: n samples in sample order; or an error, and the samples there are.

    `run` is the number of its run where several share an engine.
    """

    index: int
    row: int
    digest: bytes
    samples: list[Sample] = field(default_factory=list)
    seed: int | None = None
    num_prompt_tokens: int | None = None
    num_cached_tokens: int | None = None
    error: str | None = None
    num_attempts: int = 1
    prompt_token_ids: list[int] | None = None
    latency_s: float | None = None  # since the last submission
    opens_reasoning: bool = False  # the prompt ended within the reasoning
    num_new_samples: int = 0  # of this attempt, continued ones included
    num_new_tokens: int = 0
    run: int = 0
    repeats: bool = False  # greedy: its samples are copies of one
    # Samples that are repetitive, and different ones (see signs.py); None: not counted yet.
    num_repetitive: int | None = field(default=None, compare=False)
    num_distinct: int | None = field(default=None, compare=False)

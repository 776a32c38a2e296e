"""`stop_if.`: when a bad run ends early."""

import typing
from dataclasses import dataclass

from rollout.config.schema import HOW, setting


@dataclass(kw_only=True, slots=True)
class StopIf:
    """When a bad run ends early: shares of the samples finished in this launch; null: never."""

    kind: typing.ClassVar[str] = HOW
    truncated_fraction: float | None = setting(
        None, "end when more were cut off at max_tokens", minimum=0, maximum=1
    )
    empty_fraction: float | None = setting(
        None, "end when more are the empty text", minimum=0, maximum=1
    )
    unclosed_fraction: float | None = setting(
        None, "end when more begin to reason and do not end it", minimum=0, maximum=1
    )
    duplicate_fraction: float | None = setting(
        None, "end when more equal an earlier sample of their prompt", minimum=0, maximum=1
    )
    repetitive_fraction: float | None = setting(
        None, "end when more end in one phrase over and over", minimum=0, maximum=1
    )
    failed_fraction: float | None = setting(
        None, "end when more rows (not samples) failed", minimum=0, maximum=1
    )
    after_samples: int = setting(
        256, "samples this launch has to finish before it is judged", minimum=1
    )

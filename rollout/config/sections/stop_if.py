"""`stop_if.`: when a bad run ends early."""

import typing
from dataclasses import dataclass

from rollout.config.schema import HOW, setting


@dataclass(kw_only=True, slots=True)
class StopIf:
    """When a bad run ends early: by shares of the samples finished in this launch; null: never."""

    kind: typing.ClassVar[str] = HOW
    truncated_fraction: float | None = setting(
        None, "stop if more samples are cut off at max_tokens", minimum=0, maximum=1
    )
    empty_fraction: float | None = setting(
        None, "stop if more samples are empty", minimum=0, maximum=1
    )
    unclosed_fraction: float | None = setting(
        None, "stop if more samples begin reasoning and do not end it", minimum=0, maximum=1
    )
    duplicate_fraction: float | None = setting(
        None, "stop if more samples equal an earlier one of their prompt", minimum=0, maximum=1
    )
    repetitive_fraction: float | None = setting(
        None, "stop if more samples end by repeating a phrase", minimum=0, maximum=1
    )
    failed_fraction: float | None = setting(
        None, "stop if more rows (not samples) fail", minimum=0, maximum=1
    )
    after_samples: int = setting(256, "finished samples before the first check", minimum=1)

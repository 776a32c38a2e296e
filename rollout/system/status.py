"""How far a piece of work is, shown as a plain line or as JSON. On a terminal: live.py.

Must not know about runs: figures come as phrases, the most important first.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rollout.system.terminal import eta, fitted

PLAIN_INTERVAL_S = 10.0
JSON_INTERVAL_S = 1.0
VAGUE = 10.0  # the highest time left over the lowest, from which on none is shown ...
SOON_S = 60.0  # ... unless even the highest is less than this
GAP = "  "  # in a plain line


@dataclass(frozen=True, slots=True)
class Status:
    """How far a piece of work is, and what is known of it.

    `left_s` is the time left, probably between `low_s` and `high_s`; None: unknown. `phrases`
    stand beside the bar, each of `details` is a line below it, `sample` holds whole lines.
    `table` makes what a terminal shows below. `values` are the same figures for a script.
    """

    fraction: float
    phrases: tuple[str, ...] = ()
    left_s: float | None = None
    low_s: float | None = None
    high_s: float | None = None
    details: tuple[tuple[str, ...], ...] = ()
    sample: tuple[str, ...] = ()
    table: Callable[[], Any] | None = field(default=None, compare=False)
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def percent(self) -> str:
        """The fraction as text; 100 % only when everything is done."""
        return f"{min(self.fraction, 0.99 if self.fraction < 1 else 1.0):4.0%}"

    @property
    def _is_vague(self) -> bool:
        """Whether the time left is so uncertain that one number would mislead."""
        if self.low_s is None or self.high_s is None:
            return False
        return self.high_s > max(VAGUE * self.low_s, SOON_S)

    def eta(self, has_spread: bool = True) -> str:
        if self.fraction >= 1:
            return ""
        if self._is_vague:
            return eta(None)
        spread = (self.low_s, self.high_s) if has_spread else ()
        return eta(self.left_s, *spread)

    def line(self, width: int) -> str:
        """Return it as one line."""
        more = [phrase for detail in self.details for phrase in detail]
        for time_left in (self.eta(), self.eta(has_spread=False)):
            parts = [self.percent, *self.phrases, time_left]
            line = fitted([*parts, *more], width, GAP)
            if line.startswith(GAP.join(filter(None, parts))):
                return line
        return fitted([self.percent, time_left, *self.phrases, *more], width, GAP)

    def as_json(self) -> dict[str, Any]:
        return {
            "fraction": round(self.fraction, 6),
            **{
                name: None if seconds is None else round(seconds, 3)
                for name, seconds in (
                    ("left_s", self.left_s),
                    ("low_s", self.low_s),
                    ("high_s", self.high_s),
                )
            },
            **(self.values or {"text": "  ".join(self.phrases)}),
        }


class TimedProgress:
    """Shows a status now and then: `show` is called with it at most every `interval_s`."""

    def __init__(self, show: Callable[[Status], None], interval_s: float, shows_end: bool = False):
        self._show, self._interval_s, self._shows_end = show, interval_s, shows_end
        self._last = time.monotonic()
        self._has_ended = False

    def update(self, status: Status) -> None:
        now = time.monotonic()
        is_end = self._shows_end and status.fraction >= 1 and not self._has_ended
        if now - self._last >= self._interval_s or is_end:
            self._last, self._has_ended = now, self._has_ended or is_end
            self._show(status)

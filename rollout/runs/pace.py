"""How fast an engine samples now: the seconds of a step and of a token. Pure: no clock, no engine.

The first step is left out, since it takes seconds while an engine warms up, and so are old times:
the later half of the run counts, at least LEAST_WINDOW_S and at most MOST_WINDOW_S of it.
"""

from collections import deque
from dataclasses import dataclass

from rollout.engines.base import EngineStats

LEAST_WINDOW_S = 5.0
MOST_WINDOW_S = 300.0
LEAST_S = 1.0  # of a window; shorter ones are all noise
BETWEEN_S = 0.5  # two marks at least; of a long window a hundredth, as all are read at each look
LEAST_VARIATION = 0.1  # of the samples that run, relative, to split the time of a step


@dataclass(frozen=True, slots=True)
class Pace:
    """The seconds that a step takes, `per_step_s` and for each of its tokens `per_token_s` more.

    A GPU takes about the same time for a step of few samples and of many; a CPU takes it for each.
    """

    per_step_s: float
    per_token_s: float

    def seconds(self, steps: float, tokens: float) -> float:
        """Return the time that this many steps take, with so many tokens in all."""
        return self.per_step_s * steps + self.per_token_s * tokens


class Paces:
    """Readings of an engine's counters, and the pace that follows from the recent ones."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, float, int]] = deque()  # seconds, steps, tokens
        self._began_s: float | None = None  # when the first step was over

    def add(self, at_s: float, stats: EngineStats) -> None:
        """Note the counters after `at_s` of generation, the times without an engine left out."""
        marks = self._marks
        between_s = max(BETWEEN_S, self._window_s(at_s) / 100)
        if not stats.num_output_tokens or (marks and at_s - marks[-1][0] < between_s):
            return
        num_engines = sum(replica.num_output_tokens > 0 for replica in stats.replicas) or 1
        mark = at_s, stats.num_steps / num_engines, stats.num_output_tokens
        if marks and marks[-1][1:] == mark[1:]:
            return  # within a step
        if self._began_s is None:
            self._began_s = at_s
        marks.append(mark)
        while len(marks) > 2 and at_s - marks[1][0] >= self._window_s(at_s):
            marks.popleft()

    def _window_s(self, at_s: float) -> float:
        began_s = at_s if self._began_s is None else self._began_s
        return min(max((at_s - began_s) / 2, LEAST_WINDOW_S), MOST_WINDOW_S)

    @property
    def now(self) -> Pace | None:
        """The pace; None until LEAST_S after the first step.

        While the number of running samples stays the same, steps are taken to cost the same with
        fewer: that is a GPU's way, and never too short for the last samples. Where steps are not
        counted, tokens are.
        """
        marks = self._marks
        if len(marks) < 2 or marks[-1][0] - marks[0][0] < LEAST_S:
            return None
        spans = [
            (b[0] - a[0], b[1] - a[1], b[2] - a[2])
            for a, b in zip(marks, list(marks)[1:], strict=False)
        ]
        seconds, steps, tokens = (sum(each) for each in zip(*spans, strict=True))
        if tokens <= 0:
            return None
        alike = Pace(seconds / steps, 0.0) if steps > 0 else Pace(0.0, seconds / tokens)
        return _split(spans) or alike


def _split(spans: list[tuple[float, float, int]]) -> Pace | None:
    """Return the least-squares fit of seconds to steps and tokens; None if they go together."""
    ss = sum(s * s for _, s, _ in spans)
    kk = sum(k * k for *_, k in spans)
    sk = sum(s * k for _, s, k in spans)
    determinant = ss * kk - sk * sk
    if len(spans) < 4 or determinant <= LEAST_VARIATION**2 * ss * kk:
        return None
    ts = sum(t * s for t, s, _ in spans)
    tk = sum(t * k for t, _, k in spans)
    per_step, per_token = ts * kk - tk * sk, tk * ss - ts * sk
    per_step, per_token = max(per_step, 0.0), max(per_token, 0.0)
    share = sum(per_step * s + per_token * k for _, s, k in spans)
    scale = sum(t for t, *_ in spans) / share if share > 0 else 0.0  # the whole time is as measured
    return Pace(per_step * scale, per_token * scale) if scale else None

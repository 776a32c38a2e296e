"""What a run shows while it generates: figures as phrases for people, as values for scripts.

Pure: no clock, no file, no engine. How it is shown is the console's.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rollout.engines.base import EngineStats
from rollout.rows.messages import text_of
from rollout.rows.prompt import Prompt
from rollout.rows.result import Result
from rollout.rows.signs import OF_SAMPLES, WORDS, Signs
from rollout.runs.metrics import share
from rollout.runs.outlook import Outlook
from rollout.system.safe_text import one_line
from rollout.system.status import Status
from rollout.system.terminal import rate_text, share_text

WINDOW_S = 5.0  # over which the present rate is taken
LEAST_S = 1.0  # of a window; shorter ones are all noise
MAX_SHOWN_CHARS = 200  # of a sample; the terminal cuts it further


class TokenRates:
    """Output tokens per second: over the last WINDOW_S, and since generation began."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()
        self._first: tuple[float, int] | None = None

    def add(self, at_s: float, num_tokens: int) -> None:
        """Note the tokens so far; times must not go back."""
        self._first = self._first or (at_s, num_tokens)
        self._marks.append((at_s, num_tokens))
        while len(self._marks) > 2 and at_s - self._marks[1][0] >= WINDOW_S:
            self._marks.popleft()

    @property
    def now(self) -> float | None:
        return _rate(self._marks[0], self._marks[-1]) if self._marks else None

    @property
    def average(self) -> float | None:
        return _rate(self._first, self._marks[-1]) if self._first else None


def _rate(before: tuple[float, int], after: tuple[float, int]) -> float | None:
    seconds = after[0] - before[0]
    return (after[1] - before[1]) / seconds if seconds >= LEAST_S else None


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a run, or of the batches of a sweep, at one moment."""

    num_rows_done: int
    num_rows: int
    num_samples_done: int
    num_samples: int
    ahead: Outlook  # its fraction is that of the whole run
    tokens_per_s_now: float | None
    tokens_per_s_average: float | None
    stats: EngineStats
    signs: Signs
    num_gpus: int = 0
    so_far: str = ""  # after the rows and samples, if there will be more

    def status(self, sample: tuple[str, ...] = (), beside: tuple[str, ...] = ()) -> Status:
        """Return what to show; `beside` are more phrases for the bar's line."""
        rows = f"{self.num_rows_done:,}/{self.num_rows:,} rows{self.so_far}"
        samples = f"{self.num_samples_done:,}/{self.num_samples:,} samples{self.so_far}"
        ahead, each = self.ahead, self.stats.replicas
        if each:
            beside = (*beside, f"{sum(replica.is_up for replica in each)}/{len(each)} replicas")
        return Status(
            ahead.fraction,
            (rows, samples, *beside),
            ahead.left_s,
            ahead.low_s,
            ahead.high_s,
            (tuple(self._of_engine()), (*self._of_caches(), *self._of_signs(), *self._of_gpu())),
            sample,
            values=self._values(),
        )

    def _of_engine(self) -> Iterator[str]:
        stats, now, average = self.stats, self.tokens_per_s_now, self.tokens_per_s_average
        if now is not None:
            yield f"{rate_text(now)} output tokens/s now"
        if average is not None:
            yield f"{rate_text(average)} on average"
        if stats.num_running or stats.num_waiting:
            yield f"running {stats.num_running:,}, waiting {stats.num_waiting:,}"
        if stats.kv_cache_usage:
            yield f"KV cache {stats.kv_cache_usage:.0%}"

    def _of_caches(self) -> Iterator[str]:
        stats = self.stats
        if hits := share(stats.num_cached_tokens, stats.num_queried_tokens):
            yield f"prefix hits {hits:.0%}"
        if stats.num_preemptions:
            yield f"preemptions {stats.num_preemptions:,}"

    def _of_signs(self) -> Iterator[str]:
        signs = self.signs
        for sign in OF_SAMPLES:
            if part := signs.share(sign):
                yield f"{WORDS.get(sign, sign)} {percent(part)}"
        if signs.num_failed:
            yield f"failed {signs.num_failed:,}"

    def _of_gpu(self) -> Iterator[str]:
        memory, usage = self.stats.memory_gib, self.stats.gpu_utilization
        if self.num_gpus and memory is not None:
            yield f"GPU {memory:.1f} GiB" + ("" if usage is None else f", {usage:.0%}")

    def _values(self) -> dict[str, Any]:
        stats, signs = self.stats, self.signs
        return {
            "phase": "generate",
            "rows": self.num_rows_done,
            "num_rows": self.num_rows,
            "samples": self.num_samples_done,
            "num_samples": self.num_samples,
            "output_tokens": stats.num_output_tokens,
            "tokens_per_s_now": self.tokens_per_s_now,
            "tokens_per_s_average": self.tokens_per_s_average,
            "running": stats.num_running,
            "waiting": stats.num_waiting,
            "kv_cache_usage": stats.kv_cache_usage,
            "prefix_cache_hit_rate": share(stats.num_cached_tokens, stats.num_queried_tokens),
            "preemptions": stats.num_preemptions,
            **{f"{sign}_fraction": signs.share(sign) for sign in OF_SAMPLES},
            "failed": signs.num_failed,
            "memory_gib": stats.memory_gib,
            "gpu_utilization": stats.gpu_utilization,
            "replicas_up": sum(r.is_up for r in stats.replicas) if stats.replicas else None,
        }


def percent(part: float) -> str:
    """Return a share as `47%`, below 10% as `3.4%`, and as `<0.1%` rather than as none."""
    if 0 < part < 0.0005:
        return "<0.1%"
    return share_text(part, 1 if part < 0.0995 else 0)


def prompt_line(prompt: Prompt, limit: int = MAX_SHOWN_CHARS) -> str:
    """Return a prompt for people, not yet safe to print: of a chat, its last user turn.

    Of a chat without one, the last message; `limit` is the most token ids.
    """
    if prompt.token_ids is not None:
        ids = prompt.token_ids
        return f"token ids {' '.join(map(str, ids[:limit]))}{' ...' * (len(ids) > limit)}"
    content = prompt.content
    if isinstance(content, list):
        turns = [message for message in content if message.get("role") == "user"] or content
        return text_of(turns[-1])
    return content or ""


def sample_lines(prompt: Prompt, result: Result) -> tuple[str, str]:
    """Return the prompt and the first response of a finished row, a safe line each."""
    response = one_line(result.samples[0].text, MAX_SHOWN_CHARS) or "(empty)"
    return one_line(prompt_line(prompt), MAX_SHOWN_CHARS), f"> {response}"

"""The scripted engine: real scheduling, made-up text, no model.

Deterministic: a sample's text and length depend on its seed alone, so equal seeds give equal text
in any order. It decodes one token per step for each running sample, as a real engine does, so
windows, tails and flushes behave as on vLLM. Faults come on demand.
"""

import hashlib
import itertools
import time
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path

from rollout.config.sections.engine import Engine
from rollout.config.sections.model import Model
from rollout.config.sections.sampling import Sampling
from rollout.engines.base import GREEDY_NOTE, EngineFacts, EngineStats, Sampler, repeats
from rollout.engines.memory_faults import Stage, memory_fault
from rollout.errors import EngineError, RequestRefused
from rollout.rows.messages import text_of
from rollout.rows.prompt import is_greedy
from rollout.rows.reasoning import opens
from rollout.rows.request import Completion, Request, Sample

WORDS = (
    "a stone river of light moves under old bridges while seven quiet birds count every "
    "wave and nobody asks why the answer is forty two or where it went"
).split()
SAMPLING_KEYS = ("temperature", "top_p", "top_k", "repetition_penalty")
TEXT = " ".join(WORDS * 40)  # any slice of it is a response
TOKEN_IDS = [(7919 * i) % 50_000 for i in range(1000)] * 5
LOGPROBS = [-(token_id % 97) / 16 for token_id in TOKEN_IDS]
SUMS = [0.0, *itertools.accumulate(LOGPROBS)]  # exact: sixteenths


@dataclass(slots=True)
class _Group:
    """A request in flight: the lengths of its samples, and how many are unfinished."""

    request: Request
    num_prompt_tokens: int
    seed: int
    max_tokens: int
    submitted_s: float
    lengths: list[int] = field(default_factory=list)
    num_unfinished: int = 0


class ScriptedEngine:
    is_up = True

    def __init__(self, engine: Engine):
        self._script = engine.scripted
        self._waiting: deque[tuple[_Group, int]] = deque()
        self._ends: dict[int, list[tuple[_Group, int]]] = {}  # step -> what ends there, its tokens
        self._num_running = 0
        self._stats = EngineStats()
        self._fresh_seed = self.num_steps = 0
        time.sleep(self._script.load_s)
        above = self._script.oom_above
        self._is_too_large = above is not None and engine.max_num_seqs > above
        if self._is_too_large and not self._script.oom_after_steps:
            raise _out_of_memory("the scripted engine could not be loaded", Stage.load)
        self.facts = EngineFacts(
            name="scripted",
            version="1",
            max_num_seqs=engine.max_num_seqs,
            max_model_len=self._script.max_model_len,
        )

    def sampler(
        self, sampling: Sampling, model: Model, wants_logprobs: bool, adapter: Path | None = None
    ) -> Sampler:
        """Return the Sampler; `ready` is a hash of the settings, and if logprobs are wanted."""
        further = {k: v for k, v in sampling.params.items() if k not in SAMPLING_KEYS}
        values = [getattr(sampling, key) for key in SAMPLING_KEYS]
        text = repr((values, sorted(further.items())))
        number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 2
        tags = model.reasoning_tags
        greedy = is_greedy(sampling.temperature)
        notes = [GREEDY_NOTE] if greedy and sampling.n_samples > 1 else []
        shown = {
            "n": 1 if greedy else sampling.n_samples,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "seed": sampling.seed,
        }
        ready = number, wants_logprobs
        return Sampler(shown, notes, ready, reasoning_tags=tags, is_greedy=greedy)

    def submit(self, request: Request) -> None:
        text = _text_of(request)
        num_prompt_tokens = text.count(" ") + 1
        if self._script.refuse and self._script.refuse in text:
            raise RequestRefused(f"the script refuses prompts with {self._script.refuse!r}")
        num_before = request.prefix.num_tokens if request.prefix else 0
        if num_prompt_tokens + num_before >= self.facts.max_model_len:
            raise RequestRefused(
                f"the prompt has {num_prompt_tokens + num_before} tokens; max_model_len is "
                f"{self.facts.max_model_len}"
            )
        n = 1 if repeats(request) else request.n_samples
        room = self.facts.max_model_len - num_prompt_tokens - num_before
        limit = min(request.max_tokens or room, room)
        group = _Group(request, num_prompt_tokens, self._seed(request), limit, time.monotonic())
        group.num_unfinished = n
        group.lengths = [min(self._length(group.seed + i), limit) for i in range(n)]
        self._waiting.extend((group, length) for length in group.lengths)

    def step(self) -> list[Completion]:
        script, stats = self._script, self._stats
        if script.step_s:
            time.sleep(script.step_s)
        stats.num_steps += 1
        self.num_steps += 1
        if script.die_after_steps is not None and stats.num_steps > script.die_after_steps:
            raise EngineError(f"the scripted engine died at step {stats.num_steps}, as scripted")
        if self._is_too_large and stats.num_steps > script.oom_after_steps:
            raise _out_of_memory(f"the engine died at step {stats.num_steps}", Stage.run)
        self._admit()
        ending = self._ends.pop(stats.num_steps, [])
        if not script.instant:
            stats.num_output_tokens += self._num_running
            stats.num_running_tokens += self._num_running
        finished = []
        for group, length in ending:
            self._num_running -= 1
            if not script.instant:
                stats.num_running_tokens -= length
            group.num_unfinished -= 1
            stats.num_ended_in_flight += 1
            if group.num_unfinished == 0:
                stats.num_ended_in_flight -= len(group.lengths)
                finished.append(self._completion(group))
                if script.instant:
                    stats.num_output_tokens += sum(group.lengths)
        return finished

    def _admit(self) -> None:
        """Start waiting samples while there is room; each ends `length` steps from now."""
        while self._waiting and self._num_running < self.facts.max_num_seqs:
            group, length = self._waiting.popleft()
            if self._script.poison and self._script.poison in _text_of(group.request):
                raise EngineError(
                    f"the scripted engine died of {self._script.poison!r}, as scripted"
                )
            steps = 0 if self._script.instant else length - 1
            self._ends.setdefault(self._stats.num_steps + steps, []).append((group, length))
            self._num_running += 1

    @property
    def num_unfinished(self) -> int:
        return self._num_running + len(self._waiting)

    def stats(self) -> EngineStats:
        self._stats.num_running = self._num_running
        self._stats.num_waiting = len(self._waiting)
        now = self._stats.num_steps
        least = (length - (at - now) for at, all_ in self._ends.items() for _, length in all_)
        self._stats.least_running_tokens = min(least, default=0)
        return self._stats

    def shutdown(self) -> None:
        self._waiting.clear()
        self._ends.clear()
        self._num_running = 0

    def _seed(self, request: Request) -> int:
        if request.seed is not None:
            return request.seed + (request.sampler.ready[0] if request.sampler else 0)
        self._fresh_seed += request.n_samples
        return time.time_ns() + self._fresh_seed

    def _length(self, seed: int) -> int:
        mean = self._script.response_tokens
        return 1 + _scramble(seed) % (2 * mean - 1) if self._script.vary else mean

    def _completion(self, group: _Group) -> Completion:
        samples = []
        sampler = group.request.sampler
        wants_logprobs = sampler is not None and sampler.ready[1]
        scrambled = [_scramble(group.seed + i) for i in range(len(group.lengths) + 1)]
        for i, length in enumerate(group.lengths):
            reason = "length" if length == group.max_tokens else "stop"
            start = scrambled[i + 1] % 1000
            end = start + length
            text = self._script.text
            if text is None:
                text = _words(scrambled[i], scrambled[i + 1], length)
            sample = Sample(text, reason, length, None, TOKEN_IDS[start:end])
            if wants_logprobs:
                sample.cumulative_logprob = SUMS[end] - SUMS[start]
                sample.logprobs = LOGPROBS[start:end]
            samples.append(sample)
        if prefix := group.request.prefix:
            samples = [prefix.extended(samples[0])]
        is_one = repeats(group.request)
        if is_one:
            samples = [replace(samples[0]) for _ in range(group.request.n_samples)]
        prompt_token_ids = list(range(group.num_prompt_tokens))
        latency_s = time.monotonic() - group.submitted_s
        opened = bool(sampler) and opens(_text_of(group.request), sampler.reasoning_tags)
        return Completion(group.request, samples, prompt_token_ids, 0, latency_s, opened, is_one)


def _out_of_memory(what: str, stage: Stage) -> EngineError:
    """Return the error that torch's message on a CPU leads to."""
    text = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 1073741824 bytes."
    error = EngineError(f"{what}: {text}")
    error.fault = memory_fault(text, stage)
    return error


def _text_of(request: Request) -> str:
    content = request.prompt.content
    if request.prompt.token_ids is not None:
        return " ".join(map(str, request.prompt.token_ids))
    return content if isinstance(content, str) else " ".join(map(text_of, content))


def _scramble(seed: int) -> int:
    """Spread neighboring seeds apart (the 64-bit finalizer of MurmurHash3)."""
    x = seed & 0xFFFFFFFFFFFFFFFF
    x = ((x ^ (x >> 33)) * 0xFF51AFD7ED558CCD) & 0xFFFFFFFFFFFFFFFF
    x = ((x ^ (x >> 33)) * 0xC4CEB9FE1A85EC53) & 0xFFFFFFFFFFFFFFFF
    return x ^ (x >> 33)


def _words(mark: int, start: int, length: int) -> str:
    """Return `length` words (tokens): `mark`, then text of about 5 characters a word."""
    start %= 500
    return f"{mark:016x} {TEXT[start : start + 5 * (length - 1)]}" if length > 1 else f"{mark:016x}"

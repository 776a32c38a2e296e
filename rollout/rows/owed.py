"""The samples a row is owed, those missing or to be continued, and how they make its result.

Owed means not yet answered: samples that earlier attempts finished are never requested again.
Pure: no file, no engine, no clock.
"""

from dataclasses import dataclass, replace
from typing import Any

from rollout.rows.prompt import Prompt, is_greedy_row, seed_of
from rollout.rows.request import Completion, Request, Sample, continued_seed
from rollout.rows.result import Result

# Expensive columns: stored only if the first launch chose them.
KEPT_IF_CHOSEN = ("token_ids", "logprobs", "cumulative_logprob", "prompt_token_ids")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The samples this launch needs of every row.

    `sampler` is how they are drawn (see request.Request); `run` is the run's number among those
    that share an engine.
    """

    n_samples: int
    run_seed: int | None
    max_tokens: int | None  # None: as many as the context allows
    continues: bool = False  # samples cut off below max_tokens are continued
    keeps: frozenset[str] = frozenset()  # of KEPT_IF_CHOSEN; cut samples always keep token ids
    sampler: Any = None
    run: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class OwedRow:
    """A row to be answered, with its result `before` this attempt, if any."""

    prompt: Prompt
    wanted: Wanted
    before: Result | None = None

    @property
    def num_before(self) -> int:
        return len(self.before.samples) if self.before else 0

    def requests(self) -> list[Request]:
        """Return the requests for an engine, missing samples first; may be empty."""
        wanted, have, limit = self.wanted, self.num_before, self._token_limit
        seed = self._seed
        asked = []

        def ask(
            n_samples: int, first_seed: int | None, max_tokens: int | None, *which: Any
        ) -> None:
            request = Request(self.prompt, n_samples, first_seed, max_tokens, *which)
            request.sampler = wanted.sampler
            asked.append(request)

        if have < wanted.n_samples and not (have and self._is_greedy):
            first = None if seed is None else seed + have
            ask(wanted.n_samples - have, first, limit, have)
        if wanted.continues and self.before:
            drawn = self.before.samples[:1] if self._is_greedy else self.before.samples
            for i, sample in enumerate(drawn):
                if is_cut(sample) and (limit is None or sample.num_tokens < limit):
                    seed_i = None if seed is None else continued_seed(seed + i, sample.num_tokens)
                    ask(1, seed_i, limit and limit - sample.num_tokens, i, sample)
        return asked

    def result(self, completions: list[Completion], error: str | None = None) -> Result:
        """Return the row's result; samples that could not be drawn leave the earlier ones."""
        before, prompt = self.before, self.prompt
        samples = list(before.samples) if before else []
        whole = Result(
            prompt.index,
            prompt.row,
            prompt.digest,
            samples,
            self._seed,
            before.num_prompt_tokens if before else None,
            before.num_cached_tokens if before else None,
            error,
            num_attempts=before.num_attempts + 1 if before and before.error else 1,
            prompt_token_ids=before.prompt_token_ids if before else None,
            latency_s=before.latency_s if before else None,
            opens_reasoning=before.opens_reasoning if before else False,
            run=self.wanted.run,
        )
        for completion in sorted(completions, key=lambda c: c.request.sample_index):
            at = completion.request.sample_index
            samples[at : at + len(completion.samples)] = completion.samples
            prefix = completion.request.prefix
            whole.num_new_samples += len(completion.samples)
            whole.num_new_tokens += sum(s.num_tokens for s in completion.drawn)
            whole.repeats |= completion.repeats
            whole.num_new_tokens -= prefix.num_tokens if prefix else 0
            if whole.num_prompt_tokens is None:
                whole.num_prompt_tokens = len(completion.prompt_token_ids)
                whole.num_cached_tokens = completion.num_cached_tokens
                whole.opens_reasoning = completion.opens_reasoning
            if "prompt_token_ids" in self.wanted.keeps:
                whole.prompt_token_ids = completion.prompt_token_ids
        if samples and self._is_greedy:  # the one that was drawn is repeated
            num_copies = len(samples) if error else self.wanted.n_samples
            samples[1:] = [replace(samples[0]) for _ in range(num_copies - 1)]
            whole.repeats = len(samples) > 1
        whole.latency_s = max((c.latency_s for c in completions), default=whole.latency_s)
        self._drop_unwanted(samples)
        assert error or len(samples) == self.wanted.n_samples, "a row came back without n samples"
        return whole

    def _drop_unwanted(self, samples: list[Sample]) -> None:
        """Drop the expensive columns that were not chosen; cut samples keep their token ids."""
        keeps = self.wanted.keeps
        if "token_ids" not in keeps:
            for sample in samples:
                if not is_cut(sample):
                    sample.token_ids = None
        if "logprobs" not in keeps:
            for sample in samples:
                sample.logprobs = None
        if "cumulative_logprob" not in keeps:
            for sample in samples:
                sample.cumulative_logprob = None

    @property
    def _is_greedy(self) -> bool:
        return is_greedy_row(self.prompt, self.wanted.sampler)

    @property
    def _token_limit(self) -> int | None:
        """The maximum tokens per sample: the row's own limit, if it sets one."""
        return (self.prompt.sampling or {}).get("max_tokens", self.wanted.max_tokens)

    @property
    def _seed(self) -> int | None:
        run_seed = self.wanted.run_seed
        return None if run_seed is None else seed_of(run_seed, self.prompt)


def is_cut(sample: Sample) -> bool:
    """Whether max_tokens or the context ended the sample."""
    return sample.finish_reason == "length"

"""The nouns every room shares: prompt, request, sample, completion, result; the output's columns.

Nothing here knows an engine, a file or a configuration.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]
ENCODER = json.JSONEncoder(ensure_ascii=True, sort_keys=True, default=str)


@dataclass(slots=True)
class Prompt:
    """One input row.

    `index` counts the rows of this run (0, 1, ... in input order); `row` is the row's position
    in the whole input, which with `digest` makes its identity. `content` is text or a list of
    chat messages; None where `token_ids` are asked just as they are, or where `error` says why
    the row cannot be asked. `tools` are for the chat template; `sampling` is what this row sets
    of how it is drawn, under vLLM's names.
    """

    index: int
    row: int
    content: str | list[Message] | None
    error: str | None = None
    token_ids: list[int] | None = None
    tools: list[dict[str, Any]] | None = None
    sampling: dict[str, Any] | None = None

    @property
    def digest(self) -> bytes:
        """16 bytes that change whenever what is asked does."""
        more = {"tools": self.tools, "sampling": self.sampling, "token_ids": self.token_ids}
        more = {name: value for name, value in more.items() if value is not None}
        text = ENCODER.encode({"content": self.content, **more} if more else self.content)
        return hashlib.blake2b(text.encode(), digest_size=16).digest()


GREEDY = 1e-5  # a temperature below is 0 to vLLM


def is_greedy(temperature: Any) -> bool:
    """Whether all samples of a prompt come out equal."""
    return isinstance(temperature, int | float) and 0 <= temperature < GREEDY


def is_greedy_row(prompt: Prompt, sampler: Any) -> bool:
    """Whether all samples of this row come out equal, by its own temperature or the run's."""
    own = (prompt.sampling or {}).get("temperature")
    return is_greedy(own) if own is not None else bool(sampler and sampler.is_greedy)


def seed_of(run_seed: int, prompt: Prompt) -> int:
    """The seed of sample 0 of a row; sample i uses this + i.

    Depends on the run's seed, the row's position and its text only: not on the order, the
    shard, the engine or the other rows. Lies in [0, 2**62), so that adding i stays in 64 bits.
    """
    key = f"{run_seed}:{prompt.row}:".encode() + prompt.digest
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest()) >> 2


def continued_seed(seed: int, num_tokens: int) -> int:
    """The seed for going on after `num_tokens` tokens of a sample drawn with `seed`.

    Not `seed` itself: that would draw the random numbers of the first tokens once more.
    """
    key = f"{seed}:{num_tokens}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest()) >> 2


@dataclass(slots=True)
class Sample:
    """One response, and what the engine says of it."""

    text: str
    finish_reason: str
    num_tokens: int
    stop_reason: str | None = None
    token_ids: list[int] | None = None
    cumulative_logprob: float | None = None
    num_continued: int = 0  # times it went on after it had been cut off
    logprobs: list[float] | None = None  # of the sampled tokens, aligned with token_ids

    def extended(self, more: "Sample", text: str | None = None) -> "Sample":
        """This sample with what came after it; `text` where the whole is not just both texts."""
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
    """What is submitted to an engine: some samples of one prompt, or one sample to go on with.

    `seed` is that of the first of them, the row's sample `sample_index`. With `prefix`, a sample
    cut off earlier, n_samples is 1 and the answer is that sample whole. `max_tokens` bounds what
    is newly generated; None: the context does. `sampler` is how it is drawn, as the engine made
    it (engines/base.py); None: plainly.
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
    """What an engine answers to a request: its samples, in sample order."""

    request: Request
    samples: list[Sample]
    prompt_token_ids: list[int]  # without a prefix
    num_cached_tokens: int | None = None
    latency_s: float = 0.0  # from submission until all its samples were there
    opens_reasoning: bool = False  # the prompt ended within the reasoning
    repeats: bool = False  # greedy: one was drawn, and stands for all

    @property
    def drawn(self) -> list[Sample]:
        """The samples that cost anything."""
        return self.samples[:1] if self.repeats else self.samples


@dataclass(slots=True)
class Result:
    """One finished row: n samples in sample order; or an error, and what samples there are.

    `run` says whose row it is where several runs share an engine.
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
    latency_s: float | None = None  # of the last attempt that asked for anything
    opens_reasoning: bool = False  # the prompt ended within the reasoning
    num_new_samples: int = 0  # of this attempt, those gone on with included
    num_new_tokens: int = 0
    run: int = 0
    repeats: bool = False  # greedy: its samples are one, and equal for that


@dataclass(frozen=True, slots=True)
class Column:
    """An output column: its name, Arrow type, meaning, and how a result fills it.

    One that is derived is kept nowhere: `of` takes the splits of a row's responses (see
    reasoning.py), which are made when it is published.
    """

    name: str
    arrow_type: str
    help: str
    of: Callable[[Any], Any]
    is_derived: bool = False
    is_of_row: bool = False  # a list that is one value of the row, such as the prompt's tokens

    @property
    def is_per_sample(self) -> bool:
        """Whether it lists one value a sample."""
        return self.arrow_type.startswith("list<") and not self.is_of_row


def _seeds(result: Result) -> list[int | None]:
    base = result.seed
    return [None if base is None else base + i for i in range(len(result.samples))]


COLUMNS = {
    column.name: column
    for column in (
        Column(
            "responses",
            "list<string>",
            "the n responses, in sample order; empty where the row failed",
            lambda r: [s.text for s in r.samples],
        ),
        Column(
            "error",
            "string",
            "why the row has no responses; null where it has",
            lambda r: r.error,
        ),
        Column(
            "finish_reason",
            "list<string>",
            "stop, or length where max_tokens or the context cut it off",
            lambda r: [s.finish_reason for s in r.samples],
        ),
        Column(
            "num_response_tokens",
            "list<int32>",
            "tokens of each response",
            lambda r: [s.num_tokens for s in r.samples],
        ),
        Column(
            "num_prompt_tokens",
            "int32",
            "tokens of the prompt as the model saw it",
            lambda r: r.num_prompt_tokens,
        ),
        Column(
            "num_cached_tokens",
            "int32",
            "tokens of the prompt found in the prefix cache",
            lambda r: r.num_cached_tokens,
        ),
        Column(
            "stop_reason",
            "list<string>",
            "the stop string or token id that ended it; null for the end of the text",
            lambda r: [s.stop_reason for s in r.samples],
        ),
        Column("seed", "list<int64>", "the seed of each sample", _seeds),
        Column(
            "token_ids",
            "list<list<int32>>",
            "the sampled token ids, exactly; makes the files about twice as large",
            lambda r: [s.token_ids for s in r.samples],
        ),
        Column(
            "logprobs",
            "list<list<float>>",
            "log-probabilities of the sampled tokens, one for each of token_ids; slows sampling",
            lambda r: [s.logprobs for s in r.samples],
        ),
        Column(
            "prompt_token_ids",
            "list<int32>",
            "the prompt's token ids, exactly as the model saw them",
            lambda r: r.prompt_token_ids,
            is_of_row=True,
        ),
        Column(
            "latency_s",
            "float64",
            "seconds from the row's submission to the engine until its samples were there",
            lambda r: r.latency_s,
        ),
        Column(
            "cumulative_logprob",
            "list<float64>",
            "sum of the sampled tokens' log-probabilities; slows sampling",
            lambda r: [s.cumulative_logprob for s in r.samples],
        ),
        Column(
            "num_continued",
            "list<int32>",
            "times each response went on after max_tokens had cut it off (continue_truncated)",
            lambda r: [s.num_continued for s in r.samples],
        ),
        Column(
            "num_attempts",
            "int32",
            "times the row was tried (retry_failed)",
            lambda r: r.num_attempts,
        ),
        Column(
            "reasoning",
            "list<string>",
            "what the response thinks before its answer (model.reasoning_tags); null: nothing",
            lambda splits: [s.reasoning for s in splits],
            is_derived=True,
        ),
        Column(
            "final_response",
            "list<string>",
            "the response without its reasoning; empty where that is unclosed",
            lambda splits: [s.answer for s in splits],
            is_derived=True,
        ),
        Column(
            "is_reasoning_closed",
            "list<bool>",
            "false where the reasoning was begun and not ended",
            lambda splits: [s.is_closed for s in splits],
            is_derived=True,
        ),
    )
}
ALWAYS = ("responses", "error")
RENAMED = {"answer": "final_response"}  # the commonest column of an input is called answer


def output_columns(chosen: list[str]) -> list[Column]:
    """`responses`, the chosen columns, then `error`. Raises KeyError for an unknown name."""
    middle = [COLUMNS[name] for name in chosen if name not in ALWAYS]
    return [COLUMNS["responses"], *middle, COLUMNS["error"]]


def result_of(record: dict[str, Any]) -> Result:
    """A result from its stored columns, the inverse of each one's `Column.of`."""
    per_sample = zip(
        *(
            record[name]
            for name in (
                "responses", "finish_reason", "num_response_tokens", "stop_reason", "token_ids",
                "cumulative_logprob", "num_continued", "logprobs",
            )
        ),
        strict=True,
    )  # fmt: skip
    seeds = record["seed"]
    return Result(
        record["index"],
        record["row"],
        record["digest"],
        [Sample(*values) for values in per_sample],
        seeds[0] if seeds else None,
        record["num_prompt_tokens"],
        record["num_cached_tokens"],
        record["error"],
        record["num_attempts"],
        record["prompt_token_ids"],
        record["latency_s"],
        record["opens_reasoning"],
    )

"""The output's columns: name, type, meaning, and how a result fills each.

Must not know engines, files or settings.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rollout.rows.request import Sample
from rollout.rows.result import Result


@dataclass(frozen=True, slots=True)
class Column:
    """An output column.

    `of` makes its value from a result. That of a derived column takes the splits of a row's
    responses instead (reasoning.py): they are computed on publishing and not stored.
    """

    name: str
    arrow_type: str
    help: str
    of: Callable[[Any], Any]
    is_derived: bool = False
    is_of_row: bool = False  # its list is one value of the row, such as the prompt's tokens

    @property
    def is_per_sample(self) -> bool:
        """Whether it lists one value per sample."""
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
            "the n responses, in sample order; empty if the row failed",
            lambda r: [s.text for s in r.samples],
        ),
        Column(
            "error",
            "string",
            "why the row has no responses; null if it has them",
            lambda r: r.error,
        ),
        Column(
            "finish_reason",
            "list<string>",
            "stop, or length if max_tokens or the context cut it off",
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
            "tokens of the prompt, as the model saw it",
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
            "the stop string or token id that ended it; null for an end-of-text token",
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
            "log-probabilities of the sampled tokens, one per token id; slows sampling",
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
            "seconds from the row's submission to the engine to its last sample",
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
            "times each response was continued after max_tokens cut it off (continue_truncated)",
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
            "the reasoning before the answer (model.reasoning_tags); null if there is none",
            lambda splits: [s.reasoning for s in splits],
            is_derived=True,
        ),
        Column(
            "final_response",
            "list<string>",
            "the response without its reasoning; empty if that is unclosed",
            lambda splits: [s.answer for s in splits],
            is_derived=True,
        ),
        Column(
            "is_reasoning_closed",
            "list<bool>",
            "false if the reasoning was begun and not ended",
            lambda splits: [s.is_closed for s in splits],
            is_derived=True,
        ),
    )
}
ALWAYS = ("responses", "error")
RENAMED = {"answer": "final_response"}  # inputs often have a column called answer


def output_columns(chosen: list[str]) -> list[Column]:
    """Return `responses`, the chosen columns, then `error`. Raises KeyError for an unknown name."""
    middle = [COLUMNS[name] for name in chosen if name not in ALWAYS]
    return [COLUMNS["responses"], *middle, COLUMNS["error"]]


def result_of(record: dict[str, Any]) -> Result:
    """Build a result from its stored columns: the inverse of each `Column.of`."""
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

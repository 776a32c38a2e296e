"""The output's columns: name, type, meaning, and how a result fills each.

Must not know about engines, files or settings.
"""

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
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


def _of_row(name: str, arrow_type: str, help: str, is_of_row: bool = False) -> Column:
    """A column with the result's member of the same name."""
    return Column(name, arrow_type, help, attrgetter(name), is_of_row=is_of_row)


def _of_samples(name: str, arrow_type: str, help: str, member: str | None = None) -> Column:
    """A column with a member of each sample, by default the one of the same name."""
    get = attrgetter(member or name)
    return Column(name, f"list<{arrow_type}>", help, lambda result: list(map(get, result.samples)))


def _of_splits(name: str, arrow_type: str, help: str, member: str) -> Column:
    """A column with a member of each response's split."""
    get = attrgetter(member)
    return Column(name, f"list<{arrow_type}>", help, lambda splits: list(map(get, splits)), True)


def _seeds(result: Result) -> list[int | None]:
    base = result.seed
    return [None if base is None else base + i for i in range(len(result.samples))]


COLUMNS = {
    column.name: column
    for column in (
        _of_samples(
            "responses",
            "string",
            "the n responses, in sample order; of a failed row none, or those of earlier launches",
            "text",
        ),
        _of_row("error", "string", "why the row failed; null if it did not"),
        _of_samples(
            "finish_reason", "string", "stop, or length if max_tokens or the context cut it off"
        ),
        _of_samples("num_response_tokens", "int32", "tokens of each response", "num_tokens"),
        _of_row("num_prompt_tokens", "int32", "tokens of the prompt, as the model saw it"),
        _of_row("num_cached_tokens", "int32", "tokens of the prompt found in the prefix cache"),
        _of_samples(
            "stop_reason",
            "string",
            "the stop string or token id that ended it; null for an end-of-text token",
        ),
        Column("seed", "list<int64>", "the seed of each sample", _seeds),
        _of_samples(
            "token_ids",
            "list<int32>",
            "the sampled token ids, exactly; makes the files about twice as large",
        ),
        _of_samples(
            "logprobs",
            "list<float>",
            "log-probabilities of the sampled tokens, one per token id; slows sampling",
        ),
        _of_row(
            "prompt_token_ids",
            "list<int32>",
            "the prompt's token ids, exactly as the model saw them",
            is_of_row=True,
        ),
        _of_row(
            "latency_s",
            "float64",
            "seconds from the row's submission to the engine to its last sample",
        ),
        _of_samples(
            "cumulative_logprob",
            "float64",
            "sum of the sampled tokens' log-probabilities; slows sampling",
        ),
        _of_samples(
            "num_continued",
            "int32",
            "times each response was continued after max_tokens cut it off (continue_truncated)",
        ),
        _of_row("num_attempts", "int32", "times the row was tried (retry_failed)"),
        _of_splits(
            "reasoning",
            "string",
            "the reasoning before the answer (model.reasoning_tags); null if there is none",
            "reasoning",
        ),
        _of_splits(
            "final_response",
            "string",
            "the response without its reasoning; empty if that is unclosed",
            "answer",
        ),
        _of_splits(
            "is_reasoning_closed",
            "bool",
            "false if the reasoning was begun and not ended",
            "is_closed",
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

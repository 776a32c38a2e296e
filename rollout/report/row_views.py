"""A row of an output as the sample browser shows it: prompt, reference and samples.

Takes a row's columns under the names a run gives them, without prefixes. Tolerates missing columns
and null. Must not know how rows are read.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rollout.report.page import PromptView, SampleView
from rollout.report.prompt_texts import MAX_CHARS, Excerpt, Messages, cut, text_from, utf8
from rollout.rows.gym_entry import entry_of
from rollout.rows.reasoning import split

SCORED = ("scores", "verdicts", "score_errors", "extracted")
PER_SAMPLE = (
    "responses", "finish_reason", "num_response_tokens", "reasoning", "final_response",
    "is_reasoning_closed",
)  # fmt: skip
PER_ROW = ("error", "num_prompt_tokens")


def row_view(
    number: int,
    messages: Messages,
    row: Mapping[str, Any],
    most: int,
    room: int,
    tags: Sequence[str],
) -> PromptView:
    """Return a row with its first `most` samples and texts of about `room` characters in all.

    `row` has the columns of PER_SAMPLE, SCORED and PER_ROW that there are, and `reference`.
    """
    responses = row.get("responses") or ()
    texts = len(messages) + 2 * min(most, len(responses))
    limit = min(MAX_CHARS, room // max(1, texts))
    samples = [sample_view(row, i, tags, limit) for i in range(min(most, len(responses)))]
    reference, tokens = row.get("reference"), row.get("num_prompt_tokens")
    messages = [(utf8(role), cut(text, limit)) for role, text in messages]
    return PromptView(
        number,
        messages,
        [samples],
        [_text(row.get("error"), limit)],
        None if reference is None else cut(text_from(reference), limit),
        tokens if isinstance(tokens, int) else None,
        is_cut=any(isinstance(text, Excerpt) for _, text in messages),
    )


def sample_view(
    row: Mapping[str, Any], i: int, tags: Sequence[str], limit: int = sys.maxsize
) -> SampleView:
    """Return sample `i` of a row with `responses` and those of PER_SAMPLE and SCORED there are."""
    response = row["responses"][i]
    reasoning, text = _parts(row, i, response or "", tags)
    tokens, score = _member(row, "num_response_tokens", i), _member(row, "scores", i)
    error = _member(row, "score_errors", i)
    shown = cut(text, limit)
    return SampleView(
        shown,
        _text(reasoning, limit),
        _text(_member(row, "finish_reason", i), limit),
        tokens if isinstance(tokens, int) else None,
        float(score) if isinstance(score, int | float) else None,
        _text(_member(row, "verdicts", i), limit) or "",
        _text(_member(row, "extracted", i), limit),
        _text("the response is null" if response is None and error is None else error, limit),
        is_cut=isinstance(shown, Excerpt),
    )


def _parts(
    row: Mapping[str, Any], i: int, response: str, tags: Sequence[str]
) -> tuple[str | None, str]:
    """Return reasoning and answer: as the run split them if it says so, else by the tags."""
    reasoning, final = _member(row, "reasoning", i), _member(row, "final_response", i)
    if isinstance(reasoning, str) and isinstance(final, str):
        return reasoning, final
    is_opened = row.get("opens_reasoning") or _member(row, "is_reasoning_closed", i) is False
    found = split(response, tags, bool(is_opened))
    return found.reasoning, found.answer


def _member(row: Mapping[str, Any], name: str, i: int) -> Any:
    """Return the sample's value of a column; None if it has none."""
    values = row.get(name)
    return values[i] if isinstance(values, list) and i < len(values) else None


def _text(value: Any, limit: int) -> str | None:
    return None if value is None else cut(text_from(value), limit)


def reference_of(compared: Any, answer: Any, entry: Any) -> Any:
    """Return the right answer: as the scorer read it, else the input's, else a gym entry's."""
    if compared is not None:
        return compared
    if answer is not None or entry is None:
        return answer
    try:
        return entry_of(entry, "entry").get("answer")
    except ValueError:  # another column of this name
        return None

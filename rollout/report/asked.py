"""Prompts as a run asked them, with its template, system prompt and tools: its file records these.

Must not know which rows are shown, or where.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rollout.errors import UserError
from rollout.inputs.prompt_builder import PromptBuilder
from rollout.inputs.prompt_record import recorded_builder
from rollout.report.prompt_texts import Messages, messages_in
from rollout.rows.column_paths import field_at

if TYPE_CHECKING:
    import pyarrow as pa


def builder_in(schema: "pa.Schema") -> PromptBuilder | None:
    """Return how the run asked its prompts; None if just by the column `prompt`, or not known."""
    try:
        builder = recorded_builder(schema)
    except (ValueError, KeyError, TypeError, AttributeError, UserError):  # another program's
        return None
    if builder is None or any(field_at(schema, name) is None for name in builder.columns):
        return None
    return builder


def asked_messages(builder: PromptBuilder, position: int, row: Mapping[str, Any]) -> Messages:
    """Return the prompt of a row, given by its columns `builder.columns`, as roles and texts."""
    key = builder.data.prompt_key
    try:
        prompt = builder.prompt_of(position, position, dict(row))
    except UserError as error:  # a template that takes too long
        return [("", f"(not readable: {error})")]
    if prompt.error and key not in row:
        return [("", f"(not readable: {prompt.error})")]
    return messages_in(prompt, row.get(key))

"""The first prompts of an input as the model sees them, and warnings about them.

Guarantees text that is safe to print, without control characters. Must not know about devices or
engines.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rollout.config.sections.data import Template
from rollout.errors import RequestRefused
from rollout.inputs.prompts import Prompts
from rollout.plan.prompts.chat_checks import (
    answers_at_the_end,
    calls_left_out,
    chats_in_text,
    members_left_out,
)
from rollout.plan.prompts.tokenizer import Piece, PromptTokenizer
from rollout.rows.prompt import Prompt
from rollout.system.safe_text import printable

MOST_CHARS = 50_000  # of a row; longer rows would take seconds
NUM_FIRST = 32  # rows checked
_THINKING = re.compile(r"(<think>|<thinking>|<reasoning>|\[THINK\])\s*$")

STRINGS_CONTINUED = (
    "strings are sent without the chat template, for the model to continue; for answers of an "
    "assistant type data.apply_chat_template=always"
)


@dataclass(frozen=True, slots=True)
class PromptPreview:
    """A prompt to show: its pieces in order, safe to print, or why it can't be sent."""

    row: int
    pieces: tuple[Piece, ...]
    num_tokens: int
    is_cut: bool
    error: str | None = None

    @property
    def text(self) -> str:
        """All pieces joined, with special tokens in ⟦ ⟧."""
        return "".join(f"⟦{p.text}⟧" if p.is_special else p.text for p in self.pieces)


def first_prompts(
    prompts: Prompts, tokenizer: PromptTokenizer, n: int = 2, max_chars: int = 1200
) -> list[PromptPreview]:
    """Return the first n rows as the model sees them, cut in the middle to about `max_chars`."""
    shown = []
    for prompt in islice(prompts, n):
        try:
            if prompt.error is not None:
                raise RequestRefused(prompt.error)
            if (number := _size(prompt)) > MOST_CHARS:
                note = Piece(f"{number:,} characters, not shown", is_special=True)
                shown.append(PromptPreview(prompt.row, (note,), 0, is_cut=True))
                continue
            pieces = tokenizer.pieces(prompt)
            num_tokens = len(tokenizer.encode(prompt))
        except RequestRefused as refusal:
            shown.append(PromptPreview(prompt.row, (), 0, False, printable(str(refusal))))
            continue
        kept = list(_cut(pieces, max_chars))
        safe = tuple(Piece(_safe(piece.text), piece.is_special) for piece in kept)
        shown.append(PromptPreview(prompt.row, safe, num_tokens, is_cut=kept != pieces))
    return shown


def _size(prompt: Prompt) -> int:
    return _num_chars([prompt.content, prompt.tools]) + len(prompt.token_ids or ())


def _num_chars(content: Any) -> int:
    if isinstance(content, dict):
        content = list(content.values())
    if isinstance(content, list):
        return sum(map(_num_chars, content))
    return len(content) if isinstance(content, str) else 0


def check_prompts(prompts: Prompts, tokenizer: PromptTokenizer, n: int = NUM_FIRST) -> list[str]:
    """Return warnings about the first n rows, one line each."""
    rows = [p for p in islice(prompts, n) if p.error is None and _size(p) <= MOST_CHARS]
    is_chosen = prompts.data.apply_chat_template is not Template.auto
    checks = (
        _chats_without_template(rows, tokenizer),
        _tools_left_out(rows, tokenizer),
        None if is_chosen else _strings_for_an_assistant(rows, tokenizer),
        _doubled_bos(rows, tokenizer),
        _opened_thinking(rows, tokenizer),
        _blank(rows),
        members_left_out(rows, tokenizer),
        calls_left_out(rows, tokenizer),
        chats_in_text(rows, prompts),
        answers_at_the_end(rows, prompts),
    )
    return [message for message in checks if message]


def _chats_without_template(rows: list[Prompt], tokenizer: PromptTokenizer) -> str | None:
    if tokenizer.has_chat_template or not any(isinstance(row.content, list) for row in rows):
        return None
    return (
        "the model has no chat template, so chats can't be sent to it; type "
        "model.chat_template=FILE.jinja, or use an instruct model"
    )


def _tools_left_out(rows: list[Prompt], tokenizer: PromptTokenizer) -> str | None:
    takes_tools = any("tools" in source for source in tokenizer.templates.values())
    if takes_tools or not tokenizer.has_chat_template or not any(row.tools for row in rows):
        return None
    return "the chat template takes no tools: rows with tools will fail; use a model made for tools"


def _strings_for_an_assistant(rows: list[Prompt], tokenizer: PromptTokenizer) -> str | None:
    if not tokenizer.has_chat_template or not any(isinstance(row.content, str) for row in rows):
        return None
    return STRINGS_CONTINUED


def _doubled_bos(rows: list[Prompt], tokenizer: PromptTokenizer) -> str | None:
    found = []
    for row in rows:
        with suppress(RequestRefused):
            if tokenizer.encode(row)[:2] == [tokenizer.bos_id] * 2:
                found.append(row)
    if tokenizer.bos_id is None or not found:
        return None
    bos = printable(tokenizer.bos_token)
    where = f"{len(found)} of the first {len(rows)} prompts begin with {bos} twice"
    if found[0].token_ids is not None:
        return f"{where}: data.prompt_format=tokens sends ids unchanged; remove one"
    if isinstance(found[0].content, str):
        return f"{where}: the tokenizer adds one to a string that has one; remove yours"
    return f"{where}: the chat template adds one to a message that has one; remove yours"


def _opened_thinking(rows: list[Prompt], tokenizer: PromptTokenizer) -> str | None:
    for row in rows:
        if not isinstance(row.content, list):
            continue
        try:
            opened = _THINKING.search(tokenizer.text_of(row)[-64:])
        except RequestRefused:
            continue
        if opened:
            return (
                f"the prompt ends with {opened[1]}: responses begin inside the thinking, with only "
                "the closing tag"
            )
    return None


def _blank(rows: list[Prompt]) -> str | None:
    blank = [row.row for row in rows if row.content is not None and not _has_text(row.content)]
    if not blank:
        return None
    return f"blank prompts among the first {len(rows)}: {len(blank)}; the first is row {blank[0]}"


def _has_text(content: Any) -> bool:
    if isinstance(content, str):
        return bool(content.strip())
    if isinstance(content, dict):
        content = [value for key, value in content.items() if key not in ("role", "type")]
    return isinstance(content, list) and any(map(_has_text, content))


def _cut(pieces: list[Piece], max_chars: int) -> Iterator[Piece]:
    """Yield the pieces with the middle replaced by a note, if they exceed `max_chars`."""
    num_chars = sum(len(piece.text) for piece in pieces)
    if num_chars <= max_chars:
        yield from pieces
        return
    low, high, start, is_noted = max_chars // 2, num_chars - max_chars // 2, 0, False
    for piece in pieces:
        end = start + len(piece.text)
        before, after = piece.text[: max(0, low - start)], piece.text[max(0, high - start) :]
        if piece.is_special:  # shown whole or not at all
            before = piece.text if end <= low else ""
            after = piece.text if start >= high else ""
        if start < low and before:
            yield Piece(before, piece.is_special)
        if end > low and not is_noted:
            is_noted = True
            yield Piece(f" … {high - low} characters … ")
        if end > high and after:
            yield Piece(after, piece.is_special)
        start = end


def _safe(text: str) -> str:
    """Escape control characters, except line breaks."""
    return "\n".join(printable(line) for line in text.split("\n"))

"""Find responses that were cut off, and those whose reasoning never ended.

A reasoning model that max_tokens stops within its reasoning has given no answer, whatever numbers
its text contains. Must not know about scorers' settings or files.
"""

from collections.abc import Callable, Sequence
from typing import Any

from rollout.postprocess.scoring.scorers import Response
from rollout.rows.reasoning import opens, split

CUT = "length"  # vLLM's finish_reason if max_tokens or the context length ended a response


def opening_of(closing: str) -> str | None:
    """Return the opening tag of `closing`: <think> for </think>, [THINK] for [/THINK]."""
    opening = closing.replace("/", "", 1)
    return opening if opening != closing else None


def responses_of(
    texts: Sequence[str | None],
    closing: str,
    finish_reasons: Sequence[str | None] | None,
    closed: Sequence[bool | None] | None,
    prompt: Callable[[], Any],
) -> list[Response | None]:
    """Return the responses of one row without their reasoning, in order; None for a null text.

    The tag `closing` ends the reasoning; if it is empty, nothing is left out. `finish_reasons` and
    `closed` (the run's column is_reasoning_closed) are aligned with `texts`, or None. `prompt`
    returns the row's prompt; it is called only if the prompt decides.

    A response is unclosed if its reasoning was opened and never ended. A tag in its text opens it.
    If it was cut off or its finish_reason is unknown, the prompt or the chat template may have
    opened it, too; the latter shows in a closing tag of another response without an opening one.
    """
    size = len(texts)
    reasons = finish_reasons if finish_reasons and len(finish_reasons) == size else [None] * size
    flags = closed if closed and len(closed) == size else [None] * size
    opening = opening_of(closing)
    found: list[Response | None] = []
    is_opened: bool | None = None
    for text, reason, flag in zip(texts, reasons, flags, strict=True):
        is_cut = reason == CUT
        if text is None:
            found.append(None)
            continue
        if closing in text:  # always, if there is no closing tag
            answer = text.rpartition(closing)[2] if closing else text
            found.append(Response(answer, is_cut))
            continue
        is_unclosed = flag is False or (opening is not None and opening in text)
        if not is_unclosed and (is_cut or reason is None) and flag is None:
            if is_opened is None:
                is_opened = _is_opened(texts, opening, closing, prompt)
            is_unclosed = is_opened
        found.append(Response(text, is_cut, is_unclosed))
    return found


def _is_opened(
    texts: Sequence[str | None], opening: str | None, closing: str, prompt: Callable[[], Any]
) -> bool:
    """Return whether the prompt or the chat template opens the reasoning of every response."""
    for text in texts:
        if text and closing in text:
            before = text.partition(closing)[0]
            if opening is None or opening not in before:
                return True
    if opening is None:
        return False
    asked = prompt()
    if isinstance(asked, str):
        return opens(asked, (opening, closing))
    if isinstance(asked, list) and asked and isinstance(asked[-1], dict):
        last = asked[-1]
        if last.get("role") == "assistant" and isinstance(last.get("content"), str):
            return not split(last["content"], (opening, closing)).is_closed
    return False

"""Which responses were cut off, and which of them never came to an answer.

A reasoning model that is stopped at max_tokens within its reasoning has given no answer, whatever
numbers stand in the text. Pure: texts and flags in, `Response` out.
"""

from collections.abc import Callable, Sequence
from typing import Any

from rollout.postprocess.scoring.scorers import Response
from rollout.rows.reasoning import opens, split

CUT = "length"  # vLLM's finish_reason where max_tokens or the context ended a response


def opening_of(closing: str) -> str | None:
    """The tag that begins what `closing` ends: <think> for </think>, [THINK] for [/THINK]."""
    opening = closing.replace("/", "", 1)
    return opening if opening != closing else None


def responses_of(
    texts: Sequence[str | None],
    closing: str,
    finish_reasons: Sequence[str | None] | None,
    closed: Sequence[bool | None] | None,
    prompt: Callable[[], Any],
) -> list[Response | None]:
    """The responses of one row without their reasoning, in order; None for a null text.

    `closing` ends the reasoning; empty: nothing is left out. `finish_reasons` and `closed`
    (the run's own column is_reasoning_closed) are aligned with `texts` where they are known.
    `prompt` returns the row's prompt and is called only where it decides.

    A response is unclosed if its reasoning was opened and never ended. It was opened by a tag in
    its text; or by the prompt or the chat template (another response of the row then has a closing
    tag without an opening one), if it was cut off or nobody knows how it ended.
    """
    size = len(texts)
    reasons = finish_reasons if finish_reasons and len(finish_reasons) == size else [None] * size
    flags = closed if closed and len(closed) == size else [None] * size
    cut = [reason == CUT for reason in reasons]
    if not closing:
        return [None if t is None else Response(t, c) for t, c in zip(texts, cut, strict=True)]
    opening = opening_of(closing)
    found: list[Response | None] = []
    is_opened: bool | None = None
    for text, is_cut, reason, flag in zip(texts, cut, reasons, flags, strict=True):
        if text is None:
            found.append(None)
            continue
        if closing in text:
            found.append(Response(text.rpartition(closing)[2], is_cut))
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
    """Whether the prompt, or the chat template, has each response begin within its reasoning."""
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

"""scorer=regex: compare what a pattern finds in the response with the answer.

The match is the group named `answer`, else the first group that matched, else the whole match,
without spaces at its ends. It is compared as text (regex.ignore_case applies to both), or as a
number if the column holds numbers: "4" and "4.0" equal 4.0 in the column. With
regex.match_only=true nothing is compared: a match scores 1, no match is wrong.
"""

import math
import re
from contextlib import suppress
from typing import Any

from rollout.config.sections.postprocess import AnswerIs, Postprocess, Which
from rollout.errors import UserError
from rollout.postprocess.scoring.scorers import (
    Mark,
    Response,
    Scorer,
    Unscorable,
    answer_column,
    answers_of,
    as_text,
    no_answer,
)

MISSING = "regex.match_only=true to score every match 1"  # if there is no answer column
HOW = f"answer_key=COLUMN to compare with it, or {MISSING}"
NUMBER = re.compile(r"[+-]?(?:\d+(?:,\d{3})*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?")


def columns(settings: Postprocess) -> dict[str, str]:
    """Return the answer column, or none with regex.match_only."""
    if not settings.regex.match_only:
        return answer_column(settings)
    if settings.answer_key is not None:
        raise UserError(
            f"answer_key={settings.answer_key} has no effect with regex.match_only=true, which "
            f"compares nothing; type only one of them: {HOW}"
        )
    return {}


def load(settings: Postprocess) -> Scorer:
    """Return the scorer. Raises UserError if the pattern is missing or invalid."""
    chosen = settings.regex
    if not chosen.pattern:
        raise UserError(
            "scorer=regex needs a pattern; type regex.pattern='answer: (.*)' (its first group is "
            "compared with the column answer, or answer_key=COLUMN)"
        )
    if settings.answer_is is AnswerIs.all:
        raise UserError(
            "answer_is=all does not work with scorer=regex, which takes one match; type "
            "answer_is=any, or use scorer=python"
        )
    columns(settings)
    try:
        pattern = re.compile(chosen.pattern, re.IGNORECASE if chosen.ignore_case else 0)
    except (re.error, RecursionError, OverflowError) as error:
        raise UserError(
            f"regex.pattern={chosen.pattern} is not a Python pattern: {error}; correct it"
        ) from error

    def same(given: str, answer: Any) -> bool:
        if isinstance(answer, int | float) and not isinstance(answer, bool):
            return NUMBER.fullmatch(given) is not None and _value(given) == answer
        text = as_text(answer).strip()
        return given.casefold() == text.casefold() if chosen.ignore_case else given == text

    def score(response: Response, row: dict[str, Any]) -> Mark:
        answers = [] if chosen.match_only else answers_of(row, settings)
        if any(not as_text(answer).strip() for answer in answers):
            raise Unscorable(f"{settings.answer_key or 'answer'} is empty")
        compared = " or ".join(as_text(answer).strip() for answer in answers) or None
        matches = pattern.finditer(response.text)
        match = next(matches, None)
        if chosen.which is Which.last:
            for later in matches:
                match = later
        given = "" if match is None else found(match).strip()
        if chosen.match_only and match is not None:
            return Mark(1.0, given)
        if chosen.match_only and not response.is_cut:
            return Mark(0.0, None, "no match")
        if not given:
            return no_answer(compared)
        return Mark(float(any(same(given, answer) for answer in answers)), given, None, compared)

    return score


def found(match: re.Match[str]) -> str:
    """Return the group named answer, else the first group that matched, else the whole match."""
    groups = match.groupdict()
    if "answer" in groups:
        return groups["answer"] or ""
    if match.re.groups:
        return next((group for group in match.groups() if group is not None), "")
    return match[0]


def _value(text: str) -> float:
    text = text.replace(",", "")
    with suppress(ValueError):
        return int(text)
    value = float(text)
    return value if math.isfinite(value) else math.nan

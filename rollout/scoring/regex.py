"""scorer=regex: what a pattern finds in the response, against the answer, or whether it does."""

import re
from typing import Any

from rollout.errors import UserError
from rollout.scoring.scorers import Mark, Response, Scorer, answers_of, as_text
from rollout.scoring.settings import Postprocess, Which


def columns(settings: Postprocess) -> dict[str, str]:
    """The answer's column, where one is named."""
    return {"answer_key": settings.answer_key} if settings.answer_key else {}


def load(settings: Postprocess) -> Scorer:
    """Raises UserError where the pattern is missing or is none."""
    chosen = settings.regex
    if not chosen.pattern:
        raise UserError(
            "scorer=regex needs a pattern; type regex.pattern='answer: (.*)' (its first group is "
            "compared with answer_key=COLUMN; without one a match scores 1)"
        )
    try:
        pattern = re.compile(chosen.pattern, re.IGNORECASE if chosen.ignore_case else 0)
    except (re.error, RecursionError, OverflowError) as error:
        raise UserError(
            f"regex.pattern={chosen.pattern} is no Python pattern: {error}; mend it"
        ) from error

    def score(response: Response, row: dict[str, Any]) -> Mark:
        text = response.text
        found = None
        for match in pattern.finditer(text):
            found = match
            if chosen.which is Which.first:
                break
        if found is None:
            return Mark(0.0)
        given = (found[1] if pattern.groups else found[0]) or ""
        given = given.strip()
        if settings.answer_key is None:
            return Mark(1.0, given)
        answers = [answer.strip() for answer in map(as_text, answers_of(row, settings))]
        return Mark(float(given in answers), given)

    return score

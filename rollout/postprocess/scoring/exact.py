"""scorer=exact: 1 if the response is the answer, else 0.

Texts are compared in Unicode's composed form (NFC): 0.5 and 1/2 differ (use scorer=math), and so do
straight and typographic quotes, or full-width and ordinary letters. A number in the answer column
is compared as text: 3.0 is "3", True is "True".
"""

import string
import unicodedata
from typing import Any

from rollout.config.sections.postprocess import AnswerIs, Postprocess
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

columns = answer_column
NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def load(settings: Postprocess) -> Scorer:
    """Return the scorer, which ignores what `settings.exact` says in both texts."""
    exact = settings.exact
    if settings.answer_is is AnswerIs.all:
        raise UserError(
            "answer_is=all does not work with scorer=exact, since a response is one text; type "
            "answer_is=any if each answer of a list is right"
        )

    def normal(text: str) -> str:
        text = unicodedata.normalize("NFC", text)
        text = text.casefold() if exact.ignore_case else text
        text = text.translate(NO_PUNCTUATION) if exact.ignore_punctuation else text
        return " ".join(text.split()) if exact.ignore_space else text

    def score(response: Response, row: dict[str, Any]) -> Mark:
        answers = [as_text(answer) for answer in answers_of(row, settings)]
        rights = [normal(answer) for answer in answers]
        if not all(right.strip() for right in rights):
            raise Unscorable(
                f"the right answer {answers[0][:40]!r} is empty, or is empty without punctuation "
                "(exact.ignore_punctuation)"
            )
        compared = " or ".join(answers)
        if not response.text.strip():
            return no_answer(compared)
        given = normal(response.text)
        if response.is_cut and given not in rights:
            return no_answer(compared)
        return Mark(float(given in rights), given, None, compared)

    return score

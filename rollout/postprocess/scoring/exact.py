"""scorer=exact: 1 where the response is the answer, else 0.

Text is compared as text, in Unicode's composed form (NFC): 0.5 and 1/2 differ (scorer=math knows
better), and so do straight and typographic quotes, or full-width and common letters. A number
in the answer column is the text that it is written as: 3.0 is "3", True is "True".
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
    """Compare after what `settings.exact` leaves out is left out of both."""
    exact = settings.exact
    if settings.answer_is is AnswerIs.all:
        raise UserError(
            "answer_is=all does not go with scorer=exact, since a response is one text; type "
            "answer_is=any where each answer of a list is right"
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
                f"the right answer {answers[0][:40]!r} is empty, or all of it is left out by "
                "exact.ignore_punctuation"
            )
        compared = " or ".join(answers)
        if not response.text.strip():
            return no_answer(compared)
        given = normal(response.text)
        if response.is_cut and given not in rights:
            return no_answer(compared)
        return Mark(float(given in rights), given, None, compared)

    return score

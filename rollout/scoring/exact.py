"""scorer=exact: 1 where the response is the answer (or one of a list of them), else 0.

Text is compared as text: 0.5 and 1/2 differ (scorer=math knows better).
"""

import string
import unicodedata
from typing import Any

from rollout.scoring.scorers import Mark, Response, Scorer, answer_column, answers_of, as_text
from rollout.scoring.settings import Postprocess

columns = answer_column
NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def load(settings: Postprocess) -> Scorer:
    """Compare after what `settings.exact` leaves out is left out of both."""
    exact = settings.exact

    def normal(text: str) -> str:
        text = unicodedata.normalize("NFC", text)
        text = text.casefold() if exact.ignore_case else text
        text = text.translate(NO_PUNCTUATION) if exact.ignore_punctuation else text
        return " ".join(text.split()) if exact.ignore_space else text

    def score(response: Response, row: dict[str, Any]) -> Mark:
        text = response.text
        answers = map(as_text, answers_of(row, settings))
        given = normal(text)
        return Mark(float(any(given == normal(answer) for answer in answers)), given)

    return score

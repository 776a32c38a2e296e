"""scorer=math: compare the response's answer with the ground truth, as mathematics.

`answer` finds the answer in the response, `gold` takes the ground truth from the row, and `read`
parses both, in full or not at all. `compare` decides whether they are equal; math-verify decides
for formulas. A ground truth in words (True, (B), Tuesday), a clock time, a date or a range is
compared as text, with an answer that the response marks as its answer.
"""

import re
from typing import Any

from rollout.config.sections.postprocess import AnswerIs, Postprocess
from rollout.postprocess.scoring.math.answer import Found, find, is_open_sum
from rollout.postprocess.scoring.math.canonical import canonical
from rollout.postprocess.scoring.math.compare import same
from rollout.postprocess.scoring.math.gold import gold_of
from rollout.postprocess.scoring.math.nearly_equal import nearly_equal
from rollout.postprocess.scoring.math.number import number
from rollout.postprocess.scoring.math.values import Formula, Group, Named, Number, Value, Words
from rollout.postprocess.scoring.scorers import (
    Mark,
    Response,
    Scorer,
    Verdict,
    answer_column,
    answers_of,
    no_answer,
)

columns = answer_column
DECIMAL_COMMA = re.compile(r"\s*[$€£]?\s*(-?\d+),(?!\d{3}\b)(\d+)\s*[$€£]?\s*")


def load(settings: Postprocess) -> Scorer:
    """Return the scorer. The pool enforces its time limit: math-verify's own needs signals."""
    import math_verify  # noqa: F401  so that the first response's time limit excludes the import

    def score(response: Response, row: dict[str, Any]) -> Mark:
        golds = [gold_of(answer) for answer in answers_of(row, settings)]
        joint = " or " if settings.answer_is is AnswerIs.any else ", "
        compared = joint.join(gold.text for gold in golds)
        if not response.text.strip():
            return no_answer(compared)
        takes_words = any(isinstance(gold.value, Words) for gold in golds)
        takes_sums = any(is_open_sum(gold.value) for gold in golds)
        found = find(response.text, response.is_cut, takes_words, takes_sums)
        if found is None:
            return no_answer(
                compared, verdict=Verdict.cut_off if response.is_cut else Verdict.no_answer
            )
        if settings.answer_is is AnswerIs.all and len(golds) > 1:
            right = _is_right(found, Group("list", tuple(gold.value for gold in golds)))
        else:
            right = any(_is_right(found, gold.value) for gold in golds)
        return Mark(float(right), _extracted(found), None, compared)

    return score


def _is_right(found: Found, gold: Any) -> bool:
    if found.value is not None and same(gold, found.value):
        return True
    if not found.is_explicit and isinstance(found.value, Group) and not isinstance(gold, Group):
        if all(map(_is_equation, found.value.items)):  # a = 3, b = 4, a + b = 7
            return same(gold, found.value.items[-1])
    if isinstance(gold, Number) and gold.quantum and (comma := DECIMAL_COMMA.fullmatch(found.text)):
        decimal = number(f"{comma[1]}.{comma[2]}")  # 2,74 for a ground truth of 2.74
        return decimal is not None and nearly_equal(gold, decimal)
    # Adjacent boxes count as one answer only if the ground truth has several values.
    is_several = isinstance(gold, Group) and found.several is not None
    return is_several and same(gold, found.several)


def _is_equation(value: Value) -> bool:
    return isinstance(value, Named) or (isinstance(value, Formula) and "=" in value.latex)


def _extracted(found: Found) -> str:
    return " ".join(found.text.split())[:200] if found.value is None else canonical(found.value)

"""scorer=math: math-verify decides whether the response's last answer equals the right one.

The right answer may be a number, LaTeX with or without its delimiters, or a solution that ends in
`#### 42`. math-verify's own time-outs need signals; here the pool keeps the time, so they are off.
"""

import logging
import re
from functools import lru_cache
from typing import Any

from rollout.scoring.scorers import (
    Mark,
    Response,
    Scorer,
    Unscorable,
    answer_column,
    answers_of,
    as_text,
)
from rollout.scoring.settings import Postprocess

columns = answer_column
NUMBER = re.compile(r"\s*\$?\s*[-+]?\s*(\d[\d,]*\.?\d*|\.\d+)([eE][-+]?\d+)?\s*\\?%?\s*\.?\s*")
PERCENT = re.compile(r"[-+\d,.\s]+\\?%")
DELIMITERS = ("$", "\\boxed", "\\(", "\\[", "\\begin")


def load(settings: Postprocess) -> Scorer:
    """Parse with LaTeX (what is boxed first) and plain expressions, then compare by value."""
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that time-outs are off
    both = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]

    def parsed(text: str) -> list[Any]:
        found = parse(text, both, parsing_timeout=None)
        if len(found) == 1 and PERCENT.fullmatch(found[0]):
            # Beside Hydra's antlr 4.9 the LaTeX grammar has no percent; plain expressions do.
            found = parse(found[0].replace("\\", ""), both, parsing_timeout=None) or found
        return found

    @lru_cache(maxsize=256)
    def gold_of(answer: str) -> tuple[Any, ...]:
        answer = answer.rpartition("####")[2]
        is_plain = NUMBER.fullmatch(answer) or any(d in answer for d in DELIMITERS)
        forms = [answer] if is_plain else [f"${answer.strip()}$", answer]
        found = [parsed(form) for form in forms]
        # A text alone is what math-verify gives back where it could not parse.
        best = next((f for f in found if any(not isinstance(v, str) for v in f)), found[0])
        if not best:
            raise Unscorable(f"the right answer {answer.strip()[:60]!r} is no mathematics")
        return tuple(best)

    def score(response: Response, row: dict[str, Any]) -> Mark:
        text = response.text
        golds = [list(gold_of(answer)) for answer in map(as_text, answers_of(row, settings))]
        given = parsed(text)
        if not given:
            return Mark(0.0)
        right = any(verify(gold, given, timeout_seconds=None) for gold in golds)
        return Mark(float(right), canonical(given))

    return score


def canonical(given: list[Any]) -> str | None:
    """One text for answers that are the same number: 0.5 and \\frac{1}{2} both give 1/2."""
    import sympy

    value = given[0]
    try:
        if isinstance(value, sympy.Eq) and isinstance(value.lhs, sympy.Symbol):
            value = value.rhs  # x = 5
        if isinstance(value, sympy.Float):
            value = sympy.nsimplify(value, rational=True)
        elif _is_small_sum(value):
            value = value.doit()  # 50*(1/100), 2/4
        return str(value)
    except Exception:  # a number too long to be written out, and what else sympy can't write
        return next((v for v in given if isinstance(v, str)), None)


def _is_small_sum(value: Any) -> bool:
    """Whether it is worked out in no time; a power or a series may take days."""
    import sympy

    if value.is_Rational:
        return True
    if not isinstance(value, sympy.Add | sympy.Mul | sympy.Pow | sympy.UnevaluatedExpr):
        return False
    is_small = not value.is_Pow or (value.exp.is_Integer and abs(value.exp) <= 64)
    return is_small and all(map(_is_small_sum, value.args))

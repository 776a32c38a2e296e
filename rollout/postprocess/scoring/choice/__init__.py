"""scorer=choice: compare the letter that a response chooses (see letters.py) with the ground truth.

The ground truth may be `B`, `(B)`, `B. Paris`, `Answer: B`, a solution that ends in a box, or a
position from 0 in a column of integers. If it can't be read in full, the row is not judged. A
digit in a text column may be a label or a position, from 0 or from 1; choice.numbers_are decides.
"""

import math
import numbers
import re
from typing import Any

from rollout.config.sections.postprocess import AnswerIs, NumbersAre, Postprocess
from rollout.errors import UserError
from rollout.postprocess.scoring.choice.letters import Chosen, reader
from rollout.postprocess.scoring.choice.patterns import plain
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
_LABELLED = re.compile(
    r"(?:(?:the )?(?:correct |right |final )*(?:answer|option|choice)(?: is)? ?:? ?|#{2,} ?)?"
    r"[(\[{\"']*([A-Za-z0-9])(?:[)\]}\"'. ]*$|(?:[)\]}][.:]?|[.:] |"
    r"[.:](?=[A-Z][a-z ]|[^\x00-\x7f])) ?\S.*)",
    re.IGNORECASE | re.DOTALL,
)
_SEVERAL = re.compile(r"[(\[]?[A-Za-z0-9][)\]]?(?: ?(?:,|;|&|/|\band\b) ?[(\[]?[A-Za-z0-9][)\]]?)+")


def load(settings: Postprocess) -> Scorer:
    """Return the scorer. Raises UserError for an invalid choice.letters or choice.numbers_are."""
    labels = settings.choice.letters.upper()
    if not labels.isascii() or not labels.isalnum() or len(set(labels)) < len(labels):
        raise UserError(
            f"choice.letters={settings.choice.letters} must be different letters A-Z or digits; "
            "type choice.letters=ABCD or choice.letters=1234"
        )
    has_digits = any(map(str.isdigit, labels))
    if settings.choice.numbers_are is NumbersAre.labels and not has_digits:
        raise UserError(
            f"choice.numbers_are=labels, but choice.letters={settings.choice.letters} has no "
            "digits; type choice.letters=1234, or choice.numbers_are=positions_from_one"
        )
    golds = Golds(settings)

    def score(response: Response, row: dict[str, Any]) -> Mark:
        right = golds.of(row)
        compared = (" or " if settings.answer_is is AnswerIs.any else ", ").join(right)
        chosen = golds.read(response.text) if response.text.strip() else Chosen()
        given = chosen.labels
        if not given or (response.is_cut and not chosen.is_explicit):
            return no_answer(compared)
        text = ", ".join(given)
        if chosen.is_unsure or (len(given) > 1 and settings.answer_is is not AnswerIs.all):
            return no_answer(compared, f"no single answer: the response names {text}")
        is_all = settings.answer_is is AnswerIs.all
        is_right = given == right if is_all else given[0] in right
        return Mark(float(is_right), text, None, compared)

    return score


class Golds:
    """Read a row's ground truth as one or more labels, in the order of choice.letters."""

    def __init__(self, settings: Postprocess):
        self.settings = settings
        self.labels = settings.choice.letters.upper()
        self.read = reader(self.labels)

    def of(self, row: dict[str, Any]) -> tuple[str, ...]:
        """Return a row's labels. Raises Unscorable if one is null, unknown or ambiguous."""
        found = {label for value in answers_of(row, self.settings) for label in self._labels(value)}
        return tuple(sorted(found, key=self.labels.index))

    def _labels(self, value: Any) -> tuple[str, ...]:
        if isinstance(value, numbers.Number) and not isinstance(value, bool):
            return (self._numbered(value, is_text=False),)
        text = " ".join(plain(value).split()) if isinstance(value, str) else ""
        if re.fullmatch(r"\d{1,3}(?:\.0+)?", text):
            return (self._numbered(float(text), is_text=True),)
        several = text if set(text) <= set(self.labels) and len(set(text)) > 1 else None
        if several or _SEVERAL.fullmatch(text):
            return self._several(text)
        chosen = self.read(text) if "\\boxed" in text else Chosen()
        found = _LABELLED.fullmatch(text)
        label = found[1].upper() if found else "".join(chosen.labels)
        if len(label) == 1 and label in self.labels:
            return (label,)
        raise Unscorable(
            f"the ground truth {str(value)[:40]!r} is not one of the letters {self.labels}; name a "
            "column of letters with answer_key=COLUMN, or all letters with choice.letters=ABCDEF"
        )

    def _several(self, text: str) -> tuple[str, ...]:
        named = re.findall(r"[A-Z0-9]", re.sub(r"\band\b", "", text, flags=re.IGNORECASE).upper())
        if self.settings.answer_is is AnswerIs.one or not set(named) <= set(self.labels):
            raise Unscorable(
                f"the ground truth {text[:40]!r} is not one of the letters {self.labels}; type "
                "answer_is=all if a response must name all of several letters, answer_is=any if "
                "one of them is enough"
            )
        return tuple(named)

    def _numbered(self, number: Any, is_text: bool) -> str:
        """Return the label that a number means. Raises Unscorable if that would be a guess."""
        shown = as_text(float(number)) if math.isfinite(number) else str(number)
        are, labels = self.settings.choice.numbers_are, self.labels
        has_digits = any(map(str.isdigit, labels))
        if are is None and is_text and has_digits:
            are = NumbersAre.labels
        if are is None and not is_text and not has_digits:
            are = NumbersAre.positions_from_zero
        if are is None:
            kind = "text" if is_text else "number"
            raise Unscorable(
                f"the ground truth is the {kind} '{shown}', which may be a position or a label; "
                "type choice.numbers_are=positions_from_zero, positions_from_one or labels"
            )
        if are is NumbersAre.labels and shown in labels:
            return shown
        if are is not NumbersAre.labels and shown.isdigit():
            place = int(shown) - (are is NumbersAre.positions_from_one)
            if 0 <= place < len(labels):
                return labels[place]
        raise Unscorable(
            f"the ground truth {shown} is not one of the letters {labels} "
            f"with choice.numbers_are={are.name}"
        )

"""scorer=choice: the letter a response settles on, against the right one.

Looks for it where it is meant most: in the last \\boxed{}, after the last "answer is" or
"answer:", as the whole response or at its start, and last as the last letter that stands alone.
"""

import re
from typing import Any

from rollout.errors import UserError
from rollout.scoring.scorers import Mark, Response, Scorer, Unscorable, answer_column, answers_of
from rollout.scoring.settings import Postprocess

columns = answer_column
# "A dog" is no choice, nor is "I think"; "A is right" is one.
NO_WORD = r"(?!(?<=[AI])\s+(?!is\b|because\b|since\b|as\b)[a-z])"
MARKUP = r"[\s*_`$(\[{\"']*"  # what may stand before a letter


def load(settings: Postprocess) -> Scorer:
    """Raises UserError where choice.letters are no letters."""
    letters = settings.choice.letters.upper()
    if not letters.isalpha() or not letters.isascii() or len(set(letters)) < len(letters):
        raise UserError(
            f"choice.letters={settings.choice.letters} are not different letters; type "
            "choice.letters=ABCD"
        )
    find = finder(letters)

    def score(response: Response, row: dict[str, Any]) -> Mark:
        text = response.text
        right = right_letter(answers_of(row, settings)[0], letters)
        given = find(text)
        return Mark(float(given == right), given)

    return score


def right_letter(answer: Any, letters: str) -> str:
    """`B`, `(B)`, `B. Paris` or the position 1 as the letter B. Raises Unscorable for others."""
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        if answer == int(answer) and 0 <= answer < len(letters):
            return letters[int(answer)]
    elif found := re.match(rf"{MARKUP}([{letters}])(?![A-Za-z0-9])", str(answer), re.IGNORECASE):
        return found[1].upper()
    raise Unscorable(f"the right answer {str(answer)[:40]!r} is none of the letters {letters}")


def finder(letters: str) -> Any:
    """The function that finds the letter chosen in a text, or None."""
    one = rf"([{letters}])"
    either = rf"([{letters}{letters.lower()}])"
    boxed = re.compile(rf"\\boxed\s*\{{\s*(?:\\(?:text|mathrm|mathbf)\s*\{{)?[\s(]*{either}\b")
    said = re.compile(
        r"(?i:answer|choice|option)(?i:\s+(?:is|would\s+be|should\s+be|must\s+be))?\s*:?"
        rf"{MARKUP}(?:(?i:option|choice){MARKUP})?(?:{one}(?![A-Za-z'’]){NO_WORD}"
        rf"|(?<=[(\[{{*]){either}(?=[)\]}}*]))"
    )
    small = re.compile(rf"(?i:answer|choice)\s*:{MARKUP}{either}[\s.)*]*$", re.MULTILINE)
    whole = re.compile(rf"{MARKUP}{either}[\s*_`$)\]}}\"'.:]*")
    start = re.compile(rf"{MARKUP}{one}(?:[).:\]*]|\s*$|\s*\n)")
    bracketed = re.compile(rf"\({either}\)")
    alone = re.compile(rf"(?<![A-Za-z0-9'’\\]){one}(?![A-Za-z0-9'’]){NO_WORD}")

    def find(text: str) -> str | None:
        for pattern in (boxed, said, small):
            if matches := pattern.findall(text):
                last = matches[-1]
                return ("".join(last) if isinstance(last, tuple) else last).upper()
        if found := whole.fullmatch(text) or start.match(text):
            return found[1].upper()
        if matches := bracketed.findall(text):
            return matches[-1].upper()
        return next(iter(reversed(alone.findall(text))), None)

    return find

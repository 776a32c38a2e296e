"""Words for scorer=math: answers that are not mathematics, and names of values.

True, (B), Tuesday and "no solution" are compared as text, without case, articles, layout and
brackets. x, f(x), (p, q) and |AB| are names: the answer follows their `=`.
"""

import re

from rollout.postprocess.scoring.math.formula import FUNCTIONS
from rollout.postprocess.scoring.math.values import Words

_NAME = re.compile(
    r"(?>\\(?:frac|text|vec|overline|angle|mathbf|hat|bar|lvert|rvert|[A-Za-z]+)(?![A-Za-z])"
    r"|[A-Za-z]+|_\{?[A-Za-z0-9,+\-]+\}?|\^\{?\\circ\}?|[{}()|',:\s/])+"
)
_SYMBOL = re.compile(r"\\?[A-Za-z]+(?:_\{?\w+\}?)?'*")
_WORD = re.compile(r"[^\W\d_][^\W\d_.'’-]*(?:[ .'’/-]+[^\W\d_][^\W\d_.'’-]*)*[.!]?")
_NONE = re.compile(
    r"(?:there (?:is|are) )?no (?:real |such |integer |valid )*"
    r"(?:solutions?|values?|answers?|roots?)(?: exists?)?|\\emptyset|\\\{ ?\\\}"
)
MAX_WORDS = 6
_SHORT_WORDS = set(
    "yes no odd even true all none red one two six ten sun mon tue wed thu fri sat dne".split()
)


def words(text: str) -> Words | None:
    """Return a word or a few as normalized text: True, (B), Tuesday, no solution."""
    is_text = "\\text{" in text
    inner = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text)
    inner = " ".join(inner.split()).strip(" .!\"'")
    if _NONE.fullmatch(inner.lower()):
        return Words("no solution")
    if label := re.fullmatch(r"\(?\s*([A-Za-z])\s*[).]?|\\mathbf\{\(?([A-Z])\)?\}", inner):
        letter = label[1] or label[2]
        is_variable = inner == letter and not is_text and (letter.islower() or letter in "CNR")
        return None if is_variable and len(inner) == 1 else Words(letter.lower())
    if not _WORD.fullmatch(inner) or len(inner.split()) > MAX_WORDS:
        return None
    is_symbols = " " not in inner and len(inner) <= 3 and not is_text
    if is_symbols and inner.lower() not in _SHORT_WORDS and (inner.islower() or inner.isupper()):
        return None  # a product: xy, abc, AB
    if inner.lower() in FUNCTIONS and not is_text:
        return None
    return Words(re.sub(r"^(?:an?|the) ", "", inner.lower().replace("’", "'")))


def is_name(text: str) -> bool:
    """Whether a left side names the value on the right: x, f(x), (p, q), |AB|, total cost."""
    text = text.strip()
    return len(text) <= 60 and bool(_NAME.fullmatch(text) and re.search(r"[A-Za-z]", text))


def symbol_of(name: str) -> str | None:
    """Return a name of one symbol (x, x_1, \\alpha) without layout; None for other names."""
    name = re.sub(r"[\s{}]", "", name)
    return name if _SYMBOL.fullmatch(name) and len(re.sub(r"_.*", "", name)) == 1 else None

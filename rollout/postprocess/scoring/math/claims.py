"""Read what a sentence claims, for scorer=math: denials, corrections, signs and sums in words.

`without_denials` removes from a whole text the values that it denies ("it is not 4", "4? No.") and
writes "negative four" as -4. `with_symbols` rewrites the sum at the start of a statement ("5 over
6") as mathematics. `is_part` finds numbers that are only part of an answer ("at least 5").
"""

import re
from fractions import Fraction

from rollout.postprocess.scoring.math.spelled import TENS, UNITS

_COUNTS = {**UNITS, **TENS, "hundred": 100}
_COUNT = rf"(?:(?:{'|'.join(TENS)})[- ](?:{'|'.join(list(UNITS)[1:10])})|{'|'.join(_COUNTS)})\b"
_NUMBER = r"(?:\\\()?\$?\\?\$?-?\d(?:[\d,]*\d)?(?:\.\d+)?(?:/\d+)?\s?\\?%?\$?(?:\\\))?"
_ALONE = r"(?![\w^*/+=\\(]|\s*[-+*/=^]|[.,]\d)"  # no more mathematics after a number
_IS_NOT = (
    r"(?:\b(?:is|are|was|be|does|equals?|it's)\s+(?:\w+ly\s+)?\**(?:not|never|no\s+longer)\b\**"
    r"|(?:^|(?<=\.\s))(?:\w+ly\s+)?not(?=\s)"
    r"|\b(?:is|are|was|does|could|can|would)n't|\b(?:can(?:not|\s+not|'t)|can\s+never)(?=\s+be\b)"
    r"|\bcould not(?=\s+be\b))"
    r"(?:\s+(?:\w+ly|be|just|equal(?:\s+to)?)\b)*"
)
_DENIED = re.compile(
    rf"{_IS_NOT}\s+(?:\*\*)?{_NUMBER}{_ALONE}(?:\*\*)?(?:\s(?!but\b|it\b)[A-Za-z]+)?"
    r"(?P<but>,?\s+but\b(?:\s+rather)?\s*(?=[-$\\\d*]))?",
    re.I | re.M,
)
_DOUBTED = re.compile(
    r"(?:\bdo(?:n't| not) (?:think|believe)|\bdoubt|\bnot (?:the case|true))\s+(?:that\s+)?"
    rf"(?:(?:the|my) (?:\w+ )?answer|it)(?:\s+is|'s)\s+{_NUMBER}{_ALONE}"
    rf"|(?<![\w.,$-]){_NUMBER}\s+(?:is|was|would be)\s+(?:wrong|incorrect|"
    r"not\s+(?:the\s+(?:\w+\s+)?answer|right|correct))\b",
    re.I,
)
_ASIDE = re.compile(
    rf"(?:,|\(|\s[-–—])\s*(?:and |but )?(?:not|nicht|rather than|instead of)\s+{_NUMBER}{_ALONE}"
    r"\)?(?=\s*(?:[.,;!)\n*]|\Z))",
    re.I,
)
_ASKED = re.compile(rf"(?<![\d,.]){_NUMBER}\s*\?\s*(?:No|Nope)\b[,.!]?(?!\s*wait)", re.I)
_NEGATIVE = re.compile(
    rf"\b(?:negative|minus)\s+(?:(?P<digits>\$?\d|\.\d)|(?P<word>{_COUNT}))",
    re.I,
)
_IN_BRACKETS = re.compile(
    rf"(?<![\d.,])(?P<a>\d+)\s*\(\s*(?P<b>{_COUNT})\s*\)"
    rf"|\b(?P<c>{_COUNT})\s*\(\s*(?P<d>\d+)\s*\)",
    re.I,
)
_CONFIDENCE = re.compile(
    r"^[^\w\n]{0,9}confidence(?: level| score)?[*_ ]*[:=][^\w\n]{0,9}\d[\d.]*"
    r"[ ]?%?(?:[ ]?/[ ]?\d+)?[^\w\n]*$",
    re.I | re.M,
)


def without_denials(text: str) -> str:
    """Return the text without the values it denies, and with -4 for "negative four"."""
    text = _NEGATIVE.sub(_negative, text)
    text = _IN_BRACKETS.sub(_once, text)
    text = _DENIED.sub(lambda found: "is " if found["but"] else " ", text)
    text = _ASKED.sub(" ", _DOUBTED.sub(" ", _ASIDE.sub("", text)))
    shorter = _CONFIDENCE.sub("", text)
    return shorter if re.search(r"\w", shorter) else text


def _count(word: str) -> int:
    return sum(_COUNTS[part] for part in re.split(r"[- ]", word.lower()))


def _negative(found: re.Match[str]) -> str:
    before = found.string[max(0, found.start() - 9) : found.start()].rstrip()
    if before[-1:].isdigit() or before[-1:] in (")", "}", "$"):
        return found[0]  # 5 minus 1
    number = found["digits"] or str(_count(found["word"]))
    return f"$-{number[1:]}" if number[0] == "$" else f"-{number}"


def _once(found: re.Match[str]) -> str:
    """Return 6 for `6 (six)` and `six (6)`."""
    digits, word = found["a"] or found["d"], found["b"] or found["c"]
    return digits if int(digits) == _count(word) else found[0]


_FIRST = rf"(?P<n>-?\d[\d,]*(?:\.\d+)?|{_COUNT})"
_OTHER = rf"(?P<m>-?\d[\d,]*(?:\.\d+)?|{_COUNT})(?![\w.]*\d)"
_PARTS = {"half": 2, "halves": 2, "third": 3, "fourth": 4, "quarter": 4, "fifth": 5, "sixth": 6,
          "seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10}  # fmt: skip
_PART = r"(?P<part>" + "|".join(_PARTS) + r")s?\b(?! of\b)"
_LARGE = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_END = r"(?=\s*(?:[.,;!?\n*]|\Z))"
_SUMS = [
    (re.compile(pattern, re.I), form)
    for pattern, form in [
        (rf"{_FIRST}\s+(?:over|divided\s+by)\s+{_OTHER}", r"{n}/{m}"),
        (rf"{_FIRST}\s+out\s+of\s+{_OTHER}", r"{n}/{m}"),
        (rf"{_FIRST}\s+minus\s+{_OTHER}{_END}", r"{n} - {m}"),
        (rf"{_FIRST}\s+plus\s+{_OTHER}{_END}", r"{n} + {m}"),
        (rf"{_FIRST}\s+times\s+{_OTHER}{_END}", r"{n} \times {m}"),
        (rf"{_FIRST}\s+factorial\b", r"{n}!"),
        (rf"{_FIRST}\s+(?:raised\s+)?to\s+the\s+power\s+(?:of\s+)?{_OTHER}", r"{n}^{{{m}}}"),
        (rf"{_FIRST}\s+squared\b(?!\s+[a-z])", r"{n}^2"),
        (rf"{_FIRST}\s+cubed\b(?!\s+[a-z])", r"{n}^3"),
        (rf"(?:the\s+)?square\s+root\s+of\s+{_OTHER}{_END}", r"\sqrt{{{m}}}"),
        (rf"(?:the\s+)?cube\s+root\s+of\s+{_OTHER}{_END}", r"\sqrt[3]{{{m}}}"),
        (rf"(?:one\s+)?half\s+of\s+{_OTHER}{_END}", r"{m}/2"),
        (rf"(?:twice|double)\s+{_OTHER}{_END}", r"2 \times {m}"),
        (rf"{_FIRST}\s+and\s+(?:a|one)\s+half\b(?! of\b)", r"{n} 1/2"),
        (r"half\b(?! of\b)(?=\s*(?:[.,;!?\n]|\Z))", r"1/2"),
    ]
]
_SHARE = re.compile(rf"(?:(?P<n>{_COUNT})|an?)[\s-]+{_PART}", re.I)
_MANY = re.compile(rf"(?P<sign>\\?\$?){_FIRST}\s+(?P<large>{'|'.join(_LARGE)})s?\b(?!\s+\d)", re.I)
_HEAD_NUMBER = r"[-$\\(]{0,3}\d[\d,.]*[\\$%)*]{0,3}"
_NEXT_NUMBER = rf"\s+(?:the\s+)?(?:{_COUNT}|[-$\\(*]*\d)"
_IS_PART = re.compile(
    rf"{_HEAD_NUMBER}\s+(?:"
    rf"(?:over|out\s+of|divided\s+by|minus|plus|times|multiplied\s+by|mod|modulo|choose"
    rf"|through|point|of|per\s?cent\s+of){_NEXT_NUMBER}"
    rf"|to{_NEXT_NUMBER}(?!\w*\s*(?:decimal|significant|place|digit))"
    r"|to\s+the\s+(?:power|\w+\s+power)\b|raised\b|factorial\b|(?:squared|cubed)\b(?!\s+[a-z])"
    r"|or\s+(?:more|less|fewer)\b|(?:more|less|fewer|greater)\s+than" + _NEXT_NUMBER + "|"
    rf"(?:{'|'.join(_LARGE)})\b|(?:and\s+)?(?:an?\s+|{_COUNT}\s+)?(?:{'|'.join(_PARTS)})s?\b"
    r"|(?:feet|foot|ft|hours?|hrs?|minutes?|pounds?|lbs?|dollars|weeks?|days?|years?|yards?"
    r"|degrees|meters?)\s+(?:and\s+)?\d+\s*[A-Za-z])"
    r"|(?:the\s+)?(?:(?:square|cube|\w+th)\s+root|half|twice|double|triple|thrice"
    r"|(?:a\s+)?(?:third|quarter)|less|more|fewer|greater|smaller|larger|higher|lower|at\s+most"
    r"|at\s+least|up\s+to|no\s+(?:more|less|fewer)|not\s+(?:more|less)|between|under|over|above"
    r"|below|any(?:thing)?|either)\b"
    rf"|{_COUNT}[\s-]+(?:{'|'.join(_PARTS)}|{'|'.join(_LARGE)}|over|out\s+of|divided|minus|plus"
    r"|factorial)s?\b"
    rf"|[A-Za-z]\s+(?:(?:plus|minus|over|times|divided\s+by)\s|squared\b|cubed\b)",
    re.I,
)


def with_symbols(tail: str) -> str:
    """Return a statement with the sum in words at its start rewritten as mathematics."""
    if found := _SHARE.match(tail):
        top = _count(found["n"]) if found["n"] else 1
        return f"{top}/{_PARTS[found['part'].lower()]}{tail[found.end() :]}"
    if found := _MANY.match(tail):
        number = Fraction(_digits(found["n"])) * 10 ** _LARGE[found["large"].lower()]
        if number.denominator == 1:
            return f"{found['sign']}{number}{tail[found.end() :]}"
    for pattern, form in _SUMS:
        if found := pattern.match(tail):
            numbers = {name: _digits(number) for name, number in found.groupdict().items()}
            return form.format(**numbers) + tail[found.end() :]
    return tail


def _digits(number: str) -> str:
    return number.replace(",", "") if number.lstrip("-")[:1].isdigit() else str(_count(number))


def is_part(tail: str) -> bool:
    """Whether the number at the start of a statement is only part of its answer."""
    return bool(_IS_PART.match(tail.lstrip("* _")))


# A statement that begins with an operation: the next value is not the answer.
OPERATION = re.compile(
    r"(?:the\s+)?(?:log(?:arithm)?|ln|sine|cosine|tangent|reciprocal|opposite|inverse|negative"
    r"|absolute\s+value|cube|square|sum|product|difference|quotient|ratio|average|mean)\s+(?:of|between)\b",
    re.I,
)


_TURN = re.compile(
    r"\b(?:wait|actually|correction|on second thoughts?|scratch that|my mistake|hold on|oops"
    r"|i made an? (?:\w{1,12} )?(?:mistake|error)|i was wrong|that(?:'s| is) (?:wrong|incorrect)"
    r"|i take that back|i misread)\b|(?:^|[.!?—–-]\s*|\bwait,?\s+)no\b(?:[,:.!—–-]|\s+wait)",
    re.I | re.M,
)
RETRACTION = re.compile(  # it retracts the answer before it, even without a new one
    r"\b(?:correction|scratch that|my mistake|i made an? (?:\w{1,12} )?(?:mistake|error)"
    r"|i was wrong|that(?:'s| is) (?:wrong|incorrect)|i take that back|i misread)\b"
    r"|[.!?]\s*no\s*[,.!—–-]?\s*wait\b",
    re.I,
)
_CORRECTED = re.compile(
    r"\b(?:(?:it|that|this|answer|result|total)(?:'s|\s+is|\s+(?:should|must|would)\s+(?:be|have\s+been))"
    r"|(?:should|must)\s+(?:be|have\s+been)|make\s+(?:it|that)|i\s+mean[t]?|so|therefore)\s*:?\s+"
    r"(?:actually\s+|really\s+)?(?P<x>\**[-$\\]*\d[^\n.!?;]{0,40}?)\**"
    r"(?=\s*(?:[!?;,\n]|\.(?!\d)|\Z|\bbecause|\bsince|\bnot\b))",
    re.I,
)
_AT_ONCE = re.compile(
    r"[\s,:.!—–-]{0,5}(?:(?:no|actually|sorry|so|wait)\b[\s,:.!—–-]{1,5}){0,2}"
    rf"(?P<x>\**{_NUMBER})\**{_ALONE}(?=\s*(?:[!?;\n]|\.(?!\d)|\Z))",
    re.I,
)
_SHOULD = re.compile(r"should|must", re.I)


def replaced(text: str, is_strict: bool) -> list[str]:
    """Return the answers that follow a correction ("wait", "no,"), the last first.

    With `is_strict`, only those after "should" or "must".
    """
    turn = _TURN.search(text)
    if turn is None:
        return []
    found = list(_CORRECTED.finditer(text, turn.start()))
    if is_strict:
        return [m["x"] for m in reversed(found) if _SHOULD.search(m[0])]
    at_once = _AT_ONCE.match(text, turn.end())
    return [m["x"] for m in reversed(found)] + ([at_once["x"]] if at_once else [])


_REFUSAL = re.compile(
    r"\bI(?:'m| am)? (?:can(?:'t|not| not)|(?:am )?(?:unable|not able) to|won't|could(?:n't| not))"
    r" (?:\w+ ){0,2}?(?:solve|answer|help|determine|provide|compute|find|assist|do|work|figure)\b"
    r"|\bI (?:do not|don't|really don't|honestly don't) know\b|\bI have no idea\b|\bI give up\b"
    r"|\bI(?:'m| am) not sure\b|^Unable to \w+|^Sorry\b",
    re.I | re.M,
)


def is_refusal(text: str) -> bool:
    """Whether a response that marks no answer declines to give one."""
    found = list(_REFUSAL.finditer(text))
    if not found:
        return False
    rest = text[found[-1].end() :][:500]
    is_end = len(text) <= 300 or (len(rest) < 500 and "\n" not in rest.strip())
    return is_end and not re.search(r"=\s*\S*\d|\b(?:so|but|therefore|guess)\b.*\d", rest, re.S)


COMMENT = re.compile(  # "the answer is reasonable" comments on the answer and does not give it
    r"\W*(?:in)?(?:correct|right|reasonable|verified|confirmed|checked|helpful|clear|above|below|"
    r"boxed|obvious|the same|same|final|simple|simply put|exact|unique|rounded|consistent|valid|"
    r"given|shown|found|complete|accurate|useful|plausible|sensible|easy|sure|good|fine|ok)\b",
    re.I,
)


_VERDICT = re.compile(
    r"[\s*_\"'>#-]{0,12}(?:(?:so|thus|therefore|hence),?\s+)?[*_\"']{0,3}(yes|no|true|false)\b[*_\"']*"
    r"(?=[*_\"']{0,3}\s?(?:[,.!;:—–]|\Z|-\s|(?:because|since|as|it|they|we|this|that|there)\b))",
    re.I,
)
_CLAIM_IS = re.compile(
    r"\b(?:statement|claim|assertion|proposition|it|this)\s+is\s+(?:\w+ly\s+|therefore\s+|indeed\s+)?"
    r"[*_\"']*(true|false)[*_\"'.!]*\s*\Z",
    re.I,
)


def verdict(line: str) -> str | None:
    """Return the yes, no, true or false at the start or end of a sentence without another one."""
    found = _VERDICT.match(line) or _CLAIM_IS.search(line[-200:])
    if found is None or re.search(r"\b(?:yes|no|true|false)\b", found.string[found.end() :], re.I):
        return None
    return found[1].lower()

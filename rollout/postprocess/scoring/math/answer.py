"""Find the answer in a response, for scorer=math. The most explicit place wins, then the last.

1. The last `\\boxed{}` (or `\\fbox{}`) or `<answer>` that is not empty.
   "The final answer is 7" after it replaces it.
2. The last `#### N`, or the text after the last "answer is" or "answer:".
3. If none of these can be read: the whole response or its last line, if that is only mathematics,
   or else the last number or formula in the response. This does not apply to a response that
   max_tokens cut off, because the last number of an unfinished text is an intermediate step.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from rollout.postprocess.scoring.math.claims import (
    COMMENT,
    RETRACTION,
    is_refusal,
    replaced,
    verdict,
    without_denials,
)
from rollout.postprocess.scoring.math.prose import CONNECTIVE, TRIES, after_marker, last_in_line
from rollout.postprocess.scoring.math.read import read
from rollout.postprocess.scoring.math.text import closing, peel, plain
from rollout.postprocess.scoring.math.values import Formula, Group, Named, Number, Value, Words


class Found(NamedTuple):
    """An answer as written in the response."""

    text: str
    value: Value | None  # None: marked as the answer, but unreadable
    is_explicit: bool  # marked as the answer
    several: Value | None = None  # boxes joined by "and" or commas, as one list
    is_framed: bool = False  # in a box or <answer>, or after #### or "answer is"


_BOX = re.compile(r"\\(?:boxed|fbox)\s*(?:(\{)|(-?[\d.]+|[A-Za-z](?![A-Za-z])))")
_ANSWER = r"(?:final[_ ]?)?answer\s*>"
_TAG = re.compile(rf"<{_ANSWER}(.*?)(?:</{_ANSWER}|(?=<{_ANSWER})|\Z)", re.DOTALL | re.I)
_JOINT = re.compile(
    r"(?:[\s$,]|\\[()\[\], ;]|\\q?quad|\\text\{\s*(?:and|or|,)\s*\}|\band\b|\bor\b|[a-z]\w*\s*=)*",
    re.I,
)
_BULLET = re.compile(r"^\s*[-*•+]\s+")
_HASHES = re.compile(r"####[ \t]*([^\n#]+)")
_MARKER = re.compile(
    r"\b(?:final[ \t]+)?answers?\b"
    r"(?:[ \t]+(?:to|of|for|in|here|would|should|must|will|that)\b[^.:=\n]{0,60}?)?"
    r"[ \t*_]*(?:(?<![\d)])(?<![\d)][ \t])\s[-–—]\s+"  # not a minus sign
    r"|\b(?:is|are|was|be|equals|becomes)\b[ \t]*:?|:|=(?!=)|\n)"
    r"|^[ \t]*A[ \t]*:|答案[是为：:\s]*",
    re.I | re.M,
)
_CALCULATED = re.compile(r"<<[^<>\n]*>>")  # GSM8K's calculator
_STRUCK = re.compile(r"~~[^~\n]+~~")
_TAGS = re.compile(r"</?(?:b|i|u|em|strong|p|br|span|div|code|mark|center)(?:\s[^<>]*)?/?>", re.I)
_COPULA_END = re.compile(r"\b(?:is|are|was|be|equals|becomes)\s*\Z", re.I)
_ANSWER_END = re.compile(r"\b(?:answers?|A)[\s*_]*:\s*\Z", re.I)
_CHECK = re.compile(r"\b(?:check|verify|confirm)\w*\s+(?:(?:the|my|this|our)\s+)?\Z", re.I)
_IF = re.compile(r"[^.!?\n,]{1,40}?\bif\b")
_IS_ANSWER = re.compile(r"\b(?:is|are) (?:the|my|our) (?:final |correct )?answers?\b", re.I)


_SUM = re.compile(  # of plain numbers, with an operation other than the bar of one fraction
    r"(?=[^+*×\\]*(?:[+*×]|\\(?:times|cdot|div))|.*?\d\s?-|[^/]*/[^/]*/|.*?\)\s?\()"
    r"(?:[\d.,\s()+*/×-]|\\(?:times|cdot|div|left|right))+"
)


def is_open_sum(value: Value | None) -> bool:
    """Whether an answer is arithmetic that is still to be done: 29 + 48, but not 3/4 or 2^10."""
    value = value.value if isinstance(value, Named) else value
    return isinstance(value, Formula) and bool(_SUM.fullmatch(value.latex))


def find(text: str, is_cut: bool, takes_words: bool, takes_sums: bool = False) -> Found | None:
    """Return the response's answer, or None if it has none.

    A sum of plain numbers that the response leaves open often repeats the question. It is taken
    only where the response marks its answer, or with `takes_sums`; otherwise the other side of its
    equation is the answer, or what is found in the text before it.
    """
    text = _cleaned(text)
    for _ in range(TRIES):
        found = _find(text, is_cut, takes_words)
        if found is None or found.is_framed or takes_sums or not is_open_sum(found.value):
            return found
        for side in reversed(re.split(r"(?<![<>!:=])=(?!=)", found.text)):
            value = read(side)
            if isinstance(value, Number):
                return found._replace(value=value)
        place = text.rfind(found.text)
        if place <= 0:
            return None
        text = text[:place]
    return None


def _cleaned(text: str) -> str:
    """Return the text without markup, struck-out text and what it denies."""
    text = plain(text)
    if "<" in text:
        text = _TAGS.sub("", _CALCULATED.sub("", text))
    if "~~" in text:
        text = _STRUCK.sub("", text)
    return without_denials(text)


def _find(text: str, is_cut: bool, takes_words: bool) -> Found | None:
    if found := _boxed(text, is_cut):
        box, found = found
        final = list(re.finditer(r"\bfinal answer is\b", text[box:], re.I))
        rest = text[box + final[-1].start() :] if final else ""
        last = _stated(rest, is_cut, takes_words, True) if final else None
        return last or _correction(text[box:], True) or found
    if found := _stated(text, is_cut, takes_words):
        return found
    if is_cut or is_refusal(text):
        return None
    return _last(text, takes_words)


def _boxes(text: str) -> Iterator[tuple[int, int, str, bool]]:
    """Yield each box as start, end, content and whether it is closed, the last box first."""
    for found in reversed(list(_BOX.finditer(text))[-2 * TRIES :]):
        if not found[1]:
            yield found.start(), found.end(), found[2], found.end() < len(text)
            continue
        end = closing(text, found.end() - 1)
        if end < 0:
            rest = text[found.end() :]
            yield found.start(), len(text), re.split(r"\n|\$|\\\)|\\\]", rest)[0], False
        else:
            yield found.start(), end + 1, text[found.end() : end], True


def _boxed(text: str, is_cut: bool) -> tuple[int, Found] | None:
    """Return where the last box or <answer> ends, and the answer in it."""
    places: list[tuple[int, int, str, bool]] = []
    if "\\boxed" in text or "\\fbox" in text:
        for box in _boxes(text):
            if places and box[1] > places[-1][0]:
                continue  # it encloses the previous one
            places.append(box)
    answer = _last_tag(text)
    if answer and (not places or places[0][1] <= answer[0]):
        inside = _find(_cleaned(answer[2]), False, True) if answer[3] or not is_cut else None
        if inside is not None:
            whole = read(answer[2])
            found = Found(answer[2], whole, True) if whole else inside._replace(is_explicit=True)
            return answer[1], found._replace(is_framed=True)
        if peel(answer[2]) and (answer[3] or not is_cut):
            return answer[1], Found(answer[2].strip(), None, True, is_framed=True)
    filled = [place for place in places if peel(place[2])]
    if is_cut and filled and not filled[0][3]:
        first = filled.pop(0)
        if not filled or filled[0][2].strip() != first[2].strip():
            return None  # the response was cut off within its last box
    if not filled:
        return None
    joined = [filled[0]]
    for box in filled[1:]:
        between = text[box[1] : joined[-1][0]]
        if not _JOINT.fullmatch(between) or "\n\n" in between:
            break
        joined.append(box)
    several = read(" ; ".join(box[2] for box in reversed(joined))) if len(joined) > 1 else None
    content = filled[0][2].strip()
    after = re.match(r"\s*\\?[$)]?\s*(\\?%|per ?cent\b|pct\b)", text[filled[0][1] :])
    value = (read(f"{content} \\%") if after else None) or read(content)
    if value is None and "\\text" in content:  # \boxed{\text{The answer is }17}
        inside = _stated(re.sub(r"\\text(?:bf|it|rm)?\{([^{}]*)\}", r" \1 ", content), False, True)
        value = inside.value if inside else None
    return filled[0][1], Found(content, value, True, several, True)


def _last_tag(text: str) -> tuple[int, int, str, bool] | None:
    """Return the last <answer> that is not empty: start, end, content, whether it is closed."""
    if "answer" not in text or "<" not in text:
        return None
    for found in reversed(list(_TAG.finditer(text))):
        if found[1].strip():
            return found.start(), found.end(), found[1], found[0].rstrip().endswith(">")
    return None


def _stated(text: str, is_cut: bool, takes_words: bool, is_strict: bool = False) -> Found | None:
    """Return the answer that follows `####` or "answer is".

    The last marker that a value follows directly wins, then the last marker. With `is_strict`,
    only a value that follows directly counts.
    """
    places: list[tuple[int, str, str]] = [(m.start(), m[1], "#") for m in _HASHES.finditer(text)]
    for found in _MARKER.finditer(text):
        tail = text[found.end() : found.end() + 1000]
        is_supposed = found[0].lower().rstrip().endswith("would be") and _IF.match(tail)
        if not (is_supposed or _CHECK.search(text[max(0, found.start() - 30) : found.start()])):
            places.append((found.start(), tail, found[0]))
    for found in _IS_ANSWER.finditer(text):
        line = text[text.rfind("\n", 0, found.start()) + 1 : found.start()]
        places.append((found.start(), line, ""))
    weak: list[Found] = []
    for start, tail, marker in sorted(places, reverse=True)[:TRIES]:
        if not marker:
            if last := last_in_line(tail):
                return _correction(text[start:]) or Found(last[0].strip(), last[1], True)
            continue
        if marker == "#":
            value, content = read(tail, True), peel(tail)
            end = start + len(text[start:].split("\n")[0])
            if value is None or (isinstance(value, Words) and len(content) > 30):
                continue
            if is_cut and end >= len(text):
                return None  # digits may be missing
            return _correction(text[end:]) or Found(content, value, True, is_framed=True)
        if statement := after_marker(tail):
            content, value, rest, is_direct = statement
            is_word = isinstance(value, Words) and not re.search(r"\d", value.text)
            is_aside = is_word and (not takes_words or COMMENT.match(tail))
            is_sentence = not is_strict and not _COPULA_END.search(marker) and value is not None
            if is_aside or not (is_direct or is_sentence):
                weak.append(Found(content, value, True))
                continue
            if (
                is_cut
                and not re.match(r"[^\d.,]|[.,]\s", rest)
                and not (value is not None and _is_ended(content, value))
            ):
                return None
            is_framed = bool(_COPULA_END.search(marker) or _ANSWER_END.search(marker))
            return _correction(text[start:]) or Found(content, value, True, is_framed=is_framed)
    if is_strict or is_cut or not weak or is_refusal(text):
        return None
    return _correction(text) or weak[0]


def _correction(text: str, is_strict: bool = False) -> Found | None:
    """Return the answer that replaces the one at the start ("Wait, it should be 5")."""
    for content in replaced(text, is_strict):
        if value := read(content, True):
            return Found(content.strip(), value, True)
    if not is_strict and (turn := RETRACTION.search(text)):
        return _last(text[turn.end() :], False) or Found("", None, True)
    return None


def _is_ended(content: str, value: Value) -> bool:
    """Whether an answer at the very end of a cut text is complete: $17$, 17 apples."""
    is_closed = content.rstrip().endswith(("$", "\\)", "\\]"))
    return is_closed or (isinstance(value, Number) and bool(value.unit) and content[-1].isalpha())


def _has_words(value: Value) -> bool:
    items = value.items if isinstance(value, Group) else (value,)
    return any(isinstance(item, Words) and item.text[:1].isalpha() for item in items)


def _last(text: str, takes_words: bool) -> Found | None:
    """Return the response or its last line as mathematics, or its last number or formula."""
    stripped = text.strip()
    lines = [line for line in stripped.splitlines() if line.strip()]
    if takes_words and lines:
        for line in (lines[-1], lines[0]):
            if word := verdict(line):
                return Found(word, Words(word), False)
    if len(lines) > 1:
        lines = [_BULLET.sub("", line) for line in lines]
    for whole in [stripped, *lines[-1:]]:
        whole = whole[lead.end() :] if (lead := CONNECTIVE.match(whole)) else whole
        value = read(whole, True) if len(whole) <= 200 else None
        if value is not None and (takes_words or not _has_words(value)):
            return Found(peel(whole), value, False)
    for display in reversed(list(re.finditer(r"\$\$(.+?)\$\$|\\\[(.+?)\\\]", text, re.DOTALL))):
        if not re.search(r"\d", text[display.end() :]) and (value := read(display[0])):
            return Found((display[1] or display[2]).strip(), value, False)
        break
    for line in list(reversed(lines))[:20]:
        if last := last_in_line(line):
            return Found(last[0].strip(), last[1], False)
    return None

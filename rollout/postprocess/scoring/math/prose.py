"""Find mathematics in prose, for scorer=math: at the start of a sentence, or its last piece."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from rollout.postprocess.scoring.math.claims import OPERATION, is_part, verdict, with_symbols
from rollout.postprocess.scoring.math.read import read
from rollout.postprocess.scoring.math.values import Number, Value, Words

_LEADS = (
    "therefore|thus|so|hence|approximately|about|roughly|around|simply|just|exactly|equal to"
    "|given by|then|now|indeed|clearly|only|the number|a total of|that|is|be|found to|obviously"
    "|the following|as follows|below(?=:)"
)
CONNECTIVE = re.compile(
    r"(?:\n\s*[-•+]\s+|[\s*_`:>~→]|=>|\\?\"|\\\\|(?:" + _LEADS + r")\b,?)*", re.I
)
_COPULA = re.compile(r"\b(?:is|are|was|equals|be|makes?|gives?|get|gets|total of)\b|=")
_MATH = re.compile(
    r"\$\$(.+?)\$\$|(?<!\\)\\\[(.+?)(?<!\\)\\\]|(?<!\\)\\\((.+?)(?<!\\)\\\)|(?<![\\\w])\$((?:\\.|[^$\\\n])+?)\$(?!\d)",
    re.DOTALL,
)
_SUFFIX = re.compile(
    r"\s*(?:\\?%|°|(?:per ?cent|percent|degrees?|dollars?|cents?|[a-z]{1,12}[²³]?)\b(?:/[a-z]+)?)",
    re.I,
)
_CHAIN = re.compile(r"\s*(?:,?\s*(?:and|or)\b|,)\s*", re.I)
_ATOM = re.compile(
    r"\\text\{[^{}]*\}|\\(?:begin|end)\{[^{}]*\}|\\[A-Za-z]+|\\[{}%$,;! \\]"
    r"|\d+(?:,\d{3})+(?!\d)|\d+|(?:sqrt|sin|cos|tan|log|ln|exp|pi|infty|infinity)(?![A-Za-z])"
    r"|[A-Za-z]+|[ \t]+|\*\*(?=\w|\()|."
)
_LEFT_OPEN = tuple('([=-+*/,<>_"|~')
TRIES = 8  # pieces of a line, or places of a text, tried from the last


class Statement(NamedTuple):
    """An answer found in a sentence."""

    text: str
    value: Value | None  # None: unreadable
    rest: str  # the text after it
    is_direct: bool  # it follows the marker directly


def after_marker(tail: str) -> Statement | None:
    """Return the answer at the start of a sentence, or the one that the sentence leads to."""
    lead = CONNECTIVE.match(tail)
    tail = with_symbols(tail[lead.end() if lead else 0 :])
    if re.match(r"(?:definitely |certainly )?not\b", tail, re.I):
        return None
    head = _head(tail)
    if is_part(tail) and (head is None or isinstance(head[1], Number)):
        return Statement(tail.split("\n")[0][:80].strip(), None, "", False)
    if head:
        return Statement(*head, True)
    sentence = re.split(
        r"\n|(?<=[^\d\s])[.!?](?=\s|$)|(?<=\d)[.!?](?=\s+[A-Z]|\s*$)", tail, maxsplit=1
    )[0]
    for found in reversed(list(_COPULA.finditer(sentence))):
        lead = CONNECTIVE.match(sentence, found.end())
        if head := _head(sentence[lead.end() if lead else found.end() :]):
            return Statement(head[0], head[1], tail[len(sentence) :], False)
    if OPERATION.match(tail):
        return Statement(sentence[:80].strip(), None, "", False)
    if last := last_in_line(sentence):
        return Statement(*last, tail[len(sentence) :], False)
    return None


def _head(tail: str) -> tuple[str, Value, str] | None:
    """Return the mathematics or the word at the start of a text, its value and the rest."""
    if found := _MATH.match(tail):
        end, content = found.end(), found[0]
        while (joint := _CHAIN.match(tail, end)) and (more := _MATH.match(tail, joint.end())):
            content, end = tail[: more.end()], more.end()
        for candidate in _with_suffix(tail, content, end):
            if value := read(candidate):
                return candidate, value, tail[end + len(candidate) - len(content) :]
    line = tail.split("\n")[0]
    if (word := verdict(line)) and not re.search(r"\d", line):
        return line, Words(word), tail[len(line) :]
    whole = re.split(r"(?<=[^.])(?:\.|!+)(?=\s|$)", line)[0].strip()
    if len(whole) <= 80 and "$" not in whole[1:] and (value := read(whole, True)):
        if not isinstance(value, Words) or len(whole.split()) <= 3:
            return whole, value, tail[tail.index(whole) + len(whole) :]
    end = _run_end(line, 0)
    for content in _shorter(line, 0, end):
        if value := read(content, True):
            if not isinstance(value, Words) or re.match(r"\W*[A-Z]\b", content):
                return content.strip(), value, tail[tail.index(content) + len(content) :]
    if found := re.match(r"\**\(?([A-Z])\)?\**(?=[\s.,:)]|$)|[\"*_']*(True|False|Yes|No)\b", line):
        return found[0], Words((found[1] or found[2]).lower()), tail[found.end() :]
    if word := verdict(line):
        return line, Words(word), tail[len(line) :]
    return None


def _run_end(line: str, start: int) -> int:
    """Return where mathematics without delimiters ends: at a word or the end of a sentence."""
    end = start
    for found in _ATOM.finditer(line, start):
        atom = found[0]
        if len(atom) > 1 and atom.isalpha() and not _is_math_word(line, found):
            break
        if atom in (".", ";", "!", "?", ":") and not re.match(r"\d", line[found.end() :]):
            if not (atom == "!" and re.match(r"\s*[-+*/^)=]", line[found.end() :])):
                break
        if atom == "," and not re.match(r"\s*[-+(\[$\\]?\s*[\d\\]", line[found.end() :]):
            break
        end = found.end()
    return end


def _is_math_word(line: str, found: re.Match[str]) -> bool:
    word = found[0]
    if word.lower() in ("sqrt", "sin", "cos", "tan", "log", "ln", "exp", "pi", "infty", "infinity"):
        return True
    if word in ("and", "or"):
        return bool(re.match(r"\s*(?:[A-Za-z]\s*=\s*)?[-+]?[$(\[]?[\d\\]", line[found.end() :]))
    touching = line[found.start() - 1 : found.start()] + line[found.end() : found.end() + 1]
    return len(word) <= 3 and word.islower() and bool(re.search(r"[\d^*/+()=]", touching))


def _shorter(line: str, start: int, end: int, is_last: bool = False) -> Iterator[str]:
    """Yield a run of mathematics in shorter and shorter forms.

    First with the word after it, which may be a unit, then alone, then without an operator or
    bracket left open at its end.
    """
    words = re.match(r"\s*[A-Za-z²³]+(?:/[a-z]+)?", line[end:])
    if words and line[start:end].strip():
        yield line[start : end + words.end()]
    run = line[start:end]
    yield run
    bare = run
    while bare.rstrip().endswith(_LEFT_OPEN):
        bare = bare.rstrip()[:-1]
    if bare != run:
        yield bare
    if found := re.match(r"[^()]*?(?=\s*\()", bare):
        yield found[0]
    if is_last and "=" in bare:
        yield bare.rpartition("=")[2]
    numbers = re.findall(r"(?<![\w.])[-+]?\$?[\d.,]*\d(?![\w^{]|[.,]\d)%?", bare)
    if numbers and (is_last or bare.lstrip().startswith(numbers[0])):
        yield numbers[-1 if is_last else 0]


def last_in_line(line: str) -> tuple[str, Value] | None:
    """Return the last piece of mathematics in a line that has a digit or delimiters."""
    spans = [m.span() for m in _MATH.finditer(line) if read(m[m.lastindex or 0]) is not None]
    pieces = [(start, end, line[start:end], True) for start, end in spans]
    i = 0
    while i < len(line):
        if inside := next((b for a, b in spans if a <= i < b), None):
            i = inside
            continue
        if re.match(
            r"[\d$€£¥(\[\\√+-]|\.\d|[a-zA-Z]\s*=|[a-z]\(|sqrt|[a-zA-Z] ?[-+^*/] ?[\da-zA-Z(]",
            line[i:],
        ) and not (i and line[i - 1].isalnum()):
            end = min([_run_end(line, i), *[a for a, _ in spans if a > i]])
            if end > i and re.search(r"\d|\\infty|\\pi|\\emptyset", line[i:end]):
                pieces.append((i, end, line[i:end], False))
            i = max(end, i + 1)
            continue
        i += 1
    for start, end, content, is_math in sorted(pieces, reverse=True)[:TRIES]:
        candidates = (
            _with_suffix(line, content, end) if is_math else _shorter(line, start, end, True)
        )
        for candidate in candidates:
            value = read(candidate, True)
            is_word = isinstance(value, Words) and not re.search(r"\d", candidate)
            if value is not None and not is_word:
                return candidate, value
    return None


def _with_suffix(line: str, content: str, end: int) -> Iterator[str]:
    suffix = _SUFFIX.match(line, end)
    if suffix and isinstance(read(content + suffix[0]), Number):
        yield content + suffix[0]
    yield content

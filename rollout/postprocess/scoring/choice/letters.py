r"""Find the letter that a response chooses, for scorer=choice.

The most explicit mention counts. Of equally explicit ones, the last counts:

1. `\boxed{B}`
2. `<answer>B</answer>`
3. a statement: "the answer is B", "Answer: B. Jupiter", "option B is the best", "I choose B"
4. a first or last line that is only a letter
5. a conclusion: "which is option B", "so B.", "the answer is Jupiter (B)"
6. "B is correct"; with several letters it chooses no single one
7. a letter at the start of the response: "B) Jupiter", "B, because"
8. a letter in brackets, in bold or in quotes
9. a letter alone

A mention of 1 to 3 after "wait", "actually" and the like replaces earlier ones. Letters that are
negated, hypothetical or ruled out do not count, nor does a list that repeats the options. Digits
count in 1 to 7 only.
"""

import re
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from rollout.postprocess.scoring.choice.patterns import TURN, Phrases, plain

_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s*(?:\{|(?=\w))")
_TAG = re.compile(r"<answer>(.*?)(?:</answer>|(?=<answer>)|\Z)", re.IGNORECASE | re.DOTALL)
_CLAUSE_END = re.compile(
    r"[.!?;:\n,—–]|\b(?:but|however|so|therefore|thus|hence|because|since|and|then|instead)\b",
    re.IGNORECASE,
)
_NOT_CLAIMED = re.compile(
    r"\b(?:if|suppose|supposing|assum\w+|whether|unless|might|may|could|not|never|doubt|unlikely|"
    r"wrong|incorrect\w*|false\w*|mistaken\w*|worst|tempt\w+|distractors?|why|often|sometimes|"
    r"students?|people|someone|initially|originally|first|second|next|neither|eliminated|previous|"
    r"other|remaining|common\w*|popular|plausible|opposite|trap|cannot)\b|"
    r"n't\b",
    re.IGNORECASE,
)
_RULED_OUT_BEFORE = re.compile(
    r"(?:\b(?:not|never|than|unlike|neither|nor|exclud\w+|eliminat\w+|rul\w+ out|reject\w*|"
    r"discard\w*|dismiss\w*|except|without|over|against|among|between|none of|cross\w* out|"
    r"avoid\w*|instead of|cannot be|wrong|incorrect|false|"
    r"(?:anything|everything|all) but|out)|n't(?: (?:be|say|pick|choose|select))?)"
    r"[ :]+(?:(?:the|be|either|both|options?|choices?|answers?|letters?) ){0,3}(?:that )?"
    r"[(\[\"']*\Z",
    re.IGNORECASE,
)
_RULED_OUT_AFTER = re.compile(
    r"\b(?:not|wrong|incorrect|false|fail\w*|too|cannot|out|eliminated|excluded|rejected|unlikely|"
    r"implausible|impossible|irrelevant|unrelated|distractors?|mistake\w*|invalid|worse|"
    r"contradict\w*|never|untrue|inaccurate|unsupported|hardly|barely|part(?:ial)?ly|tempting|"
    r"misses|ignores|lacks)\b|n't\b",
    re.IGNORECASE,
)
_PART_END = re.compile(
    r"[!?;\n,]|\.(?:\s|\Z)|\b(?:but|while|whereas|so|because|since|as|unlike\b|(?:the )?others?|"
    r"(?:not|rather than|instead of|over|than)\s+(?:option |choice )?[(\[]?[A-Z0-9]\b)",
)
_UNSURE = re.compile(r"\bor\b|/|或")
_LIST_TAIL = re.compile(r"(?<![A-Za-z0-9])[A-Z0-9][)\]]?,?\s*(?:\band|\bor|&|/)\s*[(\[]?\Z")
_DENIED = re.compile(
    r"[^.!?\n]{0,80}\?|\s+(?:is|was|would be|can't be)\s+(?:wrong|incorrect|not)\b"
)
_PLURAL = re.compile(r"\s+(?:are|were|do|don't|aren't|can|cannot)\b")
NEAR = 160  # characters around a mention that decide whether it counts
LONGEST = 400  # characters read of a box or an <answer>


@dataclass(frozen=True, slots=True)
class Chosen:
    """The labels of one mention, in the order of all labels."""

    labels: tuple[str, ...] = ()
    is_explicit: bool = False  # marked as the answer: counts in a response that was cut off
    is_unsure: bool = False  # "A or B"


@dataclass(frozen=True, slots=True)
class _Mention:
    start: int
    end: int
    chosen: Chosen


def reader(labels: str) -> Callable[[str], Chosen]:
    """Return a function that finds which of these labels a text chooses."""
    read = _Reader(labels).read
    return lambda text: read(plain(text))


class _Reader:
    def __init__(self, labels: str):
        self.labels = labels
        self.phrases = Phrases(labels)

    def read(self, text: str) -> Chosen:
        """Return the most explicit mention in a text prepared by `plain`."""
        boxes, tags = list(self._boxes(text)), list(self._tags(text))
        stated, denied = self._stated(text)
        levels = [boxes, tags, stated]
        turns = [turn.start() for turn in TURN.finditer(text)]
        explicit = [
            ((bisect(turns, mention.end), -level, mention.end), mention.chosen)
            for level, mentions in enumerate(levels)
            for mention in mentions
            if mention.chosen.labels
        ]
        if explicit:
            return max(explicit, key=lambda found: found[0])[1]
        if tags and text[tags[-1].start : tags[-1].end].strip():
            return Chosen()  # the response's answer is not one of the labels
        options = self._options(text) + denied
        if found := self._own_line(text, options):
            return found
        if concluded := self._asserted(self.phrases.concluded, text):
            return concluded[-1].chosen
        if claims := [mention.chosen for mention in self._asserted(self.phrases.correct, text)]:
            named = {label for chosen in claims for label in chosen.labels}
            return Chosen(
                self._ordered(named), is_unsure=any(chosen.is_unsure for chosen in claims)
            )
        if boxes:
            return Chosen()
        weak = [
            self._outside(self._asserted(patterns, text), options)
            for patterns in (self.phrases.opening, self.phrases.held, self.phrases.alone)
        ]
        for mentions in weak[:1] if self.phrases.is_digit_only else weak:
            if any(map(self._is_enumeration, weak)):
                break
            if mentions:
                return mentions[-1].chosen
        return Chosen()

    def _mention(
        self, match: re.Match[str], is_explicit: bool = False, is_first_only: bool = False
    ) -> _Mention:
        words = re.findall(r"(?<![A-Za-z0-9])[A-Za-z0-9]+(?![A-Za-z0-9])", match["x"])
        named = [word.upper() for word in words if set(word.upper()) <= set(self.labels)]
        labels = self._ordered(set("".join(named[:1] if is_first_only else named)))
        chosen = Chosen(labels, is_explicit, len(labels) > 1 and bool(_UNSURE.search(match["x"])))
        return _Mention(*match.span("x"), chosen)

    def _ordered(self, labels: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(labels, key=self.labels.index))

    def _boxes(self, text: str) -> Iterator[_Mention]:
        """Yield every box, also those without a label."""
        for box in _BOX.finditer(text):
            start = box.end()
            end = _closing(text, start) if box[0].endswith("{") else start + 1
            yield self._field(text, start, end)

    def _tags(self, text: str) -> Iterator[_Mention]:
        """Yield every <answer> that is not empty; an unclosed one ends with the text."""
        for tag in _TAG.finditer(text):
            if tag[1].strip():
                yield self._field(text, *tag.span(1))

    def _field(self, text: str, start: int, end: int) -> _Mention:
        """Read a box or an <answer>: a label, or a sentence that states one."""
        inside = text[start : min(end, start + LONGEST)]
        if found := self.phrases.whole[0].search(inside):
            return _Mention(start, end, self._mention(found, is_explicit=True).chosen)
        stated, _ = self._stated(inside)
        return _Mention(start, end, stated[-1].chosen if stated else Chosen())

    def _stated(self, text: str) -> tuple[list[_Mention], list[tuple[int, int]]]:
        """Return the statements in text order, and the spans of denied or hypothetical ones."""
        found, denied = {}, []
        for pattern in self.phrases.stated:
            for match in pattern.finditer(text):
                if _is_supposed(text, match.start()) or _DENIED.match(text, match.end()):
                    denied.append(match.span("x"))
                    continue
                # "The answer is B, A and C are wrong" chooses only B.
                is_first_only = bool(_PLURAL.match(text, match.end("x")))
                mention = self._mention(match, True, is_first_only)
                found.setdefault(mention.end, mention)
        return sorted(found.values(), key=lambda mention: mention.end), denied

    def _asserted(self, patterns: list[re.Pattern[str]], text: str) -> list[_Mention]:
        """Return the mentions of these patterns that are not ruled out, in text order."""
        found = {}
        for pattern in patterns:
            for match in pattern.finditer(text):
                start, end = match.span("x")
                before = text[max(0, start - NEAR) : start]
                after = text[end : end + NEAR]
                stop = _PART_END.search(after)
                if (
                    _RULED_OUT_BEFORE.search(before)
                    or _LIST_TAIL.search(before)
                    or _RULED_OUT_AFTER.search(after[: stop.start()] if stop else after)
                    or (patterns is self.phrases.correct and _is_supposed(text, match.start()))
                ):
                    continue
                found.setdefault(end, self._mention(match))
        return sorted(found.values(), key=lambda mention: mention.end)

    def _own_line(self, text: str, options: list[tuple[int, int]]) -> Chosen | None:
        """Return the letter that is the whole last line, or the whole first one."""
        lines = self._outside(self._asserted(self.phrases.own_line, text), options)
        start, end = len(text) - len(text.lstrip()), len(text.rstrip())
        for mention in reversed(lines):
            if not text[mention.end : end].strip(" .):,!\"'\t"):
                is_whole = not text[start : mention.start].strip(" ([\"'")
                return Chosen(mention.chosen.labels, is_whole, mention.chosen.is_unsure)
        for mention in lines[:1]:
            if not text[start : mention.start].strip(" ([\"'"):
                return Chosen(mention.chosen.labels, True, mention.chosen.is_unsure)
        return None

    def _options(self, text: str) -> list[tuple[int, int]]:
        """Return the spans of lines that list the options: labels in consecutive order."""
        lines = [
            (match.start(), self.labels.index(match[1].upper()))
            for match in self.phrases.label_line.finditer(text)
        ]
        numbers = [number for _, number in lines]
        spans = []
        for i, (start, number) in enumerate(lines):
            if number + 1 in numbers[i + 1 : i + 2] or number - 1 in numbers[max(0, i - 1) : i]:
                end = text.find("\n", start)
                spans.append((start, len(text) if end < 0 else end))
        return spans

    @staticmethod
    def _outside(mentions: list[_Mention], spans: list[tuple[int, int]]) -> list[_Mention]:
        return [
            mention
            for mention in mentions
            if not any(start <= mention.start < end for start, end in spans)
        ]

    def _is_enumeration(self, mentions: list[_Mention]) -> bool:
        """Whether the mentions merely go through the options, from the first one."""
        named = [label for mention in mentions for label in mention.chosen.labels]
        return len(mentions) > 2 and named == list(self.labels[: len(named)])


def _is_supposed(text: str, start: int) -> bool:
    """Whether the clause before `start` denies what follows, or makes it hypothetical."""
    start += len(text[start : start + NEAR]) - len(text[start : start + NEAR].lstrip(" \n.,:!"))
    clause = _CLAUSE_END.split(text[max(0, start - NEAR) : start])[-1]
    return bool(_NOT_CLAIMED.search(clause))


def _closing(text: str, start: int) -> int:
    """Return where the brace before `start` closes, at most LONGEST characters later."""
    depth = 1
    for i in range(start, min(len(text), start + LONGEST)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if not depth:
            return i
    return min(len(text), start + LONGEST)

"""Split a response into reasoning and answer by tags.

Pure: no file, no engine, no settings. vLLM's reasoning parsers are in rollout/engines; they return
the same `Split`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

TAGS = ("<think>", "</think>")


@dataclass(frozen=True, slots=True)
class Split:
    """The parts of a response.

    `reasoning` is None if there was none. `answer` is empty where the reasoning is unclosed.
    """

    reasoning: str | None
    answer: str
    is_closed: bool = True


# Takes a response, and whether the prompt has opened the reasoning already.
Splitter = Callable[[str, bool], Split]


def split(text: str, tags: Sequence[str] = TAGS, opened: bool = False) -> Split:
    """Split a response at its first closing tag, and strip line ends around both parts.

    Text before an opening tag belongs to the answer. A closing tag without an opening one closes
    what the prompt opened (chat templates put the opening tag there), so all text before it is
    reasoning. Reasoning opened by the prompt (`opened`) or in the text, and not closed, is
    unclosed. Without any tag the whole text is the answer, unchanged.
    """
    opening, closing = tags
    thought, found, rest = text.partition(closing)
    before, tag, inner = thought.partition(opening)
    if not tag:
        before, inner = "", thought
    if found:
        return Split(inner.strip("\n"), (before + rest).strip("\n"))
    if tag or opened:
        return Split(inner.strip("\n"), "", is_closed=False)
    return Split(None, text)


def splitter_by(tags: Sequence[str]) -> Splitter:
    """Return `split` with these tags."""
    return lambda text, opened: split(text, tags, opened)


def opens(prompt_end: str, tags: Sequence[str]) -> bool:
    """Whether a response to a prompt with this end begins within the reasoning."""
    return prompt_end.rstrip().endswith(tags[0])

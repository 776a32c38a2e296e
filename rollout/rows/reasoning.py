"""Where a response stops to think and begins to answer: the split by tags, and its columns.

Pure: no file, no engine, no settings. vLLM's own parsers are the engine room's; they give the
same `Split`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

TAGS = ("<think>", "</think>")


@dataclass(frozen=True, slots=True)
class Split:
    """The parts of a response.

    `reasoning` is None where there was none. An unclosed one has no answer yet: "".
    """

    reasoning: str | None
    answer: str
    is_closed: bool = True


# From a response, and whether the prompt opened the reasoning already.
Splitter = Callable[[str, bool], Split]


def split(text: str, tags: Sequence[str] = TAGS, opened: bool = False) -> Split:
    """Split a response at its first closing tag; line ends around both parts are left out.

    What stands before an opening tag belongs to the answer. A closing tag without an opening one
    closes what the prompt opened (chat templates put the opening tag there), so all before it is
    reasoning. Without a closing tag, what was opened, by the prompt (`opened`) or in the text, is
    unclosed. Without any tag all is the answer, as it stands.
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
    """`split` with these tags."""
    return lambda text, opened: split(text, tags, opened)


def opens(prompt_end: str, tags: Sequence[str]) -> bool:
    """Whether a prompt that ends so has the response begin within the reasoning."""
    return prompt_end.rstrip().endswith(tags[0])

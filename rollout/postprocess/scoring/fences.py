"""Find the code blocks of a Markdown text with a Markdown parser."""

import re
from functools import lru_cache
from typing import Any, NamedTuple

from rollout.postprocess.scoring.code.syntax import parsed

PYTHON = re.compile(r"(?:ipython|py|python)[\d.]*(?:[:,;=\s{}].*)?", re.IGNORECASE | re.DOTALL)
INLINE_FENCE = re.compile(r"(?<=[^\s`~>])[ \t]*(```+)(?!`)")
OUTPUT = re.compile(r">>> |\$ |Traceback \(most recent")


class Block(NamedTuple):
    """The code between two fences."""

    language: str
    code: str
    is_open: bool  # its closing fence is missing

    @property
    def is_python(self) -> bool:
        """Whether it may be Python: its fence names Python or no language, and it is not output."""
        if OUTPUT.match(self.code.lstrip()):
            return False
        return self.names_python or not self.language

    @property
    def names_python(self) -> bool:
        """Whether its fence names Python."""
        return bool(PYTHON.fullmatch(self.language))


@lru_cache(maxsize=1)
def _parsers() -> tuple[Any, Any]:
    """Return a parser with lists and one without, for list items with code that is not indented."""
    from markdown_it import MarkdownIt

    both = []
    for rules in (["code"], ["code", "list"]):  # without indented code, because fences are indented
        parser = MarkdownIt("commonmark", {"html": False}).disable(rules)
        parser.core.ruler.enableOnly(["normalize", "block"])
        both.append(parser)
    return tuple(both)


def block_readings(text: str) -> list[list[Block]]:
    """Return the blocks of a text in order, by Markdown's rules and, if different, looser ones."""
    with_lists, without = _parsers()
    found = []
    split = INLINE_FENCE.sub(r"\n\1", text)  # a fence after code or prose on the same line
    for parser, source in ((with_lists, text), (without, text), (with_lists, split)):
        blocks = _blocks(source, parser)
        if blocks and blocks not in found:
            found.append(blocks)
    return found


def _blocks(text: str, parser: Any, depth: int = 0) -> list[Block]:
    blocks = []
    for token in parser.parse(text):
        if token.type != "fence":
            continue
        language = token.info.strip().removeprefix("{").lstrip(".").strip()
        num_lines = token.content.count("\n") + (not token.content.endswith("\n"))
        is_open = token.map[1] - token.map[0] < num_lines + 2 and bool(token.content)
        code, rest = token.content, ""
        if parsed(code) is None and depth < 20:  # "```python" again, or "``` This adds the two"
            lines = code.splitlines(keepends=True)
            fences = (i for i, line in enumerate(lines) if line.lstrip().startswith(token.markup))
            cut = next(fences, None)
            if cut is not None:
                code, rest = "".join(lines[:cut]), "".join(lines[cut:])
        if code.strip():
            blocks.append(Block(language, code, is_open and not rest))
        if rest:
            blocks += _blocks(rest, parser, depth + 1)
    return blocks


def left_open(text: str) -> str | None:
    """Return the end of a text from the fence that it does not close, or None."""
    lines = text.split("\n")
    for token in reversed(_parsers()[0].parse(text)):
        if token.type == "fence":
            own = "\n".join(lines[token.map[0] :])
            if "\n".join(lines[token.map[1] :]).strip():
                return None  # more text follows
            *inner, last = own.rstrip().split("\n")
            is_fence = re.fullmatch(re.escape(token.markup) + token.markup[0] + "*", last.strip())
            return None if inner and is_fence else own if token.content else own.rstrip() + "\n"
    return None

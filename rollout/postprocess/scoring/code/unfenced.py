"""Find code in a text without fences: runs of lines that Python can compile."""

import ast
import re
from collections.abc import Iterator

from rollout.postprocess.scoring.code.syntax import COMPILE_ERRORS, defined, parsed, source_of

STARTS = re.compile(
    r"(?:def|class|import|from|async|if|for|while|try|with|@|#|[A-Za-z_][\w.,\[\]\"' ]* ?=|"
    r"\w+[\w.]*\()"
)
TAG = re.compile(r"</?[a-z_]+>", re.IGNORECASE)
MAX_LINES = 3000
MAX_TRIES = 400


def code_in(text: str, names: tuple[str, ...] = ()) -> str | None:
    """Return the longest run of lines that defines one of `names`; without names, the longest."""
    runs = list(_runs(text)) or list(_runs(TAG.sub("\n", text)))
    if names:
        runs = [run for run in runs if not defined(run).isdisjoint(names)]
    return max(runs, key=len, default=None)


def _runs(text: str) -> Iterator[str]:
    """Yield the runs from top to bottom, without words that only happen to be valid Python."""
    if parsed(text) is not None:
        yield from filter(None, [_without_words(text)])
        return
    lines, start, tries = text.split("\n")[:MAX_LINES], 0, 0
    while start < len(lines) and tries < MAX_TRIES:
        if not STARTS.match(lines[start]):
            start += 1
            continue
        stop = len(lines)
        while stop > start and tries < MAX_TRIES:
            tries += 1
            run = "\n".join(lines[start:stop])
            if parsed(run) is not None:
                break
            stop = min(stop - 1, start + _bad_line(run) - 1)
        if stop > start and (run := _without_words("\n".join(lines[start:stop]))):
            yield run
        start = max(stop, start + 1)


def _bad_line(text: str) -> int:
    try:
        compile(text, "main.py", "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
    except SyntaxError as error:
        return max(1, error.lineno or 1)
    except COMPILE_ERRORS:
        return 1
    return len(text)


def _without_words(text: str) -> str | None:
    """Return a run without expressions at its ends that do nothing, such as `[DONE]` or `Sure`."""
    body = list(parsed(text).body)
    while body and _is_word(body[0]):
        del body[0]
    while body and _is_word(body[-1]):
        del body[-1]
    if not body:
        return None
    if body == parsed(text).body:
        return text
    lines = text.split("\n")
    return "\n".join(lines[_first(body[0], text) - 1 : body[-1].end_lineno]) + "\n"


def _first(node: ast.stmt, text: str) -> int:
    return node.end_lineno - source_of(text, node).count("\n")


def _is_word(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and not any(
        isinstance(inner, ast.Call | ast.Await | ast.Yield) for inner in ast.walk(node)
    )

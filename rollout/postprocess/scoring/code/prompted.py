"""The code that a prompt gives: what a response continues, completes or builds upon."""

import ast
from functools import lru_cache
from typing import Any, NamedTuple

from rollout.postprocess.scoring.code.runs_of_code import code_in
from rollout.postprocess.scoring.code.syntax import bound_by, is_stub, missing, parsed, source_of
from rollout.postprocess.scoring.fences import left_open, readings


class Prompted(NamedTuple):
    """Code of a prompt."""

    opened: str = ""  # from the fence that it leaves open, for the response to go on in
    texts: tuple[str, ...] = ()  # its blocks, or itself where it is code; as they stand


def prompted(prompt: Any, starter: Any) -> Prompted:
    """The code of a text, or of the last user message of a chat and what answers it."""
    texts = [prompt] if isinstance(prompt, str) else []
    if isinstance(prompt, list):
        for message in reversed([m for m in prompt if isinstance(m, dict)]):
            texts.insert(0, _text(message.get("content")))
            if message.get("role") == "user":
                break
        if not prompt or not isinstance(prompt[-1], dict) or prompt[-1].get("role") != "assistant":
            texts.append("")  # nothing is begun
    return _prompted(tuple(texts), starter if isinstance(starter, str) else "")


def _text(content: Any) -> str:
    """A message's text: its content, or the texts of its parts."""
    if isinstance(content, list):
        return "\n".join(p.get("text") or "" for p in content if isinstance(p, dict))
    return content if isinstance(content, str) else ""


@lru_cache(maxsize=8)  # a row has many responses
def _prompted(texts: tuple[str, ...], starter: str) -> Prompted:
    opened = left_open(texts[-1]) if texts and texts[-1] else None
    found = [starter] if starter.strip() else []
    for text in texts:
        text = text.removesuffix(opened) if opened and text is texts[-1] else text
        blocks = [b.code for reading in readings(text)[:1] for b in reading if b.is_python]
        found += blocks or [code for code in [_unfenced(text)] if code]
    return Prompted(opened or "", tuple(found))


def _unfenced(text: str) -> str | None:
    """The code in a text without fences, its last function with or without a body."""
    if parsed(text) is None and whole(text) is not None:
        return text
    code = code_in(with_body(text))
    added = with_body(text).removeprefix(text.rstrip())
    if code and added.strip() and code.rstrip().endswith(added.rstrip()):
        return code.rstrip().removesuffix(added.rstrip()) + "\n"
    return code


def with_body(text: str) -> str:
    """A text, with a body for a function whose header ends it."""
    if parsed(text) is not None or not text.rstrip().endswith(":"):
        return text
    last = text.rstrip().rpartition("\n")[2]
    return f"{text.rstrip()}\n{last[: len(last) - len(last.lstrip())]}    pass\n"


def whole(text: str) -> ast.Module | None:
    """The tree of a prompt's code."""
    return parsed(with_body(text))


def unfinished(text: str) -> ast.stmt | None:
    """The definition at the end of a prompt's code that a response is to complete."""
    tree = whole(text)
    if tree is None or not tree.body:
        return None
    stubs = [node for node in tree.body if is_stub(node)]
    if stubs:
        return stubs[-1]
    last = tree.body[-1]
    if isinstance(last, ast.FunctionDef) and getattr(last.body[-1], "value", None) is None:
        return last
    return None


def needed(texts: tuple[str, ...], names: set[str]) -> str:
    """The statements of the prompt's code that define `names`, and what those need in turn.

    Stubs define nothing. A program that is complete needs none, so nothing is put before it.
    """
    statements = [(text, node) for text in texts for node in getattr(whole(text), "body", ())]
    kept: set[int] = set()
    todo, seen = set(names), set(names)
    while todo:
        name = todo.pop()
        for i, (text, node) in enumerate(statements):
            if i not in kept and name in bound_by(node) and not is_stub(node):
                kept.add(i)
                new = missing(source_of(text, node)) - seen
                seen |= new
                todo |= new
    for i, (_, node) in enumerate(statements):
        if isinstance(node, ast.ImportFrom):
            is_star = node.names[0].name == "*"
            kept |= {i} if node.module == "__future__" or (is_star and seen) else set()
    return "\n".join(source_of(*statements[i]) for i in sorted(kept))


def asked_for(prompt: Prompted, names: set[str]) -> str | None:
    """The one function that the prompt leaves to be written; `names` are those the tests use."""
    found = {}
    for text in prompt.texts:
        stub = unfinished(text)
        if isinstance(stub, ast.ClassDef):
            methods = [n for n in stub.body if isinstance(n, ast.FunctionDef)]
            found |= {n.name: n for n in methods if not n.name.startswith("_")}
        elif stub is not None:
            found[stub.name] = stub
    if len(found) > 1:
        found = {name: stub for name, stub in found.items() if name in names}
    return next(iter(found)) if len(found) == 1 else None

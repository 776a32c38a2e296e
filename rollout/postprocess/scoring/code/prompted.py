"""Find the code in a prompt that a response continues, completes or uses."""

import ast
from functools import lru_cache
from typing import Any, NamedTuple

from rollout.postprocess.scoring.code.syntax import bound_by, is_stub, missing, parsed, source_of
from rollout.postprocess.scoring.code.unfenced import code_in
from rollout.postprocess.scoring.fences import block_readings, left_open


class Prompted(NamedTuple):
    """The code of a prompt."""

    opened: str = ""  # its end, from a fence that it leaves open for the response
    texts: tuple[str, ...] = ()  # its blocks, or all of it if it is code; unchanged


def prompted(prompt: Any, starter: Any) -> Prompted:
    """Return the code of a text, or of a chat's last user message and any answer to it."""
    texts = [prompt] if isinstance(prompt, str) else []
    if isinstance(prompt, list):
        for message in reversed([m for m in prompt if isinstance(m, dict)]):
            texts.insert(0, _text(message.get("content")))
            if message.get("role") == "user":
                break
        if not prompt or not isinstance(prompt[-1], dict) or prompt[-1].get("role") != "assistant":
            texts.append("")  # the response continues no message
    return _prompted(tuple(texts), starter if isinstance(starter, str) else "")


def _text(content: Any) -> str:
    """Return a message's text: its content, or the texts of its parts."""
    if isinstance(content, list):
        return "\n".join(p.get("text") or "" for p in content if isinstance(p, dict))
    return content if isinstance(content, str) else ""


@lru_cache(maxsize=8)  # a row has many responses
def _prompted(texts: tuple[str, ...], starter: str) -> Prompted:
    opened = left_open(texts[-1]) if texts and texts[-1] else None
    found = [starter] if starter.strip() else []
    for text in texts:
        text = text.removesuffix(opened) if opened and text is texts[-1] else text
        blocks = [b.code for reading in block_readings(text)[:1] for b in reading if b.is_python]
        found += blocks or [code for code in [_unfenced(text)] if code]
    return Prompted(opened or "", tuple(found))


def _unfenced(text: str) -> str | None:
    """Return the code in a text without fences. Its last function may lack a body."""
    if parsed(text) is None and _tree(text) is not None:
        return text
    code = code_in(with_body(text))
    added = with_body(text).removeprefix(text.rstrip())
    if code and added.strip() and code.rstrip().endswith(added.rstrip()):
        return code.rstrip().removesuffix(added.rstrip()) + "\n"
    return code


def with_body(text: str) -> str:
    """Return a text, with a body added if it ends with the header of a function."""
    if parsed(text) is not None or not text.rstrip().endswith(":"):
        return text
    last = text.rstrip().rpartition("\n")[2]
    return f"{text.rstrip()}\n{last[: len(last) - len(last.lstrip())]}    pass\n"


def _tree(text: str) -> ast.Module | None:
    """Return the tree of a prompt's code."""
    return parsed(with_body(text))


def unfinished(text: str) -> ast.stmt | None:
    """Return the definition in a prompt's code that the response must complete, or None."""
    tree = _tree(text)
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
    """Return the statements of the prompt's code that define `names`, and their dependencies.

    Stubs define nothing. A complete program needs no statements, so nothing is put before it.
    """
    statements = [(text, node) for text in texts for node in getattr(_tree(text), "body", ())]
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
    """Return the one function that the prompt asks for; of several, the one in `names`."""
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

"""Find the program in a response: the code that defines the names used by the tests.

A later definition wins. Usage examples, output and other languages are left out; blocks that need
each other are joined. A function body alone completes the prompt's unfinished function. Imports
and helpers that a program needs from the prompt are put before it.
"""

import ast
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import NamedTuple

from rollout.postprocess.scoring.code.prompted import Prompted, needed, unfinished, with_body
from rollout.postprocess.scoring.code.syntax import (
    bound,
    bound_by,
    defined,
    is_stub,
    missing,
    parsed,
)
from rollout.postprocess.scoring.code.unfenced import code_in
from rollout.postprocess.scoring.fences import Block, block_readings
from rollout.postprocess.scoring.scorers import Response

READS = re.compile(r"\binput\b|\bstdin\b|\bopen\(0\b|/dev/stdin")
FEEDS = re.compile(r"\bstdin\s*=\s*(?:io\.)?StringIO|\binput\s*=\s*lambda")
FUTURE = re.compile(r"^from __future__ import .*$", re.MULTILINE)


class Found(NamedTuple):
    """The program of a response."""

    text: str | None
    is_partial: bool = False  # cut off, so it does not compile
    helpers: str = ""  # the prompt's functions that the tests use


def program_in(
    response: Response, prompt: Prompted, names: tuple[str, ...], target: str | None = None
) -> Found:
    """Return the program for tests that use `names`; without names, the one that reads input."""
    text = response.text
    words = set(re.findall(r"\w+", target or ""))
    required = tuple(name for name in names if name in words) or names  # at least one of these
    blocks = block_readings(prompt.opened + text) if prompt.opened else []
    blocks += block_readings(text)
    programs = [program for reading in blocks if (program := _joined(reading, names, required))]
    programs.sort(key=lambda program: parsed(program) is None)
    program, is_partial = next(iter(programs), None), False
    if program is None and names:
        program = code_in(text, required)
        is_partial = response.is_cut and program is not None and _is_cut_in(program, text)
        program = program or _completed(text, blocks, prompt, required)
    if program is None and not (blocks and names):
        program = code_in(text)
    if program is None and blocks:
        program = _last(blocks[0])
    if program is None:
        return Found(None, response.is_cut)
    is_partial |= response.is_cut and parsed(program) is None
    return _with_prompt(program, prompt, names, target)._replace(is_partial=is_partial)


def _is_cut_in(program: str, text: str) -> bool:
    """Whether a text ends in an indented line that is not in its program."""
    last = text.rstrip().rpartition("\n")[2]
    return last[:1].isspace() and last not in program


def _codes(blocks: list[Block]) -> Iterator[str]:
    """Yield the blocks that may be Python, without an indentation shared by all lines."""
    for block in blocks:
        code = block.code
        if parsed(code) is None and parsed(textwrap.dedent(code)) is not None:
            code = textwrap.dedent(code)
        if block.is_python and (block.names_python or parsed(code) or defined(code)):
            yield code


def _joined(blocks: list[Block], names: tuple[str, ...], required: tuple[str, ...]) -> str | None:
    """Return the blocks that define `names`, with their dependencies.

    Return None if no block defines a name in `required`.
    """
    codes = list(_codes(blocks))
    if not names:
        return _reader(codes)
    if all(_definer(codes, name, defined) is None for name in required):
        return None
    return _with_others(codes, {_definer(codes, name, defined) for name in names} - {None})


def _with_others(codes: list[str], chosen: set[int]) -> str:
    """Return the chosen texts, with those that define names they need, in order."""
    todo = list(chosen)
    while todo:
        available = set().union(*(bound(codes[i]) for i in chosen))
        for name in missing(codes[todo.pop()]) - available:
            other = _definer(codes, name, bound)
            if other is not None and other not in chosen:
                chosen.add(other)
                todo.append(other)
    texts = [codes[i] for i in sorted(chosen)]
    return texts[0] if len(texts) == 1 else "\n".join(text.rstrip() + "\n" for text in texts)


def _definer(codes: list[str], name: str, names_of: Callable[[str], set[str]]) -> int | None:
    """Return the index of the last text that defines a name.

    Texts that compile come first, then those whose definition is not a stub.
    """
    found = [i for i, code in enumerate(codes) if name in names_of(code)]

    def rank(i: int) -> tuple:
        return parsed(codes[i]) is not None, not _has_stub(codes[i], name), i

    return max(found, key=rank, default=None)


def _has_stub(code: str, name: str) -> bool:
    tree = parsed(code)
    return tree is not None and any(is_stub(n) for n in tree.body if name in bound_by(n))


def _reader(codes: list[str]) -> str | None:
    """Return the last text that reads an input and runs code, by itself or with others."""

    def rank(program: str) -> tuple:
        is_reader = bool(READS.search(program)) and not FEEDS.search(program)
        return parsed(program) is not None, is_reader and _acts(program), is_reader

    joined = [_with_others(codes, {i}) for i in range(len(codes))]
    ranked = [(*rank(codes[i]), *rank(joined[i]), i) for i in range(len(codes))]
    # A usage block may read only through code that it calls, so direct readers come first.
    if not any(acts for _, acts, *_ in ranked):
        ranked = [rank[3:] for rank in ranked]
    return joined[max(ranked)[-1]] if ranked else None


def _acts(program: str) -> bool:
    """Whether it does more than define names."""
    passive = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
    return any(
        isinstance(inner, ast.Call)
        for node in getattr(parsed(program), "body", ())
        if not isinstance(node, passive)
        for inner in ast.walk(node)
    )


def _last(blocks: list[Block]) -> str | None:
    """Return the last block whose fence names Python, or else the last that compiles."""
    named = [block.code for block in blocks if block.names_python and block.is_python]
    return (named or list(_codes(blocks)) or [None])[-1]


def _completed(
    text: str, readings_of: list[list[Block]], prompt: Prompted, names: tuple[str, ...]
) -> str | None:
    """Return the prompt's unfinished definition, with the response as its body."""
    bodies = [block.code for blocks in readings_of for block in blocks if block.is_python]
    bodies.sort(key=lambda body: parsed(body) is not None)  # a body alone rarely compiles
    for start in reversed(prompt.texts):
        stub = unfinished(start)
        if stub is None or defined(with_body(start)).isdisjoint(names):
            continue
        indent = _indent_of(stub)
        for body in bodies or [text]:
            for program in _candidates(start, body, indent):
                tree = parsed(program)
                if tree is not None and _is_filled(tree, stub):
                    return program
    return None


def _indent_of(stub: ast.stmt) -> str:
    inner = stub.body[-1]
    if isinstance(stub, ast.ClassDef):
        inner = getattr(inner, "body", [inner])[-1]
    return " " * inner.col_offset


def _candidates(start: str, body: str, indent: str) -> Iterator[str]:
    """Yield programs with the body unchanged, and with its first line or all of it indented."""
    body, header = body.rstrip(), start.rstrip()
    stripped = body.lstrip("\n")
    yield start + body
    lines = stripped.split("\n")
    indented = textwrap.indent(textwrap.dedent(stripped), indent)
    for moved in (stripped, indent + stripped.lstrip(), indented):
        yield f"{header}\n{moved}\n"
    for stop in range(len(lines) - 1, 0, -1):  # prose or other code follows without indentation
        if lines[stop][:1].strip():
            inner = "\n".join(lines[:stop])
            yield f"{header}\n{inner}\n"
            yield f"{header}\n{indent}{inner.lstrip()}\n"


def _is_filled(tree: ast.Module, stub: ast.stmt) -> bool:
    """Whether the stub's new statements do something, unlike a word of prose."""
    before = {ast.dump(node) for node in getattr(stub, "body", ())}
    for node in tree.body:
        if getattr(node, "name", None) == stub.name:
            added = [inner for inner in node.body if ast.dump(inner) not in before]
            return bool(added) and not all(map(_is_name, added))
    return False


def _is_name(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Name | ast.Constant)


def _with_prompt(
    program: str, prompt: Prompted, names: tuple[str, ...], target: str | None
) -> Found:
    """Put the prompt's code that a program or its tests need before the program."""
    if parsed(program) is None:
        return Found(program)
    program = _in_solution(program)
    own = defined(program)
    wanted = set(missing(program))
    helpers = ""
    if not own.isdisjoint(names):  # a program without the tested names gets none from the prompt
        wanted |= set(names) - own
        starts = [unfinished(text) for text in prompt.texts]
        if target and any(s is not None and s.name == target for s in starts):
            texts = tuple(t for t in prompt.texts if t.strip())
            helpers = needed(texts, set(names) - {target})
    before = needed(prompt.texts, wanted - bound(program))
    if before:
        both = f"{before.rstrip()}\n\n{program}"
        futures = list(dict.fromkeys(FUTURE.findall(both)))
        program = "\n".join([*futures, FUTURE.sub("", both).lstrip("\n")]) if futures else both
    return Found(program, helpers=helpers)


def _in_solution(program: str) -> str:
    """Put methods without a class, which take self, into a class Solution."""
    tree = parsed(program)
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef)]
    has_class = any(isinstance(n, ast.ClassDef) and n.name == "Solution" for n in tree.body)
    takes_self = [[a.arg for a in n.args.args[:1]] == ["self"] for n in functions]
    if functions and all(takes_self) and not has_class:
        first = functions[0].lineno - 1
        lines = program.split("\n")
        inner = textwrap.indent("\n".join(lines[first:]), "    ")
        return "\n".join([*lines[:first], "class Solution:", inner])
    return program

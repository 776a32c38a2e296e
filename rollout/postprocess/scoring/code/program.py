"""The program in a response: what defines the names that the tests use.

A later definition wins. Usage, output and other languages are left out; blocks that need one
another are joined. A body alone is put under the prompt's unfinished function, and what a program
takes from the prompt (imports, helpers) is put before it.
"""

import ast
import re
import textwrap
from collections.abc import Iterator
from typing import NamedTuple

from rollout.postprocess.scoring.code.prompted import Prompted, needed, unfinished, with_body
from rollout.postprocess.scoring.code.runs_of_code import code_in
from rollout.postprocess.scoring.code.syntax import (
    bound,
    bound_by,
    defined,
    is_stub,
    missing,
    parsed,
)
from rollout.postprocess.scoring.fences import Block, readings
from rollout.postprocess.scoring.scorers import Response

READS = re.compile(r"\binput\b|\bstdin\b|\bopen\(0\b|/dev/stdin")
FEEDS = re.compile(r"\bstdin\s*=\s*(?:io\.)?StringIO|\binput\s*=\s*lambda")
FUTURE = re.compile(r"^from __future__ import .*$", re.MULTILINE)


class Found(NamedTuple):
    """The program of a response."""

    text: str | None
    is_partial: bool = False  # it was cut off, and does not compile
    helpers: str = ""  # the prompt's functions that the tests use


def program_in(
    response: Response, prompt: Prompted, names: tuple[str, ...], target: str | None = None
) -> Found:
    """The program of a response, for tests that use `names`; without names it reads an input."""
    text = response.text
    words = set(re.findall(r"\w+", target or ""))
    first = tuple(name for name in names if name in words) or names  # without it all is in vain
    blocks = readings(prompt.opened + text) if prompt.opened else []
    blocks += readings(text)
    programs = [program for reading in blocks if (program := _joined(reading, names, first))]
    programs.sort(key=lambda program: parsed(program) is None)
    program, is_partial = next(iter(programs), None), False
    if program is None and names:
        program = code_in(text, first)
        is_partial = response.is_cut and program is not None and _is_cut_in(program, text)
        program = program or _completed(text, blocks, prompt, first)
    if program is None and not (blocks and names):
        program = code_in(text)
    if program is None and blocks:
        program = _last(blocks[0])
    if program is None:
        return Found(None, response.is_cut)
    is_partial |= response.is_cut and parsed(program) is None
    return _with_prompt(program, prompt, names, target)._replace(is_partial=is_partial)


def _is_cut_in(program: str, text: str) -> bool:
    """Whether the end of a text is an indented line that its code lacks."""
    last = text.rstrip().rpartition("\n")[2]
    return last[:1].isspace() and last not in program


def _codes(blocks: list[Block]) -> Iterator[str]:
    """The texts that may be Python, without an indentation that all lines share."""
    for block in blocks:
        code = block.code
        if parsed(code) is None and parsed(textwrap.dedent(code)) is not None:
            code = textwrap.dedent(code)
        if block.is_python and (block.is_called_python or parsed(code) or defined(code)):
            yield code


def _joined(blocks: list[Block], names: tuple[str, ...], first: tuple[str, ...]) -> str | None:
    """The blocks that define `names`, one of `first` among them, and those that these need."""
    codes = list(_codes(blocks))
    if names:
        chosen = {_definer(codes, name, defined) for name in names} - {None}
        if not any(_definer(codes, name, defined) is not None for name in first):
            return None
        return _with_others(codes, chosen)
    return _reader(codes)


def _with_others(codes: list[str], chosen: set[int]) -> str:
    """These texts, and those that define what they need, in order."""
    todo = list(chosen)
    while todo:
        here = set().union(*(bound(codes[i]) for i in chosen))
        for name in missing(codes[todo.pop()]) - here:
            other = _definer(codes, name, bound)
            if other is not None and other not in chosen:
                chosen.add(other)
                todo.append(other)
    texts = [codes[i] for i in sorted(chosen)]
    return texts[0] if len(texts) == 1 else "\n".join(text.rstrip() + "\n" for text in texts)


def _definer(codes: list[str], name: str, names_of: object) -> int | None:
    """The last text that defines a name: better one that compiles, and is no stub."""
    found = [i for i, code in enumerate(codes) if name in names_of(code)]
    return max(found, key=lambda i: (parsed(codes[i]) is not None, not _stubs(codes[i], name), i),
               default=None)  # fmt: skip


def _stubs(code: str, name: str) -> bool:
    tree = parsed(code)
    return tree is not None and any(is_stub(n) for n in tree.body if name in bound_by(n))


def _reader(codes: list[str]) -> str | None:
    """The last text that reads an input and does something with it, by itself or with others."""

    def rank(program: str) -> tuple:
        is_reader = bool(READS.search(program)) and not FEEDS.search(program)
        return parsed(program) is not None, is_reader and _acts(program), is_reader

    joined = [_with_others(codes, {i}) for i in range(len(codes))]
    ranked = [(*rank(codes[i]), *rank(joined[i]), i) for i in range(len(codes))]
    # A usage block reads only by what it uses, so what reads by itself comes first.
    if not any(acts for _, acts, *_ in ranked):
        ranked = [rank[3:] for rank in ranked]
    return joined[max(ranked)[-1]] if ranked else None


def _acts(program: str) -> bool:
    """Whether it does more than define."""
    passive = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
    return any(
        isinstance(inner, ast.Call)
        for node in getattr(parsed(program), "body", ())
        if not isinstance(node, passive)
        for inner in ast.walk(node)
    )


def _last(blocks: list[Block]) -> str | None:
    """The last block that is called Python, or else the last that compiles."""
    named = [block.code for block in blocks if block.is_called_python and block.is_python]
    return (named or list(_codes(blocks)) or [None])[-1]


def _completed(
    text: str, readings_of: list[list[Block]], prompt: Prompted, names: tuple[str, ...]
) -> str | None:
    """The prompt's unfinished definition with the response for a body."""
    bodies = [block.code for blocks in readings_of for block in blocks if block.is_python]
    bodies.sort(key=lambda body: parsed(body) is not None)  # a body seldom stands alone
    for start in reversed(prompt.texts):
        stub = unfinished(start)
        if stub is None or defined(with_body(start)).isdisjoint(names):
            continue
        indent = _indent_of(stub)
        for body in bodies or [text]:
            for program in _fits(start, body, indent):
                tree = parsed(program)
                if tree is not None and _is_filled(tree, stub):
                    return program
    return None


def _indent_of(stub: ast.stmt) -> str:
    inner = stub.body[-1]
    if isinstance(stub, ast.ClassDef):
        inner = getattr(inner, "body", [inner])[-1]
    return " " * inner.col_offset


def _fits(start: str, body: str, indent: str) -> Iterator[str]:
    """The ways in which a body may follow: as it is, its first line or all of it moved in."""
    body = body.rstrip()
    stripped = body.lstrip("\n")
    yield start + body
    lines = stripped.split("\n")
    for moved in (
        stripped,
        indent + stripped.lstrip(),
        textwrap.indent(textwrap.dedent(stripped), indent),
    ):
        yield start.rstrip() + "\n" + moved + "\n"
    for stop in range(len(lines) - 1, 0, -1):  # prose or other code follows at the margin
        if lines[stop][:1].strip():
            yield start.rstrip() + "\n" + "\n".join(lines[:stop]) + "\n"
            yield start.rstrip() + "\n" + indent + "\n".join(lines[:stop]).lstrip() + "\n"


def _is_filled(tree: ast.Module, stub: ast.stmt) -> bool:
    """Whether the stub got statements that do something: a word of prose does not."""
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
    """Put before a program what it, or its tests, take from the prompt."""
    if parsed(program) is None:
        return Found(program)
    program = _in_solution(program)
    own = defined(program)
    wanted = set(missing(program))
    helpers = ""
    if not own.isdisjoint(names):  # a program of another function gets none from the prompt
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
    """Methods without their class, which take self, within it."""
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

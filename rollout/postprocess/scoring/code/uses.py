"""What tests use of a program: names that nothing of theirs defines, modules that stand for it."""

import ast
import re
from functools import lru_cache
from typing import NamedTuple

from rollout.postprocess.scoring.code.syntax import BUILTINS, bound, called_in, missing, parsed

# Names under which tests import the program.
STAND_INS = frozenset(
    {"__main__", "answer", "candidate", "code_under_test", "generated_code", "implementation",
     "main", "module_name", "my_module", "my_solution", "program", "response", "script",
     "solution", "solutions", "submission", "user_code", "your_code", "your_module",
     "your_solution"}
)  # fmt: skip
IMPORTED = re.compile(r"^[ \t]*(?:from|import)[ \t]+(\w+)([^\n]*)", re.MULTILINE)


class Uses(NamedTuple):
    """What tests take from the program."""

    names: frozenset[str]
    builtins: frozenset[str]  # functions of Python, whose name the program's may have
    modules: tuple[str, ...]


@lru_cache(maxsize=8)  # a row has many responses, and some tests are megabytes long
def uses_of(texts: tuple[str, ...], setup: str, target: str | None) -> Uses:
    """What the texts of a row's tests use; `target` is the function known to be tested."""
    own = bound(setup).union(*map(bound, texts))
    names, modules, called = set().union(*map(missing, texts)) - own, set(), set()
    for text in texts:
        called |= called_in(parsed(text))
        standing = _modules_in(text, target)
        if standing:
            modules |= standing
            names |= _taken_from(parsed(text), standing)
    return Uses(frozenset(names), frozenset((called & BUILTINS) - own), tuple(sorted(modules)))


def _modules_in(text: str, target: str | None) -> set[str]:
    """The modules by which a text imports the program."""
    found, names = IMPORTED.findall(text), set(STAND_INS)
    if target:
        of_target = re.compile(rf"\bimport\b.*\b{re.escape(target)}\b")
        names |= {name for name, rest in found if of_target.search(rest)}
    return {name for name, _ in found} & names


def _taken_from(tree: ast.Module, modules: set[str]) -> set[str]:
    """The names that are imported from a module, or are attributes of it."""
    names, owners = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in modules:
            names |= {alias.name for alias in node.names} - {"*"}
        elif isinstance(node, ast.Import):
            owners |= {alias.asname or alias.name for alias in node.names if alias.name in modules}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) in owners:
            names.add(node.attr)
    return names

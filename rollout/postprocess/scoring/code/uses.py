"""Find the names that tests need from the program, and the module names they import it by."""

import ast
import re
from functools import lru_cache
from typing import NamedTuple

from rollout.postprocess.scoring.code.syntax import BUILTINS, bound, called_in, missing, parsed

# Module names under which tests import the program.
PROGRAM_MODULES = frozenset(
    {"__main__", "answer", "candidate", "code_under_test", "generated_code", "implementation",
     "main", "module_name", "my_module", "my_solution", "program", "response", "script",
     "solution", "solutions", "submission", "user_code", "your_code", "your_module",
     "your_solution"}
)  # fmt: skip
IMPORTED = re.compile(r"^[ \t]*(?:from|import)[ \t]+(\w+)([^\n]*)", re.MULTILINE)


class Uses(NamedTuple):
    """The names and modules that tests need from the program."""

    names: frozenset[str]
    builtins: frozenset[str]  # Python's functions, which the program may redefine
    modules: tuple[str, ...]


@lru_cache(maxsize=8)  # a row has many responses, and some tests are megabytes long
def uses_of(texts: tuple[str, ...], setup: str, target: str | None) -> Uses:
    """Return the uses in a row's tests; `target` is the tested function, if it is known."""
    own = bound(setup).union(*map(bound, texts))
    names, modules, called = set().union(*map(missing, texts)) - own, set(), set()
    for text in texts:
        called |= called_in(parsed(text))
        imported = _modules_in(text, target)
        if imported:
            modules |= imported
            names |= _names_from(parsed(text), imported)
    return Uses(frozenset(names), frozenset((called & BUILTINS) - own), tuple(sorted(modules)))


def _modules_in(text: str, target: str | None) -> set[str]:
    """Return the module names by which a text imports the program."""
    found, names = IMPORTED.findall(text), set(PROGRAM_MODULES)
    if target:
        of_target = re.compile(rf"\bimport\b.*\b{re.escape(target)}\b")
        names |= {name for name, rest in found if of_target.search(rest)}
    return {name for name, _ in found} & names


def _names_from(tree: ast.Module, modules: set[str]) -> set[str]:
    """Return the names imported from these modules, and the attributes used of them."""
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

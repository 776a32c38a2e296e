"""Inspect Python code without running it: does it compile, which names does it define and need."""

import ast
import builtins
import re
import symtable
import warnings
from collections.abc import Iterator
from functools import lru_cache

BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}
DEFINITION = re.compile(r"^(?:async +)?(?:def|class) +(\w+)", re.MULTILINE)
COMPILE_ERRORS = (SyntaxError, ValueError, RecursionError, MemoryError)


@lru_cache(maxsize=256)
def parsed(text: str) -> ast.Module | None:
    """Return its tree, or None if Python can't compile it."""
    try:
        return _compiled(text)
    except COMPILE_ERRORS:
        return None


def _compiled(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(text)
        compile(tree, "main.py", "exec", dont_inherit=True)
    return tree


def compile_error(text: str) -> str:
    """Return why a text does not compile."""
    try:
        _compiled(text)
    except SyntaxError as error:
        return f"{error.msg} (line {error.lineno})"
    except COMPILE_ERRORS as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def bound_by(statement: ast.stmt) -> set[str]:
    """Return the names that a top-level statement binds in its module."""
    names = set()
    for node in _outside_of_scopes(statement):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(a.asname or a.name).partition(".")[0] for a in node.names}
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
    return names - {"*"}


def _outside_of_scopes(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    scopes = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    if not isinstance(node, scopes):
        for child in ast.iter_child_nodes(node):
            yield from _outside_of_scopes(child)


def bound(text: str) -> set[str]:
    """Return the names that a module of this text binds, also by importing them."""
    tree = parsed(text)
    return set().union(*map(bound_by, tree.body)) if tree else set(DEFINITION.findall(text))


def defined(text: str) -> set[str]:
    """Return the names that a text defines itself, and the methods of its class Solution."""
    tree = parsed(text)
    if tree is None:
        return set(DEFINITION.findall(text))
    names = set()
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            continue
        names |= bound_by(statement)
        if isinstance(statement, ast.ClassDef) and statement.name == "Solution":
            names |= set().union(*map(bound_by, statement.body))
    return names


@lru_cache(maxsize=256)
def missing(text: str) -> frozenset[str]:
    """Return the names that a text uses, but neither it nor Python defines."""
    if parsed(text) is None:
        return frozenset()
    top = symtable.symtable(text, "main.py", "exec")
    used, own, tables = set(), set(), [top]
    while tables:
        table = tables.pop()
        tables.extend(table.get_children())
        for symbol in table.get_symbols():
            if table is top or symbol.is_global():
                if symbol.is_referenced():
                    used.add(symbol.get_name())
                if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace():
                    own.add(symbol.get_name())
    return frozenset(used - own - BUILTINS)


def called_in(tree: ast.Module) -> set[str]:
    """Return the functions that are called by name, except recursively."""
    names = set()
    for statement in tree.body:
        own = getattr(statement, "name", None)
        names |= {
            node.func.id
            for node in ast.walk(statement)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        } - {own}
    return names


def is_stub(node: ast.AST) -> bool:
    """Whether the body of a function or class is only a docstring, `pass` or `...`."""
    if isinstance(node, ast.ClassDef):
        functions = [n for n in node.body if isinstance(n, ast.FunctionDef)]
        return bool(functions) and all(map(is_stub, functions))
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    for statement in node.body:
        if isinstance(statement, ast.Pass):
            continue
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        if isinstance(statement, ast.Raise) and "NotImplemented" in ast.unparse(statement):
            continue
        return False
    return True


def source_of(text: str, statement: ast.stmt) -> str:
    """Return a statement's own lines, with its decorators."""
    first = min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", []))])
    return "\n".join(text.split("\n")[first - 1 : statement.end_lineno])

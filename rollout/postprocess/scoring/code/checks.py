"""Find the statements of a test that check something, and count those that run.

Must import only the standard library (see contained.py).
"""

import ast
from collections.abc import Iterator

REACHED = "__reached__"  # the counting function; programs do not see it
CHECKING = ("assert", "fail", "raises", "warns")  # prefixes of the names of checking functions
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
BRANCHES = (ast.If, ast.For, ast.While, ast.Try)


def is_check(node: ast.stmt) -> bool:
    """Whether a statement itself, not one within it, checks something.

    It does if it is an assert, a call of a function named like one, or a branch that may raise.
    """
    if isinstance(node, ast.Assert):
        return True
    if isinstance(node, BRANCHES):
        return _raises(node)
    if isinstance(node, ast.With | ast.AsyncWith):
        return any(_is_checking(item.context_expr) for item in node.items)
    return _is_checking(getattr(node, "value", None))


def _is_checking(value: ast.AST | None) -> bool:
    """Whether an expression is a call of a function that checks, or a list of such calls."""
    value = value.value if isinstance(value, ast.Await) else getattr(value, "elt", value)
    return isinstance(value, ast.Call) and _name(value.func).startswith(CHECKING)


def _name(function: ast.expr) -> str:
    return getattr(function, "attr", getattr(function, "id", "")).lstrip("_")


def _blocks(node: ast.AST) -> Iterator[tuple[ast.AST, str, list[ast.stmt]]]:
    """Yield the lists of statements within a statement. Expressions are skipped for speed."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        block = getattr(node, field, None)
        if isinstance(block, list):
            yield node, field, block
            for inner in block:
                yield from _blocks(inner)


def _raises(node: ast.AST) -> bool:
    """Whether a branch has a raise statement, except in a function within it."""
    if isinstance(node, ast.Raise):
        return True
    blocks = () if isinstance(node, SCOPES) else _blocks(node)
    return any(_raises(inner) for owner, _, block in blocks if owner is node for inner in block)


def has_checks(node: ast.stmt) -> bool:
    """Whether a statement, or one within it, checks something."""
    return is_check(node) or any(is_check(s) for _, _, block in _blocks(node) for s in block)


def counted(tree: ast.Module) -> ast.Module:
    """Insert a call of REACHED before every check, with the check's line number."""
    for owner, field, block in list(_blocks(tree)):
        setattr(owner, field, [marked for statement in block for marked in _marked(statement)])
    return tree


def _marked(statement: ast.stmt) -> list[ast.stmt]:
    if not is_check(statement):
        return [statement]
    call = ast.Expr(ast.Call(ast.Name(REACHED, ast.Load()), [], []))
    for node in (call, call.value, call.value.func):
        ast.copy_location(node, statement)
    return [call, statement]

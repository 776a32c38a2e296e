"""Find the tests in a row's test code, and refuse tests that can't run as intended.

The code runs unchanged. A definition is called if its name or base class marks it as a test:
check(candidate), pytest functions and classes, unittest classes. Tests that need anything else
(fixtures, an event loop, an unknown way to start them) are refused with the reason.
"""

import ast
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rollout.postprocess.scoring.code.checks import SCOPES, has_checks
from rollout.postprocess.scoring.code.syntax import bound, called_in, compile_error, parsed
from rollout.postprocess.scoring.scorers import Unscorable

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Unit:
    """One text of tests."""

    text: str
    steps: tuple[tuple[str, ...], ...]  # each test's kind, its name, the methods of a class
    has_top: bool  # whether its top-level statements are a test
    dropped: tuple[int, ...]  # indices of statements that would start the tests a second time
    is_main: bool  # whether it must run as __main__

    @property
    def num_tests(self) -> int:
        """Return the minimum number of tests; parametrize may add more."""
        methods = sum(max(1, len(step) - 2) for step in self.steps)
        return methods + self.has_top

    @property
    def takes_candidate(self) -> bool:
        """Whether it has a function to call with the program's function."""
        return any(kind == "check" for kind, *_ in self.steps)


def units_of(texts: list[str], key: str) -> list[Unit]:
    """Return the tests in each text. Raises Unscorable if one can't run as intended."""
    return _units_of(tuple(texts), key)


@lru_cache(maxsize=8)  # a row has many responses, and some tests are megabytes long
def _units_of(texts: tuple[str, ...], key: str) -> list[Unit]:
    trees = [parsed(text) for text in texts]
    for text, tree in zip(texts, trees, strict=True):
        if tree is None:
            raise Unscorable(f"{key} has tests that are not Python: {compile_error(text)}")
    called = set().union(*map(called_in, trees))
    units = [_unit(*both, called, key) for both in zip(texts, trees, strict=True)]
    if not any(unit.num_tests for unit in units):
        names = sorted(set().union(*map(bound, texts)))
        raise Unscorable(
            f"{key} only defines {', '.join(names[:5]) or 'nothing'}, so it would run nothing; "
            "call it at the end, or name it check(candidate) or test_..."
        )
    return units


def _unit(text: str, tree: ast.Module, called: set[str], key: str) -> Unit:
    steps, cases = [], set()
    for node in tree.body:
        if isinstance(node, Function):
            steps += _of_function(node, called, key)
        elif isinstance(node, ast.ClassDef):
            bases = {ast.unparse(base) for base in node.bases}
            methods = [n for n in node.body if isinstance(n, Function) and _is_test(n)]
            if any(base.endswith("TestCase") for base in bases) or bases & cases:
                cases.add(node.name)
                if methods or bases & cases:
                    steps.append(("unittest", node.name, *(m.name for m in methods)))
            elif node.name.startswith("Test") and methods:
                steps.append(("class", node.name, *_of_class(node, methods, key)))
    defined = {node.name for node in tree.body if isinstance(node, (*SCOPES[:2],))}
    tested = {name for kind, name, *_ in steps}
    dropped = [i for i, s in enumerate(tree.body) if steps and _starts(s, tested)]
    top = [s for i, s in enumerate(tree.body) if i not in dropped and not isinstance(s, SCOPES)]
    has_top = any(has_checks(s) or _calls(s, defined) for s in top)
    if not steps and not has_top:
        has_top = any(_calls(s, None) for s in top if not isinstance(s, ast.Assign))
    is_main = not steps and any(_is_main(s) for s in top)
    return Unit(text, tuple(steps), has_top, tuple(dropped), is_main)


def _is_test(node: Function) -> bool:
    return node.name.startswith("test")


def _is_main(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)


def _starts(node: ast.stmt, tested: set[str]) -> bool:
    """Whether a statement starts tests that are also run one by one: main(), test_this()."""
    if _is_main(node):
        return True
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return False
    if isinstance(node.value.func, ast.Name) and node.value.func.id in tested:
        return not node.value.args and not node.value.keywords
    return any(name in ast.unparse(node) for name in ("unittest.main(", "pytest.main("))


def _calls(node: ast.stmt, names: set[str] | None) -> bool:
    """Whether a statement calls one of these functions, or any function if `names` is None."""
    calls = [n for n in ast.walk(node) if isinstance(n, ast.Call)]
    return any(names is None or getattr(call.func, "id", None) in names for call in calls)


def _of_function(node: Function, called: set[str], key: str) -> list[tuple[str, ...]]:
    if fixtures := [mark for mark in _marks(node) if "fixture" in mark]:
        if any("autouse" in mark for mark in fixtures):
            raise Unscorable(f"{key}: {node.name} is an autouse fixture, which is not supported")
        return []
    needed = [arg for arg in _required(node) if arg not in _parametrized(node, key)]
    is_checker = len(needed) == 1 and (node.name == "check" or needed == ["candidate"])
    if is_checker and node.name not in called:
        return [("check", node.name)]
    if node.name == "check" and not needed and node.name not in called:
        return [("function", node.name)]
    if not _is_test(node) or (needed and node.name in called):
        return []
    _check_supported(node, needed, key)
    return [("function", node.name)]


def _of_class(node: ast.ClassDef, methods: list[Function], key: str) -> list[str]:
    """Return the test methods of a pytest class. Raises Unscorable for unsupported features."""
    others = {n.name for n in node.body if isinstance(n, Function)} - {m.name for m in methods}
    if bad := others & {"__init__", "setup_class", "teardown_class", "setup", "teardown"}:
        raise Unscorable(f"{key}: {node.name} has {min(bad)}, which is not supported in tests")
    marks = [mark for inner in node.body for mark in _marks(inner)]
    if any("fixture" in mark and "autouse" in mark for mark in marks):
        raise Unscorable(f"{key}: {node.name} has an autouse fixture, which is not supported")
    given = _parametrized(node, key)
    for method in methods:
        needed = [a for a in _required(method)[1:] if a not in given | _parametrized(method, key)]
        _check_supported(method, needed, key)
    return [method.name for method in methods]


def _marks(node: ast.AST) -> list[str]:
    return [ast.unparse(decorator) for decorator in getattr(node, "decorator_list", ())]


def _check_supported(node: Function, needed: list[str], key: str) -> None:
    """Raise Unscorable if a test is async, needs a fixture or has an unsupported mark."""
    marks = _marks(node)
    is_given = any(mark.partition("(")[0].endswith(("given", "patch")) for mark in marks)
    is_given |= any("patch." in mark for mark in marks)
    if isinstance(node, ast.AsyncFunctionDef):
        raise Unscorable(f"{key}: {node.name} is async, which is not supported in tests")
    if needed and not is_given:
        raise Unscorable(
            f"{key}: {node.name} takes {needed[0]}; pytest's fixtures are not supported, only "
            "arguments of parametrize"
        )
    for mark in ("xfail", "usefixtures"):
        if any(f"mark.{mark}" in text for text in marks):
            raise Unscorable(f"{key}: {node.name} has pytest.mark.{mark}, which is not supported")


def _required(node: Function) -> list[str]:
    arguments = node.args
    named = [*arguments.posonlyargs, *arguments.args]
    named = named[: len(named) - len(arguments.defaults)]
    only = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return [a.arg for a in named] + [a.arg for a, default in only if default is None]


def _parametrized(node: Any, key: str) -> set[str]:
    """Return the arguments that pytest.mark.parametrize passes."""
    names: set[str] = set()
    for call in node.decorator_list:
        if not isinstance(call, ast.Call) or not ast.unparse(call.func).endswith(".parametrize"):
            continue
        keywords = {keyword.arg: keyword.value for keyword in call.keywords}
        if set(keywords) - {"argnames", "argvalues", "ids"}:
            raise Unscorable(
                f"{key}: {node.name} has an indirect parametrize, which is not supported"
            )
        try:
            found = ast.literal_eval(keywords.get("argnames") or call.args[0])
        except (ValueError, IndexError) as error:
            raise Unscorable(
                f"{key}: {node.name} has a parametrize whose names are not a literal"
            ) from error
        names |= set(found.replace(",", " ").split() if isinstance(found, str) else found)
    return names

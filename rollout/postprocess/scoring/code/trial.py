"""Run a program and its tests, in the process that contained.py has prepared.

The program runs before a test is read. Names of the tests, Python and unittest take precedence
over the program's. A passing test reports how many checks it reached. Each result is written
immediately, so a program that is killed keeps the tests that it passed.

Must import only the standard library (see contained.py).
"""

import ast
import atexit
import builtins
import json
import os
import sys
import threading
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from rollout.postprocess.scoring.code.checks import REACHED, SCOPES, counted, has_checks
from rollout.postprocess.scoring.code.failures import (
    PROGRAM,
    SETUP,
    TEST,
    add_source,
    describe,
    is_of_tests,
)
from rollout.postprocess.scoring.code.steps import steps_of

RECURSION = 50_000  # the limit in contest harnesses
Send = Callable[[dict[str, Any]], None]


class UnusableTests(Exception):
    """The row's tests can't run with any program."""


def try_out(work: dict[str, Any], report: int) -> None:
    """Run the program of `work` and its tests, write to fd `report`, and end the process."""
    send, code, unittests = _sender(report, work["key"]), 0, None
    if any(step[0] == "unittest" for unit in work.get("units", ()) for step in unit["steps"]):
        from rollout.postprocess.scoring.code import unittests
    del sys.path[0]  # added by contained.py to import this module
    for name in [name for name in sys.modules if name.partition(".")[0] == "rollout"]:
        del sys.modules[name]
    try:
        if work["kind"] == "asserts":
            _by_asserts(work, send, unittests)
        elif work["kind"] == "calls":
            _by_calls(work, send)
        else:
            _as_program(work)
        send({"is_done": True})
    except UnusableTests as error:
        send({"unscorable": str(error)})
    except BaseException as error:  # of the program; errors of the tests are caught earlier
        send(describe(error))
        code = 1
    for stream in (sys.stdout, sys.__stdout__):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            code = 1
    os._exit(code)  # also ends threads


def _sender(report: int, key: str) -> Send:
    """Return the function that writes a line of the report. Lines without the key are ignored.

    It shortens all errors but the first.
    """
    write, dumps, has_error = os.write, json.dumps, False

    def send(message: dict[str, Any]) -> None:
        nonlocal has_error
        if "error" in message:
            if has_error:
                message = message | {"error": message["error"][:40], "trace": ""}
            has_error = True
        write(report, dumps({"key": key} | message).encode() + b"\n")

    return send


def _run(text: str | ast.Module, file: str, names: dict[str, Any]) -> None:
    exec(compile(text, file, "exec", dont_inherit=True), names)


def _module(work: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the namespace of a new module for the program, under every name tests import."""
    module = ModuleType(name)
    for alias in (name, "__main__", *work["modules"]):
        sys.modules[alias] = module
    module.__dict__["__builtins__"] = builtins
    return module.__dict__


def _as_program(work: dict[str, Any]) -> None:
    """Run the program as __main__, for its output."""
    sys.setrecursionlimit(RECURSION)
    add_source(work["program"], PROGRAM)
    try:
        _run(work["program"], PROGRAM, _module(work, "__main__"))
    except SystemExit as error:
        if error.code not in (None, 0):
            raise
    threading._shutdown()  # as Python does at exit
    atexit._run_exitfuncs()


def _namespaces(work: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run the setup code and the program. Return the program's names and those for the tests.

    The setup code runs before the program and again after it, because it may need the program's
    classes. Its definitions replace the program's, except the tested names. Helpers from the
    prompt are only for the tests.
    """
    names, setup, own = _module(work, "program"), work["setup"], dict(vars(builtins))
    streams = sys.stdin, sys.stdout, sys.stderr
    if setup:
        add_source(setup, SETUP)
        try:
            _run(setup, SETUP, names)
        except NameError:
            pass  # it needs the program
        except BaseException as error:
            raise UnusableTests(f"the setup code fails: {describe(error)['error']}") from error
    add_source(work["program"], PROGRAM)
    _run(work["program"], PROGRAM, names)
    vars(builtins).update(own)
    sys.stdin, sys.stdout, sys.stderr = streams
    wanted = set(work["names"])
    if setup:
        programs = {name: names[name] for name in wanted & set(names)}
        _run(setup, SETUP, names)
        names.update(programs)
    solution = names.get("Solution")
    if isinstance(solution, type):  # LeetCode: tests call its methods as functions
        for name in wanted - set(names):
            if hasattr(solution, name):
                names[name] = getattr(solution(), name)
    seen = {n: value for n, value in names.items() if n in wanted or n not in own}
    if work["helpers"]:
        scope = dict(seen)
        _run(work["helpers"], SETUP, scope)
        seen.update({n: v for n, v in scope.items() if not isinstance(v, type)})
    # A test of the program's own `sum` must not pass with Python's.
    pythons = {n: value for n, value in own.items() if n not in wanted or n in names}
    return names, seen | {"__builtins__": pythons, "__name__": "program"}


def _by_asserts(work: dict[str, Any], send: Send, unittests: Any) -> None:
    """Run each unit of tests in one namespace, and call the tests that it defines."""
    names, seen = _namespaces(work)
    if unittests:
        unittests.restore()
    count = [0]

    def candidate() -> Any:
        return eval(compile(work["target"], TEST, "eval"), dict(names))

    def run_step(name: str, has_own: bool, step: Callable[[], Any]) -> dict[str, Any]:
        send({"at": name})
        count[0] = 0
        error = _error_of(step, work["modules"])
        if error is None and has_own and not count[0]:
            error = {"error": "it ended without reaching any of its checks", "is_empty": True}
        return error or {"passed": 1, "reached": count[0]}

    seen[REACHED] = lambda: count.__setitem__(0, count[0] + 1)
    for number, unit in enumerate(work["units"]):
        label = f"test {number + 1}"
        add_source(unit["text"], TEST)
        tree = ast.parse(unit["text"])
        tree.body = [s for i, s in enumerate(tree.body) if i not in unit["dropped"]]
        has_own = any(has_checks(s) for s in tree.body if not isinstance(s, SCOPES))
        seen["__name__"] = "__main__" if unit["is_main"] else "program"
        classes = {name: value for name, value in seen.items() if isinstance(value, type)}
        top = run_step(label, has_own, partial(_run, counted(tree), TEST, seen))
        if "error" in top:
            send(top | {"unit": number, "tests": max(1, unit["num_tests"])})
            continue
        for name, value in classes.items():  # a redefined class replaces the program's
            if isinstance(seen.get(name), type) and seen[name] is not value:
                names[name] = seen[name]
        steps = []
        for kind, name, *methods in unit["steps"]:
            if kind == "unittest":
                steps += unittests.steps_of_case(seen[name])
            else:
                steps += steps_of(kind, name, methods, seen, candidate)
        send({"unit": number, "tests": len(steps) + unit["has_top"]})
        if unit["has_top"]:
            send(top)
        for step in steps:
            send(run_step(*step))


def _error_of(step: Callable[[], Any], modules: list[str]) -> dict[str, Any] | None:
    """Run a test and return its error, or None. Raises UnusableTests if a module is missing."""
    try:
        step()
    except BaseException as error:
        root = (getattr(error, "name", None) or "").partition(".")[0]
        is_programs = root in ("program", *modules)
        if isinstance(error, ImportError) and is_of_tests(error) and not is_programs:
            raise UnusableTests(
                f"the tests import {error.name}, which is not installed here"
            ) from error
        return describe(error)
    return None


def _by_calls(work: dict[str, Any], send: Send) -> None:
    """Call the function with each list of arguments, and compare the results."""
    sys.setrecursionlimit(RECURSION)
    target = work["target"]
    names, _ = _namespaces(work)
    for number, (arguments, right) in enumerate(work["calls"]):
        send({"at": f"test {number + 1}"})
        try:
            owner = names.get("Solution")
            if isinstance(owner, type) and hasattr(owner, target):
                function = getattr(owner(), target)
            elif target in names:
                function = names[target]
            else:
                raise NameError(f"name {target!r} is not defined")
            found = _plain(function(*arguments))
            if any(is_same(found, _plain(value)) for value in right):
                send({"passed": 1})
            else:
                send({"error": f"{target} returned {found!r:.80}, not {right[-1]!r:.80}"})
        except BaseException as error:
            send(describe(error))


def _plain(value: Any) -> Any:
    """Return a result in JSON's types: tuples as lists, keys of mappings as text."""
    if type(value) in (list, tuple):
        return [_plain(item) for item in value]
    if type(value) is dict:
        return {str(key): _plain(item) for key, item in value.items()}
    if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist"):
        return _plain(value.tolist())
    if value is None or type(value) in (int, float, str, bool):
        return value
    raise TypeError(f"it returned a {type(value).__name__}, which is not a JSON type")


def is_same(found: Any, right: Any) -> bool:
    """Whether two values in JSON's types are equal, floats within 1e-6."""
    if isinstance(found, list) and isinstance(right, list):
        return len(found) == len(right) and all(map(is_same, found, right))
    if isinstance(found, dict) and isinstance(right, dict):
        return found.keys() == right.keys() and all(is_same(found[k], right[k]) for k in found)
    if float in (type(found), type(right)) and {type(found), type(right)} <= {int, float}:
        try:
            return found == right or abs(found - right) <= 1e-6 * max(1.0, abs(right))
        except OverflowError:
            return False
    return found == right

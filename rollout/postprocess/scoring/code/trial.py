"""A program is tried by its tests, in the process that contained.py has made for it.

Promises: the program runs before a test is read; the tests' own names, Python's and unittest's win
over the program's; a test that passes tells how many checks it reached. Each result is written at
once, so that a program that is killed keeps what it passed.

Standard library only: it is imported beside a program that is tried (see contained.py).
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
    is_of_tests,
    remember,
    told,
)
from rollout.postprocess.scoring.code.steps import steps_of

RECURSION = 50_000  # what the harnesses of contests allow
Say = Callable[[dict[str, Any]], None]


class Fault(Exception):
    """Why the row's tests can't be run, whatever the program is."""


def try_out(work: dict[str, Any], report: int) -> None:
    """Run the program of `work` and its tests, tell `report`, and end the process."""
    say, code, unittests = _teller(report, work["key"]), 0, None
    if any(step[0] == "unittest" for unit in work.get("units", ()) for step in unit["steps"]):
        from rollout.postprocess.scoring.code import unittests
    del sys.path[0]  # by which contained.py found this
    for name in [name for name in sys.modules if name.partition(".")[0] == "rollout"]:
        del sys.modules[name]
    try:
        if work["kind"] == "asserts":
            _by_asserts(work, say, unittests)
        elif work["kind"] == "calls":
            _by_calls(work, say)
        else:
            _as_program(work, say)
        say({"is_done": True})
    except Fault as fault:
        say({"fault": str(fault)})
    except BaseException as error:  # the program's own; those of tests are caught there
        say(told(error))
        code = 1
    for stream in (sys.stdout, sys.__stdout__):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            code = 1
    os._exit(code)  # whatever threads there are


def _teller(report: int, key: str) -> Say:
    """Writes lines of the report. Without the key a line does not count."""
    write, dumps, told_once = os.write, json.dumps, []

    def say(words: dict[str, Any]) -> None:
        if told_once and "error" in words:
            words = words | {"error": words["error"][:40], "trace": ""}
        told_once.extend(["error"] if "error" in words else [])
        write(report, dumps({"key": key} | words).encode() + b"\n")

    return say


def _run(text: str | ast.Module, file: str, names: dict[str, Any]) -> None:
    exec(compile(text, file, "exec", dont_inherit=True), names)


def _module(work: dict[str, Any], name: str) -> dict[str, Any]:
    """The names of a new module, which the program is, however tests import it."""
    module = ModuleType(name)
    for alias in (name, "__main__", *work["modules"]):
        sys.modules[alias] = module
    module.__dict__["__builtins__"] = builtins
    return module.__dict__


def _as_program(work: dict[str, Any], say: Say) -> None:
    """Run it as a program of its own, whose output counts."""
    sys.setrecursionlimit(RECURSION)
    remember(work["program"], PROGRAM)
    try:
        _run(work["program"], PROGRAM, _module(work, "__main__"))
    except SystemExit as error:
        if error.code not in (None, 0):
            raise
    threading._shutdown()  # as Python does at its end
    atexit._run_exitfuncs()


def _prepared(work: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run set-up code and program. Returns the program's names, and those that the tests see.

    Set-up code runs before the program and again after it: it may need the program's classes, and
    what the program defines anew does not replace it. Helpers are the prompt's, for tests alone.
    """
    names, setup, own = _module(work, "program"), work["setup"], dict(vars(builtins))
    streams = sys.stdin, sys.stdout, sys.stderr
    if setup:
        remember(setup, SETUP)
        try:
            _run(setup, SETUP, names)
        except NameError:
            pass  # it needs the program
        except BaseException as error:
            raise Fault(f"the set-up code fails: {told(error)['error']}") from error
    remember(work["program"], PROGRAM)
    _run(work["program"], PROGRAM, names)
    vars(builtins).update(own)
    sys.stdin, sys.stdout, sys.stderr = streams
    wanted = set(work["names"])
    if setup:
        programs = {name: names[name] for name in wanted & set(names)}
        _run(setup, SETUP, names)
        names.update(programs)
    solution = names.get("Solution")
    if isinstance(solution, type):  # LeetCode's: its methods stand for functions
        for name in wanted - set(names):
            if hasattr(solution, name):
                names[name] = getattr(solution(), name)
    seen = {n: value for n, value in names.items() if n in wanted or n not in own}
    if work["helpers"]:
        scope = dict(seen)
        _run(work["helpers"], SETUP, scope)
        seen.update({n: v for n, v in scope.items() if not isinstance(v, type)})
    # A test of the program's own `sum` is not to pass by Python's.
    pythons = {n: value for n, value in own.items() if n not in wanted or n in names}
    return names, seen | {"__builtins__": pythons, "__name__": "program"}


def _by_asserts(work: dict[str, Any], say: Say, unittests: Any) -> None:
    """Run each unit of tests in one namespace, and what it defines to be called."""
    names, seen = _prepared(work)
    if unittests:
        unittests.restore()
    count = [0]

    def candidate() -> Any:
        return eval(compile(work["target"], TEST, "eval"), dict(names))

    def tried(name: str, has_own: bool, step: Callable[[], Any]) -> dict[str, Any]:
        say({"at": name})
        count[0] = 0
        error = _error_of(step, work["modules"])
        if error is None and has_own and not count[0]:
            error = {"error": "it ended without reaching one of its checks", "is_empty": True}
        return error or {"passed": 1, "reached": count[0]}

    seen[REACHED] = lambda: count.__setitem__(0, count[0] + 1)
    for number, unit in enumerate(work["units"]):
        label = f"test {number + 1}"
        remember(unit["text"], TEST)
        tree = ast.parse(unit["text"])
        tree.body = [s for i, s in enumerate(tree.body) if i not in unit["dropped"]]
        has_own = any(has_checks(s) for s in tree.body if not isinstance(s, SCOPES))
        seen["__name__"] = "__main__" if unit["is_main"] else "program"
        classes = {name: value for name, value in seen.items() if isinstance(value, type)}
        said = tried(label, has_own, partial(_run, counted(tree), TEST, seen))
        if "error" in said:
            say(said | {"unit": number, "tests": max(1, unit["num_tests"])})
            continue
        for name, value in classes.items():  # as in one file, there is one class of a name
            if isinstance(seen.get(name), type) and seen[name] is not value:
                names[name] = seen[name]
        steps = []
        for kind, name, *methods in unit["steps"]:
            if kind == "unittest":
                steps += unittests.steps_of_case(seen[name])
            else:
                steps += steps_of(kind, name, methods, seen, candidate)
        say({"unit": number, "tests": len(steps) + unit["has_top"]})
        if unit["has_top"]:
            say(said)
        for step in steps:
            say(tried(*step))


def _error_of(step: Callable[[], Any], modules: list[str]) -> dict[str, Any] | None:
    """What a test raised. Raises Fault where it misses a module that is not the program."""
    try:
        step()
    except BaseException as error:
        root = (getattr(error, "name", None) or "").partition(".")[0]
        is_programs = root in ("program", *modules)
        if isinstance(error, ImportError) and is_of_tests(error) and not is_programs:
            raise Fault(f"the tests import {error.name}, which is not installed here") from error
        return told(error)
    return None


def _by_calls(work: dict[str, Any], say: Say) -> None:
    """Call the function with each list of arguments, and compare what it returns."""
    sys.setrecursionlimit(RECURSION)
    target = work["target"]
    names, _ = _prepared(work)
    for number, (arguments, right) in enumerate(work["calls"]):
        say({"at": f"test {number + 1}"})
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
                say({"passed": 1})
            else:
                say({"error": f"{target} returned {found!r:.80}, not {right[-1]!r:.80}"})
        except BaseException as error:
            say(told(error))


def _plain(value: Any) -> Any:
    """A result in JSON's types: tuples are lists, and the keys of mappings are texts."""
    if type(value) in (list, tuple):
        return [_plain(item) for item in value]
    if type(value) is dict:
        return {str(key): _plain(item) for key, item in value.items()}
    if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist"):
        return _plain(value.tolist())
    if value is None or type(value) in (int, float, str, bool):
        return value
    raise TypeError(f"it returned a {type(value).__name__}, and JSON has none")


def is_same(found: Any, right: Any) -> bool:
    """Equal in JSON's types, floats within 1e-6."""
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

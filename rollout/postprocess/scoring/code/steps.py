"""Prepare the tests of check(candidate), and of pytest's functions and classes.

Must import only the standard library (see contained.py).
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from rollout.postprocess.scoring.code.checks import REACHED

Step = tuple[str, bool, Callable[[], Any]]  # its name, whether it has checks, its function


def steps_of(
    kind: str, name: str, methods: list[str], seen: dict[str, Any], candidate: Callable[[], Any]
) -> list[Step]:
    """Return the calls for a name that the tests define, in order."""
    if kind == "check":
        return [(name, True, lambda: seen[name](candidate()))]
    if kind == "function":
        return [(name, has_own_checks(seen[name]), call) for call in _calls(seen[name])]
    return [step for method in methods for step in _of_class(seen[name], method)]


def _of_class(case: type, method: str) -> Iterator[Step]:
    """Yield a method of a pytest class, once for each set of arguments."""

    def run(arguments: dict[str, Any]) -> None:
        one = case()
        getattr(one, "setup_method", lambda: None)()
        try:
            getattr(one, method)(**arguments)
        finally:
            getattr(one, "teardown_method", lambda: None)()

    function = getattr(case, method)
    for arguments in _parameters(function, case):
        yield f"{case.__name__}.{method}", has_own_checks(function), partial(run, arguments)


def _calls(function: Callable[..., Any]) -> list[Callable[[], Any]]:
    return [partial(function, **arguments) for arguments in _parameters(function)]


def _parameters(*marked: Any) -> list[dict[str, Any]]:
    """Return the arguments that pytest.mark.parametrize passes to a test, one mapping per call."""
    calls: list[dict[str, Any]] = [{}]
    for mark in [mark for one in marked for mark in getattr(one, "pytestmark", ())]:
        if mark.name == "skip" or (mark.name == "skipif" and any(mark.args)):
            return []
        if mark.name != "parametrize":
            continue
        given = dict(zip(("argnames", "argvalues"), mark.args, strict=False)) | mark.kwargs
        keys, values = given["argnames"], given["argvalues"]
        keys = keys.replace(",", " ").split() if isinstance(keys, str) else list(keys)
        rows = []
        for value in values:
            if type(value).__name__ == "ParameterSet":
                value = value.values
            elif len(keys) == 1:
                value = (value,)
            rows.append(dict(zip(keys, value, strict=True)))
        calls = [call | row for call in calls for row in rows]
    return calls


def has_own_checks(function: Any) -> bool:
    """Whether the code of a test has checks, so that it must reach one."""
    while hasattr(function, "__wrapped__"):  # mock.patch and others
        function = function.__wrapped__
    return REACHED in getattr(getattr(function, "__code__", None), "co_names", ())

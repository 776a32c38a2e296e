"""The tests of unittest classes, with their set-up and tear-down.

Standard library only: it is imported beside a program that is tried (see contained.py), and only
where there are such tests, since unittest takes a while to import.
"""

import unittest
from collections.abc import Iterator
from functools import partial
from typing import Any

from rollout.postprocess.scoring.code.steps import Step, own_checks

OWN = dict(vars(unittest.TestCase))


def restore() -> None:
    """Give unittest's own assertions back their meaning."""
    for name, value in OWN.items():
        if callable(value) and vars(unittest.TestCase).get(name) is not value:
            setattr(unittest.TestCase, name, value)


def steps_of_case(case: type) -> Iterator[Step]:
    """The methods of a unittest class; one that is skipped by a decorator is no test."""
    for method in unittest.defaultTestLoader.getTestCaseNames(case):
        function = getattr(case, method)
        if not any(getattr(owner, "__unittest_skip__", False) for owner in (case, function)):
            run = partial(_run, case(method))
            yield f"{case.__name__}.{method}", own_checks(function), run


def _run(test: unittest.TestCase) -> None:
    result = Errors()
    unittest.TestSuite([test]).run(result)
    if result.first is not None:
        raise result.first


class Errors(unittest.TestResult):
    """Keeps the first error of a test. Skipped halfway, or passed against all hope, is one."""

    first: BaseException | None = None

    def addError(self, test: Any, error: Any) -> None:
        self.first = self.first or error[1].with_traceback(error[2])

    addFailure = addError

    def addSubTest(self, test: Any, subtest: Any, error: Any) -> None:
        if error is not None:
            self.addError(test, error)

    def addSkip(self, test: Any, reason: str) -> None:
        self.first = self.first or AssertionError(f"it was skipped: {reason}")

    def addUnexpectedSuccess(self, test: Any) -> None:
        self.first = self.first or AssertionError("it was expected to fail, and passed")

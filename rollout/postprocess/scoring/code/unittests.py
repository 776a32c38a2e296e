"""Run the tests of unittest classes, with setup and teardown.

Must import only the standard library (see contained.py). It is imported only if there are such
tests, because importing unittest is slow.
"""

import unittest
from collections.abc import Iterator
from functools import partial
from typing import Any

from rollout.postprocess.scoring.code.steps import Step, has_own_checks

ORIGINALS = dict(vars(unittest.TestCase))


def restore() -> None:
    """Restore unittest's assertions, which a program may have replaced."""
    for name, value in ORIGINALS.items():
        if callable(value) and vars(unittest.TestCase).get(name) is not value:
            setattr(unittest.TestCase, name, value)


def steps_of_case(case: type) -> Iterator[Step]:
    """Yield the test methods of a unittest class, without those skipped by a decorator."""
    for method in unittest.defaultTestLoader.getTestCaseNames(case):
        function = getattr(case, method)
        if not any(getattr(owner, "__unittest_skip__", False) for owner in (case, function)):
            run = partial(_run, case(method))
            yield f"{case.__name__}.{method}", has_own_checks(function), run


def _run(test: unittest.TestCase) -> None:
    result = FirstError()
    unittest.TestSuite([test]).run(result)
    if result.first is not None:
        raise result.first


class FirstError(unittest.TestResult):
    """Keep the first error of a test. A skip during the test or an unexpected success is one."""

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
        self.first = self.first or AssertionError("it was expected to fail, but passed")

"""Run programs in separate processes, and collect the outcome of their tests."""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rollout.postprocess.scoring.code.contests import is_same_output
from rollout.postprocess.scoring.code.layouts import Kind, Tests
from rollout.postprocess.scoring.scorers import Unscorable

CONTAINED = Path(__file__).with_name("contained.py")
TOO_MUCH_OUTPUT = "wrote more than code.output_mib"
MAX_REPORT_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """The time, memory and output that a program may use."""

    seconds: float
    memory_bytes: int
    output_bytes: int


@dataclass(slots=True)
class Outcome:
    """The outcome of a program's tests."""

    num_tests: int
    num_passed: int = 0
    num_reached: int = 0  # checks that passing tests reached
    num_empty: int = 0  # tests that ended without reaching any of their checks
    error: str | None = None  # the first
    trace: str | None = None

    def add_error(self, error: str, trace: str | None, at: str | None = None) -> None:
        """Keep the first error, with the name of its test if there are several tests."""
        if self.error is None:
            error = TOO_MUCH_OUTPUT if "[Errno 27]" in error else error
            self.error = f"{at}: {error}" if at and self.num_tests > 1 else error
            self.trace = trace or None


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one process."""

    output: str  # its stdout
    reports: list[dict[str, Any]] = field(default_factory=list)  # by its tests
    error: str | None = None  # why it was killed or failed


def outcome_of(program: str, tests: Tests, limits: Limits, helpers: str = "") -> Outcome:
    """Run all of a program's tests within `limits`. Raises Unscorable if they can't run."""
    deadline = time.monotonic() + limits.seconds
    work = {
        "kind": tests.kind.value,
        "program": program,
        "setup": tests.setup,
        "helpers": helpers,
        "names": tests.names,
        "target": tests.target,
        "modules": tests.modules,
    }
    if tests.kind is Kind.stdin:
        return _by_output(work, tests.items, limits, deadline)
    items, key = tests.items, "calls"
    if tests.kind is Kind.asserts:
        items, key = [asdict(unit) | {"num_tests": unit.num_tests} for unit in items], "units"
    result = run_contained(work | {key: items}, limits, deadline)
    outcome = _by_report(result, items, tests.kind)
    has_ended = outcome.num_passed + outcome.num_empty == outcome.num_tests
    if tests.kind is Kind.asserts and has_ended and not outcome.num_reached:
        raise Unscorable("the tests ran nothing: none of their checks was reached")
    return outcome


def _by_output(
    work: dict[str, Any], pairs: list[tuple[str, str]], limits: Limits, deadline: float
) -> Outcome:
    outcome = Outcome(len(pairs))
    for number, (given, expected) in enumerate(pairs, 1):
        at = f"test {number}"
        if time.monotonic() > deadline:
            outcome.add_error(f"not run: timeout_s={limits.seconds:g} was used up", None, at)
            break
        result = run_contained(work, limits, deadline, given)
        failure = next((report for report in result.reports if "error" in report), {})
        if error := failure.get("error") or result.error:
            outcome.add_error(error, failure.get("trace"), at)
        elif is_same_output(result.output, expected):
            outcome.num_passed += 1
        else:
            printed = f"printed {_short(result.output)}, not {_short(expected)}"
            outcome.add_error(printed, None, at)
    return outcome


def _short(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= 80 else text[:80] + "...")


def _by_report(result: Result, items: list[Any], kind: Kind) -> Outcome:
    known = {i: unit["num_tests"] for i, unit in enumerate(items) if kind is Kind.asserts}
    known |= {report["unit"]: report["tests"] for report in result.reports if "unit" in report}
    outcome = Outcome(sum(known.values()) if kind is Kind.asserts else len(items))
    at, is_done = None, False
    for report in result.reports:
        if "unscorable" in report:
            raise Unscorable(report["unscorable"])
        at = report.get("at", at)
        is_done |= "is_done" in report
        outcome.num_passed += report.get("passed", 0)
        outcome.num_reached += report.get("reached", 0)
        outcome.num_empty += report.get("is_empty", False)
        if "error" in report:
            outcome.add_error(report["error"], report.get("trace"), at)
    if not is_done:
        outcome.add_error(result.error or "the program ended before its tests did", None, at)
    return outcome


def run_contained(work: dict[str, Any], limits: Limits, deadline: float, given: str = "") -> Result:
    """Run one program in its own process, session, namespaces and directory.

    `given` is its stdin. It is killed at `deadline`, in seconds of time.monotonic.
    """
    with ExitStack() as stack:
        directory = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="rollout-", ignore_cleanup_errors=True)
        )
        # Files without a name, so that the program finds none of them in its directory.
        stdin, output, report, order = (
            stack.enter_context(tempfile.TemporaryFile()) for _ in range(4)
        )
        key = secrets.token_hex(16)  # lines without it were not written by trial.py
        limit = {"memory": limits.memory_bytes, "seconds": max(1, int(limits.seconds + 1))}
        order.write(json.dumps(work | limit | {"inside": directory, "key": key}).encode())
        stdin.write(given.encode(errors="replace"))
        order.seek(0)
        stdin.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-I", str(CONTAINED), str(order.fileno()), str(report.fileno()),
             str(limits.output_bytes), str(os.getpid())],
            stdin=stdin, stdout=output, stderr=subprocess.DEVNULL, cwd=directory,
            pass_fds=(order.fileno(), report.fileno()), start_new_session=True,
            env={"PATH": "/usr/bin:/bin", "HOME": directory, "TMPDIR": directory,
                 "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        error = None
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            error = f"took longer than timeout_s={limits.seconds:g}"
        finally:
            _kill(process)
        output.seek(0)
        printed = output.read(limits.output_bytes)
        report.seek(0)
        reports = _reports_in(report.read(MAX_REPORT_BYTES), key)
    if error is None and process.returncode:
        error = _exit_error(process.returncode, len(printed) >= limits.output_bytes)
    return Result(printed.decode(errors="replace"), reports, error)


def _reports_in(text: bytes, key: str) -> list[dict[str, Any]]:
    reports = []
    for line in text.splitlines():
        with suppress(ValueError):
            report = json.loads(line)
            if isinstance(report, dict) and report.get("key") == key:
                reports.append(report)
    return reports


def _kill(process: subprocess.Popen) -> None:
    """Kill the processes left in its session's group, and wait."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _exit_error(code: int, is_full: bool) -> str:
    if is_full:
        return TOO_MUCH_OUTPUT
    number = code - 128 if code > 128 else -code
    if code < 0 or code > 128:
        with suppress(ValueError):
            name = signal.Signals(number).name
            known = {"SIGXFSZ": TOO_MUCH_OUTPUT, "SIGXCPU": "used too much CPU time"}
            return known.get(name, f"killed by {name}")
    return f"exited with code {code}"

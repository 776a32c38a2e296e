"""Programs started in processes of their own, and the outcome of their tests."""

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
TOO_LONG = "wrote more than code.output_mib"
MAX_REPORT_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may take."""

    seconds: float
    memory_bytes: int
    output_bytes: int


@dataclass(slots=True)
class Outcome:
    """What came of a program's tests."""

    num_tests: int
    num_passed: int = 0
    num_reached: int = 0  # checks that passing tests reached
    num_empty: int = 0  # tests that ended without reaching one of theirs
    error: str | None = None  # the first
    trace: str | None = None

    def failed(self, error: str, trace: str | None, at: str | None = None) -> None:
        """Keep the first error, and say at which test where there are several."""
        if self.error is None:
            error = TOO_LONG if "[Errno 27]" in error else error
            self.error = f"{at}: {error}" if at and self.num_tests > 1 else error
            self.trace = trace or None


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of one process."""

    output: str  # what it printed
    said: list[dict[str, Any]] = field(default_factory=list)  # by its tests
    error: str | None = None  # why it did not end well


def outcome_of(program: str, tests: Tests, limits: Limits, helpers: str = "") -> Outcome:
    """Run a program's tests; `limits` hold for all. Raises Unscorable where they can't be run."""
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
    ran = contained(work | {key: items}, limits, deadline)
    outcome = _by_report(ran, items, tests.kind)
    is_vain = outcome.num_reached == 0 and outcome.num_passed + outcome.num_empty == (
        outcome.num_tests
    )
    if tests.kind is Kind.asserts and is_vain:
        raise Unscorable("the tests ran nothing: no check of theirs was reached")
    return outcome


def _by_output(
    work: dict[str, Any], pairs: list[tuple[str, str]], limits: Limits, deadline: float
) -> Outcome:
    outcome = Outcome(len(pairs))
    for number, (given, wanted) in enumerate(pairs, 1):
        at = f"test {number}"
        if time.monotonic() > deadline:
            outcome.failed(f"not run: timeout_s={limits.seconds:g} had passed", None, at)
            break
        ran = contained(work, limits, deadline, given)
        own = next((said for said in ran.said if "error" in said), {})
        if error := own.get("error") or ran.error:
            outcome.failed(error, own.get("trace"), at)
        elif is_same_output(ran.output, wanted):
            outcome.num_passed += 1
        else:
            outcome.failed(f"printed {_short(ran.output)}, not {_short(wanted)}", None, at)
    return outcome


def _short(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= 80 else text[:80] + "...")


def _by_report(ran: Ran, items: list[Any], kind: Kind) -> Outcome:
    known = {i: unit["num_tests"] for i, unit in enumerate(items) if kind is Kind.asserts}
    known |= {said["unit"]: said["tests"] for said in ran.said if "unit" in said}
    outcome = Outcome(sum(known.values()) if kind is Kind.asserts else len(items))
    at, is_done = None, False
    for said in ran.said:
        if "fault" in said:
            raise Unscorable(said["fault"])
        at = said.get("at", at)
        is_done |= "is_done" in said
        outcome.num_passed += said.get("passed", 0)
        outcome.num_reached += said.get("reached", 0)
        outcome.num_empty += said.get("is_empty", False)
        if "error" in said:
            outcome.failed(said["error"], said.get("trace"), at)
    if not is_done:
        outcome.failed(ran.error or "it ended before its tests had", None, at)
    return outcome


def contained(work: dict[str, Any], limits: Limits, deadline: float, given: str = "") -> Ran:
    """Run one program in a process, a session, namespaces and a directory of its own."""
    with ExitStack() as stack:
        place = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="rollout-", ignore_cleanup_errors=True)
        )
        # Files without a name: the program finds none of them in its directory.
        stdin, output, report, order = (
            stack.enter_context(tempfile.TemporaryFile()) for _ in range(4)
        )
        key = secrets.token_hex(16)  # lines without it are not of our making
        limit = {"memory": limits.memory_bytes, "seconds": max(1, int(limits.seconds + 1))}
        order.write(json.dumps(work | limit | {"inside": place, "key": key}).encode())
        stdin.write(given.encode(errors="replace"))
        order.seek(0)
        stdin.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-I", str(CONTAINED), str(order.fileno()), str(report.fileno()),
             str(limits.output_bytes), str(os.getpid())],
            stdin=stdin, stdout=output, stderr=subprocess.DEVNULL, cwd=place,
            pass_fds=(order.fileno(), report.fileno()), start_new_session=True,
            env={"PATH": "/usr/bin:/bin", "HOME": place, "TMPDIR": place, "LANG": "C.UTF-8",
                 "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
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
        said = _said(report.read(MAX_REPORT_BYTES), key)
    if error is None and process.returncode:
        error = _how_it_ended(process.returncode, len(printed) >= limits.output_bytes)
    return Ran(printed.decode(errors="replace"), said, error)


def _said(report: bytes, key: str) -> list[dict[str, Any]]:
    lines = []
    for line in report.splitlines():
        with suppress(ValueError):
            said = json.loads(line)
            if isinstance(said, dict) and said.get("key") == key:
                lines.append(said)
    return lines


def _kill(process: subprocess.Popen) -> None:
    """Kill what is left of its session's group, and wait."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _how_it_ended(code: int, is_full: bool) -> str:
    if is_full:
        return TOO_LONG
    number = code - 128 if code > 128 else -code
    if code < 0 or code > 128:
        with suppress(ValueError):
            name = signal.Signals(number).name
            return {"SIGXFSZ": TOO_LONG, "SIGXCPU": "took too long"}.get(name, f"ended by {name}")
    return f"ended with exit code {code}"

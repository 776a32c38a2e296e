"""scorer=code: the last Python block of a response, run against tests; the share that pass.

Tests are asserts as text, a list of them, or pairs of input and output. A program that fails,
takes too long or too much scores 0, and `score_errors` tells how. Each program runs in a process
of its own (see contained.py): that contains accidents. It is no sandbox for hostile code.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rollout.errors import UserError
from rollout.scoring.scorers import Mark, Response, Scorer, Unscorable
from rollout.scoring.settings import Postprocess

CONTAINED = Path(__file__).with_name("contained.py")
FENCED = re.compile(r"```([A-Za-z0-9_+-]*)[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)
MAX_REPORT_BYTES = 1_000_000
PYTHON = ("python", "py", "python3", "")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may take."""

    seconds: float
    memory_bytes: int
    output_bytes: int


def columns(settings: Postprocess) -> dict[str, str]:
    """The tests' column."""
    return {"code.tests_key": settings.code.tests_key}


def load(settings: Postprocess) -> Scorer:
    """Raises UserError where running code was not allowed, or can't be contained here."""
    if not settings.code.allow:
        raise UserError(
            "scorer=code runs what the model wrote on this machine: contained (time, memory, no "
            "network, own directory), but no sandbox for hostile code; type code.allow=true"
        )
    if sys.platform != "linux":
        raise UserError(f"scorer=code contains programs on Linux only, and this is {sys.platform}")
    code = settings.code
    limits = Limits(settings.timeout_s, int(code.memory_gib * 2**30), int(code.output_mib * 2**20))

    def score(response: Response, row: dict[str, Any]) -> Mark:
        text = response.text
        tests = tests_of(row[code.tests_key], code.tests_key)
        program = program_in(text)
        if program is None:
            return Mark(0.0, None, "the response has no Python block")
        num_passed, error = run(program, tests, limits)
        return Mark(num_passed / len(tests), program, error)

    return score


def program_in(text: str) -> str | None:
    """The last fenced block that is Python, or says not what it is; without any fence, all."""
    blocks = FENCED.findall(text)
    if not blocks:
        return text if text.strip() else None
    named = [block for language, block in blocks if language.lower() in PYTHON[:-1]]
    unnamed = [block for language, block in blocks if not language]
    return (named or unnamed or [None])[-1]


def tests_of(value: Any, key: str) -> list[str] | list[tuple[str, str]]:
    """Asserts as texts, or pairs of input and output. Raises Unscorable for anything else."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        with suppress(ValueError):
            value = json.loads(value)
    if isinstance(value, str) and value.strip():
        return [value]
    if isinstance(value, dict) and not value.get("fn_name"):
        inputs = value.get("inputs", value.get("input"))
        outputs = value.get("outputs", value.get("output"))
        if isinstance(inputs, str):
            inputs, outputs = [inputs], [outputs]
        if isinstance(inputs, list) and isinstance(outputs, list) and len(inputs) == len(outputs):
            value = [{"input": i, "output": o} for i, o in zip(inputs, outputs, strict=True)]
    if isinstance(value, list) and value:
        if all(isinstance(test, str) for test in value):
            return value
        pairs = [_pair(test) for test in value]
        if all(pair is not None for pair in pairs):
            return pairs
    raise Unscorable(f"{key} holds no tests: asserts as text, a list of them, or input and output")


def _pair(test: Any) -> tuple[str, str] | None:
    given = (test.get("input"), test.get("output")) if isinstance(test, dict) else None
    return given if given and all(isinstance(text, str) for text in given) else None


def run(
    program: str, tests: list[str] | list[tuple[str, str]], limits: Limits
) -> tuple[int, str | None]:
    """How many tests the program passes, and what went wrong first. `limits` hold for all."""
    deadline = time.monotonic() + limits.seconds
    if isinstance(tests[0], str):
        return _asserted(program, tests, limits, deadline)
    num_passed, first = 0, None
    for given, wanted in tests:
        if time.monotonic() > deadline:
            return num_passed, first or f"took longer than timeout_s={limits.seconds:g}"
        ran = contained({"program": program, "tests": None}, limits, deadline, given)
        error = ran.error
        if error is None and _lines(ran.output) != _lines(wanted):
            error = f"printed {ran.output[:80]!r}, not {wanted[:80]!r}"
        num_passed += error is None
        first = first or error
    return num_passed, first


def _asserted(program: str, tests: list[str], limits: Limits, deadline: float) -> Any:
    ran = contained({"program": program, "tests": tests}, limits, deadline, "")
    if ran.error is not None:
        return 0, ran.error
    try:
        errors = json.loads(ran.report)
    except ValueError:
        return 0, "it ended before its tests had"
    if not isinstance(errors, list) or len(errors) != len(tests):
        return 0, "it ended before its tests had"
    return errors.count(None), next((str(e) for e in errors if e is not None), None)


def _lines(text: str) -> list[str]:
    """Lines without the space at their ends, and without empty ones at the end."""
    return [line.rstrip() for line in text.rstrip().split("\n")]


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of one program."""

    output: str  # what it printed
    report: str  # what its tests said
    error: str | None  # why it did not end well


def contained(work: dict[str, Any], limits: Limits, deadline: float, given: str) -> Ran:
    """Run one program in a process, a session, namespaces and a directory of its own."""
    with ExitStack() as stack:
        place = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="rollout-", ignore_cleanup_errors=True)
        )
        # Files without a name: the program finds none of them in its directory.
        stdin, output, report, order = (
            stack.enter_context(tempfile.TemporaryFile()) for _ in range(4)
        )
        limit = {"memory": limits.memory_bytes, "seconds": max(1, int(limits.seconds + 1))}
        order.write(json.dumps(work | limit | {"inside": place}).encode())
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
        said = report.read(MAX_REPORT_BYTES).decode(errors="replace")
    if error is None and process.returncode:
        error = _how_it_ended(process.returncode, said, len(printed) >= limits.output_bytes)
    return Ran(printed.decode(errors="replace"), said, error)


def _kill(process: subprocess.Popen) -> None:
    """Kill what is left of its session's group, and wait."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _how_it_ended(code: int, said: str, is_full: bool) -> str:
    if is_full:
        return "printed more than code.output_mib"
    if said.startswith('"'):  # the error that ended it
        with suppress(ValueError):
            return str(json.loads(said))
    number = code - 128 if code > 128 else -code
    if code < 0 or code > 128:
        with suppress(ValueError):
            name = signal.Signals(number).name
            return {"SIGXFSZ": "wrote more than code.output_mib", "SIGXCPU": "took too long"}.get(
                name, f"ended by {name}"
            )
    return f"ended with exit code {code}"

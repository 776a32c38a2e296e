"""Signals at any instant of any command: the exit code, one line, no row lost or doubled.

Expected (docs/output.md): exit codes 0 done, 1 failed or incomplete, 2 configuration or input
error, 130 and 143 for signals. The same command resumes, and the file of a stage appears whole or
not at all.
"""

import functools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from fuzz import Outcome
from processes import environment

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
RUN = ("data.input=in.parquet", "engine=scripted", "tracking=none", "run_dir=run")
TOLD = ("interrupted", "stopping; a second signal ends at once")


@dataclass(frozen=True)
class Command:
    """A command as typed, and the files that it leaves."""

    module: str
    words: tuple[str, ...]
    outputs: tuple[str, ...] = ()

    @property
    def typed(self) -> list[str]:
        return [sys.executable, "-m", self.module, *self.words]


COMMANDS = {
    "run": Command("rollout", RUN, ("run/output.parquet",)),
    "slow run": Command("rollout", (*RUN, "engine.scripted.step_s=0.004"), ("run/output.parquet",)),
    "scored run": Command(
        "rollout",
        (*RUN, "postprocess.scorer=exact", "postprocess.workers=2"),
        ("run/output.parquet", "run/scored.parquet"),
    ),
    "sweep": Command(
        "rollout",
        ("-m", *RUN, "sampling.temperature=0.5,1.0"),
        ("run/temperature=0.5/output.parquet", "run/temperature=1.0/output.parquet"),
    ),
    "plan": Command("rollout.plan", ("model=qwen3_4b", "device=a100_80gb")),
    "prepare": Command(
        "rollout.prepare",
        ("source=problems.jsonl", "template=Say {{ prompt }}", "output.path=made.parquet"),
        ("made.parquet",),
    ),
    "postprocess": Command(
        "rollout.postprocess",
        ("input=answered.parquet", "scorer=exact", "output.path=scored.parquet", "workers=2"),
        ("scored.parquet",),
    ),
}


def case(rng: random.Random, directory: Path) -> Outcome:
    name = rng.choice(list(COMMANDS))
    command = COMMANDS[name]
    usual_code, usual_s, expected = undisturbed(name)
    put_files(directory)
    early = rng.random() < 0.7  # the first, undisturbed one is slower
    instants = [(rng.uniform(0, 0.7) if early else rng.uniform(0.5, 1.1)) * usual_s]
    if rng.random() < 0.2:
        instants.append(instants[0] + rng.uniform(0, 0.4))
    numbers = [rng.choice(SIGNALS) for _ in instants]
    to_group = rng.random() < 0.5
    code, errors, left = signalled(command, directory, instants, numbers, to_group)
    sent = ", ".join(f"{n.name} at {t:.3f} s" for n, t in zip(numbers, instants, strict=True))
    told = f"{name} ({sent}{' to the group' * to_group}) ended with {code}: {errors[-1500:]!r}"
    kind = f"{name} finished" if code == usual_code else f"{name} stopped"
    codes = {usual_code, *(128 + n for n in numbers), *(-n for n in numbers)}
    if code not in codes:
        return Outcome(kind, f"exit code none of {sorted(codes)}: {told}")
    if "Traceback" in errors and "/rollout/" in errors:
        return Outcome(kind, f"a traceback: {told}")
    lines = [line for line in errors.splitlines() if line.startswith(f"{command.module}: ")]
    if len(lines) > 1 or any("bug in rollout" in line for line in lines):
        return Outcome(kind, f"not one line: {told}")
    if code > 128 and not (lines and TOLD[0] in lines[0]) and len(instants) == 1:
        return Outcome(kind, f"no line that says so: {told}")
    if left:
        return Outcome(kind, f"processes live on, {left}: {told}")
    is_there = [path for path in command.outputs if (directory / path).exists()]
    if "nothing was written" in errors and is_there:
        return Outcome(kind, f"{is_there} is there: {told}")
    return Outcome(kind, after(command, directory, code, expected, told))


def after(command: Command, directory: Path, code: int, expected: list, told: str) -> str:
    """Return what is wrong after the same command has run again; empty if nothing is."""
    is_stage = command.module in ("rollout.prepare", "rollout.postprocess")
    if not (is_stage and (directory / command.outputs[0]).exists()):
        again = subprocess.run(
            command.typed, cwd=directory, env=environment(),
            capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip
        if again.returncode != undisturbed_code(command):
            return f"then the same command: {again.returncode} {again.stderr[-800:]!r}; {told}"
    if tables(directory, command) != expected:
        return f"the output is another than that of an undisturbed run: {told}"
    kept = [str(p.relative_to(directory)) for p in directory.rglob(".*.tmp") if p.is_file()]
    if kept and not is_stage:
        return f"left behind: {kept}; {told}"
    return ""


def signalled(
    command: Command, directory: Path, instants: list[float], numbers: list[int], to_group: bool
) -> tuple[int, str, list[str]]:
    """Return the exit code, the output, and the processes that are still alive."""
    began = time.monotonic()
    process = subprocess.Popen(
        command.typed, cwd=directory, env=environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for instant, number in zip(instants, numbers, strict=True):
        time.sleep(max(0.0, began + instant - time.monotonic()))
        if process.poll() is None:
            (os.killpg if to_group else os.kill)(process.pid, number)
    try:
        _, errors = process.communicate(timeout=200)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return 999, process.communicate()[1], []
    end = time.monotonic() + 30
    while (left := living(process.pid)) and time.monotonic() < end:
        time.sleep(0.1)
    return process.returncode, errors, left


def living(session: int) -> list[str]:
    found = []
    for other in psutil.process_iter(["pid", "status", "cmdline"]):
        try:
            is_of_it = os.getsid(other.pid) == session
        except OSError:
            continue
        if is_of_it and other.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(" ".join(other.info["cmdline"] or ["?"])[:200])
    return found


@functools.cache
def undisturbed(name: str) -> tuple[int, float, list]:
    """Return the exit code, the seconds and the output of a command that nobody interrupts."""
    command = COMMANDS[name]
    directory = Path(tempfile.mkdtemp(prefix="undisturbed-"))
    try:
        put_files(directory)
        began = time.monotonic()
        done = subprocess.run(
            command.typed, cwd=directory, env=environment(), capture_output=True, check=False
        )
        assert done.returncode in (0, 1), done.stderr
        return done.returncode, time.monotonic() - began, tables(directory, command)
    finally:
        shutil.rmtree(directory)


def undisturbed_code(command: Command) -> int:
    return undisturbed(next(name for name, c in COMMANDS.items() if c is command))[0]


def tables(directory: Path, command: Command) -> list:
    found = [pq.read_table(directory / path) for path in command.outputs]
    return [(table.schema.names, table.to_pylist()) for table in found]


def put_files(directory: Path) -> None:
    prompts = [f"question {i}" for i in range(60)]
    answers = [f"answer {i}" for i in range(60)]
    pq.write_table(pa.table({"prompt": prompts, "answer": answers}), directory / "in.parquet")
    responses = [[f"answer {i}", "no"] for i in range(60)]
    answered = {"prompt": prompts, "answer": answers, "responses": responses}
    pq.write_table(pa.table(answered), directory / "answered.parquet")
    lines = [f'{{"prompt": "{p}", "answer": "{a}"}}' for p, a in zip(prompts, answers, strict=True)]
    (directory / "problems.jsonl").write_text("\n".join(lines))

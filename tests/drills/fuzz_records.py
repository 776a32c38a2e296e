"""Damaged records in a run's directory, with every command that reads them.

Files are written by rename or appended to, so a kill never damages a record. Nothing damaged is
ignored silently, no finished row is generated again, and none is lost. A command on a damaged
directory ends with 0, 1 or 2 and one line. With 2 the line names a file. After 0 the output is that
of an undisturbed run. Shards that were not damaged stay as they are.
"""

import functools
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fuzz import Outcome
from processes import environment

RUN = ("data.input=in.parquet", "engine=scripted", "tracking=none", "run_dir=run")
SCORED = ("postprocess.scorer=exact", "postprocess.workers=1")
SWEEP = ("-m", *RUN, "sampling.temperature=0.5,1.0")
NUM_ROWS = 12
ODD = (
    None, True, 0, -1, 3, 10**30, 1.5, float("nan"), float("inf"), "", "x", "../../etc", "a\0b",
    "\ud800", [], [1, None], {}, {"a": {"b": 1}}, [[[[]]]],
)  # fmt: skip


def undamaged_words(rng: random.Random) -> tuple[str, list[tuple[str, ...]]]:
    """Return which directory is damaged, and the commands to run on it, one after the other."""
    return rng.choice(
        [
            ("run", [("rollout", *RUN)]),
            ("run", [("rollout", "run_dir=run")]),
            ("run", [("rollout", *RUN, "dry_run=true")]),
            ("run", [("rollout", *RUN, "resume=fresh")]),
            ("run", [("rollout", *RUN, "sampling.n_samples=9")]),
            ("scored", [("rollout", *RUN, *SCORED)]),
            ("scored", [("rollout", "run_dir=run")]),
            ("scored", [("rollout.postprocess", "input=run", "scorer=exact", "workers=1",
                         "output.path=again.parquet")]),
            ("scored", [("rollout.postprocess", "input=run", "export.format=sft",
                         "export.path=sft.parquet", "select.passed=false")]),
            ("torn", [("rollout", *RUN)]),
            ("torn", [("rollout", "run_dir=run")]),
            ("sweep", [("rollout", *SWEEP)]),
            ("sweep", [("rollout", *SWEEP, "dry_run=true")]),
            ("sweep", [("rollout", "run_dir=run")]),
            ("run", [("rollout.plan", "model=qwen3_4b", "run_dir=run")]),
        ]
    )  # fmt: skip


def case(rng: random.Random, directory: Path) -> Outcome:
    kind, commands = undamaged_words(rng)
    shutil.copytree(made(kind), directory, dirs_exist_ok=True)
    files = [p for p in sorted((directory / "run").rglob("*")) if is_record(p)]
    target = rng.choice(files)
    name = str(target.relative_to(directory))
    how = damage(rng, target)
    shards = digests(directory, target)
    for words in commands:
        what = f"{kind}: {name} {how}; {' '.join(words)}"
        try:
            done = subprocess.run(
                [sys.executable, "-m", *words], cwd=directory, env=environment(),
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Outcome("hangs", f"no end within 300 s: {what}")
        outcome = judged(words, done, directory, kind, target)
        if outcome.fault:
            return Outcome(outcome.kind, f"{outcome.fault}: {what}: {done.returncode} "
                                         f"{done.stderr[-1200:]!r}")  # fmt: skip
        may_change = {"resume=fresh", "sampling.n_samples=9"} & set(words)
        if not may_change and digests(directory, target) != shards:
            return Outcome(outcome.kind, f"a shard that nobody damaged is another now: {what}")
    return outcome


def judged(words, done, directory: Path, kind: str, target: Path) -> Outcome:
    code, errors = done.returncode, done.stderr
    name = ("finished", "failed", "refused")[code] if code in (0, 1, 2) else "broke"
    if code not in (0, 1, 2) or "Traceback" in errors:
        return Outcome(name, "not 0, 1 or 2, or a traceback")
    if "bug in rollout" in errors:
        return Outcome(name, "a bug in rollout")
    lines = [line for line in errors.splitlines() if line.startswith(f"{words[0]}: ")]
    if code and len(lines) != 1 and kind != "sweep":
        return Outcome(name, f"{len(lines)} lines of error")
    if code and not any(word in errors for word in (target.name, target.parent.name, "run_dir=")):
        return Outcome(name, "the line names no file")
    if code == 0 and words[0] == "rollout" and "dry_run=true" not in words:
        found, wanted = outputs(directory), expected(kind)
        if "sampling.n_samples=9" in words:
            found, wanted = first_samples(found), first_samples(wanted)
        if found != wanted:
            return Outcome(name, "done, and the output is another")
    return Outcome(name)


def is_record(path: Path) -> bool:
    """Return whether the file is a record or a shard: not a published file, and not a log."""
    return path.is_file() and (
        path.suffix in (".json", ".yaml") or path.parent.name == "shards"
    ) and path.name != "scored.json"  # fmt: skip


def damage(rng: random.Random, path: Path) -> str:
    how = rng.choice(
        [cut, emptied, another_value, member, member, member, member_gone, as_directory, as_pipe,
         as_loop, dangling, noise, deep, gone_and_text, unreadable]
    )  # fmt: skip
    return f"{how.__name__} {how(rng, path) or ''}"


def cut(rng: random.Random, path: Path) -> str:
    size = rng.randrange(path.stat().st_size)
    os.truncate(path, size)
    return f"at {size}"


def emptied(rng: random.Random, path: Path) -> None:
    path.write_bytes(b"")


def another_value(rng: random.Random, path: Path) -> str:
    value = rng.choice(ODD)
    path.write_text(json.dumps(value))
    return repr(value)


def member(rng: random.Random, path: Path) -> str:
    """Replace one member, at any depth, by something else."""
    return changed(rng, path, lambda found, key: found.__setitem__(key, rng.choice(ODD)))


def member_gone(rng: random.Random, path: Path) -> str:
    return changed(rng, path, lambda found, key: found.__delitem__(key))


def changed(rng: random.Random, path: Path, change: Callable[[Any, Any], None]) -> str:
    if path.suffix == ".json":
        content = json.loads(path.read_text())
    elif path.suffix == ".yaml":
        import yaml

        content = yaml.safe_load(path.read_text())
    else:
        return cut(rng, path)
    found, trail = content, []
    while True:
        keys = list(found) if isinstance(found, dict) else list(range(len(found)))
        if not keys:
            return "nothing"
        key = rng.choice(keys)
        trail.append(str(key))
        if not isinstance(found[key], dict | list) or not found[key] or rng.random() < 0.3:
            break
        found = found[key]
    change(found, key)
    path.write_text(json.dumps(content))  # JSON is also YAML
    value = found[key] if isinstance(found, dict) and key in found else "gone"
    return f"{'.'.join(trail)} = {value!r}"


def as_directory(rng: random.Random, path: Path) -> None:
    path.unlink()
    path.mkdir()
    if rng.random() < 0.5:
        (path / "inside").write_text("")


def as_pipe(rng: random.Random, path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def as_loop(rng: random.Random, path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def dangling(rng: random.Random, path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere/at/all")


def noise(rng: random.Random, path: Path) -> None:
    path.write_bytes(rng.randbytes(rng.randrange(1, 300)))


def deep(rng: random.Random, path: Path) -> None:
    depth = rng.choice([500, 5000, 100_000])
    path.write_text('{"a": ' * depth + "1" + "}" * depth)


def gone_and_text(rng: random.Random, path: Path) -> None:
    path.write_text("This is a file of mine.\n")


def unreadable(rng: random.Random, path: Path) -> None:
    path.chmod(0)  # still readable for root


def digests(directory: Path, damaged: Path) -> dict[str, str]:
    found = {}
    for path in sorted(directory.rglob("shards/*.parquet")):
        if path != damaged and path.is_file():
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path.relative_to(directory))] = digest
    return found


def outputs(directory: Path) -> list:
    paths = sorted((directory / "run").rglob("output.parquet"))
    return [pq.read_table(p).to_pylist() for p in paths if p.is_file()]


def first_samples(tables: list) -> list:
    return [[row["responses"][:8] for row in rows] for rows in tables]


@functools.cache
def expected(kind: str) -> list:
    """Return the output of an undisturbed run."""
    return outputs(made("run" if kind == "torn" else kind))


@functools.cache
def made(kind: str) -> Path:
    """Return a directory with an undamaged run of two launches, to be copied for each case."""
    directory = Path(tempfile.mkdtemp(prefix=f"made-{kind}-"))
    prompts = [f"question {i}" for i in range(NUM_ROWS)]
    answers = [f"answer {i}" for i in range(NUM_ROWS)]
    pq.write_table(pa.table({"prompt": prompts, "answer": answers}), directory / "in.parquet")
    words = {"run": RUN, "scored": (*RUN, *SCORED), "torn": RUN, "sweep": SWEEP}[kind]
    launches = [words] if kind == "sweep" else [(*words, "sampling.n_samples=4"), words]
    for launch in launches:
        done = subprocess.run(
            [sys.executable, "-m", "rollout", *launch], cwd=directory, env=environment(),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr and done.returncode == 0, done.stderr
    if kind == "torn":  # finished rows, nothing published
        for name in ("summary.json", "published.json", "output.parquet"):
            (directory / "run" / name).unlink()
    return directory

"""Fuzz `python -m rollout.prepare`: sources in all formats, with faults among good rows.

Expected (docs/workflow.md): without a fault every row arrives in order, every value unchanged (a
column of several types as text: strings as they are, everything else as JSON). With on_error=skip,
exactly the rows with a fault are left out and counted. Otherwise the exit code is 2, nothing is
written, and one line names the file and a row with a fault.
"""

import contextlib
import io
import json
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from fuzz import Outcome
from prepared_sources import MAKERS, Case

from rollout.prepare.__main__ import main

# Settings that leave rows and prompts as they are, or with results that this file can predict.
OPTIONS = (
    *[[]] * 3, ["shuffle=true"], ["deduplicate=true"], ["filter=1 == 1"], ["sample=999999"],
    ["limit=999999"],
)  # fmt: skip


def case(rng: random.Random, directory: Path) -> Outcome:
    made = rng.choice(MAKERS)(rng, directory)
    skips = rng.random() < 0.6
    output = directory / "out.parquet"
    words = [f"source={made.path}", f"output.path={output}", *made.words]
    words += ["on_error=skip"] if skips else []
    words += rng.choice(OPTIONS)
    if "deduplicate=true" in words:
        made = _once(made)
    code, out, err = _run(words)
    fault = _judged(made, skips, "shuffle=true" in words, output, code, out, err)
    kind = "refused" if code == 2 else "skipped" if None in made.prompts else "whole"
    return Outcome(kind, fault and f"{words}: {fault}")


def _once(made: Case) -> Case:
    """Return the same rows, with only the first of equal prompts where that is requested."""
    seen, twice = set(), set()
    for i, prompt in enumerate(made.prompts):
        if prompt is not None and repr(prompt) in seen:
            twice.add(i)
        seen.add(repr(prompt))
    return replace(made, twice=frozenset(twice))


def _run(words: list[str]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(words)
        except SystemExit as end:
            return int(end.code or 0), out.getvalue(), err.getvalue()
    raise AssertionError("main returned")


def _judged(
    made: Case, skips: bool, is_shuffled: bool, output: Path, code: int, out: str, err: str
) -> str:
    """Return what is wrong; empty if everything is as promised."""
    good = [i for i, prompt in enumerate(made.prompts) if prompt is not None]
    has_bad = len(good) < len(made.prompts)
    said = [line for line in err.splitlines() if line.startswith("rollout.prepare:")]
    if "bug in rollout" in err or "Traceback" in err:
        return f"a bug in rollout: {err[-300:]}"
    if (has_bad and not skips) or not good:
        if code != 2 or len(said) != 1 or not err.endswith("\n"):
            return f"exit {code}, wanted 2 and one line: {err[-300:]}"
        if output.exists():
            return "it was refused and written"
        if not good:
            return "" if made.path.name in said[0] or "no row is left" in said[0] else said[0]
        bad = [where for i, where in enumerate(made.where) if i not in good]
        if not any(re.search(re.escape(where) + r"\b", said[0]) for where in bad):
            return f"names none of {bad}: {said[0][:300]}"
        return ""
    if code != 0:
        return f"exit {code}, wanted 0: {err[-300:]}"
    if not re.search(rf"(?<![\d,]){len(made.prompts):,} rows? read", out):
        return f"wanted {len(made.prompts)} rows read: {out[-400:]}"
    num_bad = len(made.prompts) - len(good)
    if has_bad and not re.search(rf"bad, skipped +{num_bad:,}\n", out):
        return f"wanted {num_bad} bad rows: {out[-400:]}"
    good = [i for i in good if i not in made.twice]
    found = pq.read_table(output).to_pylist()
    if len(found) != len(good):
        return f"{len(found)} rows, wanted {len(good)}"
    if is_shuffled:
        return ""
    for row, i in zip(found, good, strict=True):
        if _read(row["prompt"]) != _read(made.prompts[i]):
            return f"{made.where[i]}: prompt {row['prompt']!r}, wanted {made.prompts[i]!r}"
        for name, value in (made.rows[i] or {}).items():
            if name != "prompt" and not _same(row.get(name), value, made.is_cells):
                return f"{made.where[i]}: {name} is {row.get(name)!r:.200}, wanted {value!r:.200}"
    return ""


def _read(prompt: Any) -> Any:
    """Return a prompt with its messages as objects and null members left out."""
    if isinstance(prompt, str):
        return prompt
    messages = [json.loads(m) if isinstance(m, str) else m for m in prompt]
    return [{k: v for k, v in m.items() if v is not None} for m in messages]


def _same(found: Any, wanted: Any, is_cell: bool) -> bool:
    if is_cell:
        if isinstance(found, float):
            return repr(found) == repr(float(wanted))
        return str(found) == wanted or (found is None and wanted == "")
    if isinstance(found, str) and not isinstance(wanted, str):
        found = json.loads(found)
    return _plain(found) == _plain(wanted)


def _plain(value: Any) -> Any:
    """Return the value without null members; true is not 1, and 1.0 is."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    return ("bool", value) if isinstance(value, bool) else value

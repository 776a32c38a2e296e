"""The planner's commands in docs/memory.md, and their output.

`python tests/support/doc_commands.py --write` updates the output: a block keeps the lines it
showed, identified by their first words (a table row by its preset), and the whole verdict if it
showed part of it. In a new block the bare first words, or `verdict`, are enough.
"""

import io
import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest.mock import patch

from rollout.system.machine import Machine

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "memory.md"
PROMPT = "$ python -m rollout.plan"
SKIP = "..."
VERDICT = (
    "auto chooses", "recommended:", "because", "nothing fits", "smallest change", "no setting",
    "verdict",
)  # fmt: skip
# The machine of the CPU figures, as the page states. Without a hub's cache, presets are used.
MACHINE = Machine(gpus=(), num_cpus=16, memory_gib=32.0, available_gib=28.0)
BLOCK = re.compile(r"^```\n(\$ .*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One command, as typed, and the lines shown below it."""

    typed: str
    shown: list[str]

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(shlex.split(self.typed.removeprefix(PROMPT).replace("\\\n", " ")))


def blocks(text: str) -> Iterator[Block]:
    for found in BLOCK.finditer(text):
        yield _block(found[1])


def _block(content: str) -> Block:
    lines = content.splitlines()
    end = next(i for i in range(1, len(lines) + 1) if _is_whole("\n".join(lines[:i])))
    return Block("\n".join(lines[:end]), lines[end:])


def _is_whole(typed: str) -> bool:
    """Whether the command is complete for a shell: no open quote, no continued line."""
    try:
        shlex.split(typed)
    except ValueError:
        return False
    return not typed.endswith("\\")


@cache
def answer(words: tuple[str, ...]) -> list[str]:
    """Return the planner's output on MACHINE without blank lines. Raises SystemExit if refused."""
    from rollout.plan.__main__ import main
    from rollout.system import machine

    out, err = io.StringIO(), io.StringIO()
    with (
        patch.object(machine, "look", lambda: MACHINE),
        patch("rollout.plan.model.find_cached_snapshot", lambda *_: None),
        patch.dict(os.environ, {"COLUMNS": "118"}),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main(list(words))
        except SystemExit as ended:
            if ended.code not in (0, 1):
                raise SystemExit(err.getvalue()) from ended
    return [line.rstrip() for line in out.getvalue().splitlines() if line.strip()]


def label(line: str) -> str:
    """Return what identifies a line when its figures change."""
    line = line.strip().removeprefix("->").strip()
    return "verdict" if line.startswith(VERDICT) else line.split()[0]


def shown_again(block: Block) -> list[str]:
    """Return the block's lines with current figures. Raises SystemExit if one is gone."""
    wanted = [label(line) for line in block.shown if line not in ("", SKIP)]
    lines, last = [], None
    current = answer(block.words)
    for i, line in enumerate(current):
        if label(line) in wanted:
            if last is not None and i > last + 1:
                lines.append(SKIP)
            lines.append(line)
            last = i
    if gone := set(wanted) - {label(line) for line in lines}:
        raise SystemExit(f"{block.typed}\nno longer prints: {', '.join(sorted(gone))}")
    return lines


def rewritten(text: str) -> str:
    def again(found: re.Match[str]) -> str:
        block = _block(found[1])
        return "\n".join(["```", block.typed, *shown_again(block), "```"])

    return BLOCK.sub(again, text)


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        raise SystemExit("type python tests/support/doc_commands.py --write")
    for variable in ("MODEL_PATH", "INPUT", "OUTPUT", "N_SAMPLES", "MAX_TOKENS", "TEMPERATURE"):
        os.environ.pop(variable, None)
    for variable in ("TOP_P", "TENSOR_PARALLEL_SIZE", "GPU_MEMORY_UTILIZATION", "MAX_NUM_SEQS"):
        os.environ.pop(variable, None)
    PAGE.write_text(rewritten(PAGE.read_text()))

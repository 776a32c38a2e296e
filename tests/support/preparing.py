"""Prepare rows in the current directory, or get the message of a refusal."""

import json

import pyarrow.parquet as pq
import pytest

from rollout.config.sections.prepare import MadeOf, Prepare
from rollout.errors import UserError
from rollout.prepare.prepare import prepare
from rollout.system.console import Console

ROWS = [
    {"question": "What is 1+1?", "answer": "2", "level": 1},
    {"question": "Zoë 🙂?", "answer": "007", "level": 5},
    {"question": "a, \"b\"\nc", "answer": "x", "level": 3},
]  # fmt: skip


def lines(rows, name="in.jsonl"):
    with open(name, "w", encoding="utf-8") as file:  # noqa: PTH123
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return name


def made(here, source, **more):
    """Return the rows that a preparation writes."""
    settings = Prepare(source=source, **more)
    result = prepare(settings, here / "out.parquet", Console(quiet=True), here)
    return [row for path in result.paths for row in pq.read_table(path).to_pylist()]


def prompts(here, source, **more):
    more.setdefault("prompt_format", MadeOf.text)
    return [row["prompt"] for row in made(here, source, **more)]


def refusal(here, source, **more):
    with pytest.raises(UserError) as caught:
        made(here, source, **more)
    assert "\n" not in str(caught.value)
    assert not list(here.glob("out*")) + list(here.glob(".*"))
    return str(caught.value)

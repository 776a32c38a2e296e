"""Runs that the tracker opens, read back with wandb's own tool."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

from rollout.config.sections.tracking import Tracking
from rollout.runs.tracking import open_tracker

CONFIG = {"sampling": {"n_samples": 8, "temperature": 0.7}, "data": {"limit": None, "tags": ["a"]}}
NOWHERE = "http://127.0.0.1:9"  # the discard port, where nothing listens
KEY = "0123456789abcdef" * 2 + "01234567"


def open_in(directory: Path, said: list | None = None, **changes):
    directory.mkdir(parents=True, exist_ok=True)
    say = [].append if said is None else said.append
    return open_tracker(Tracking(**changes), directory, CONFIG, say)


def runs_under(directory: Path) -> list[Path]:
    return sorted(directory.glob("wandb/*run-*/"), key=lambda d: d.stat().st_ctime)


@cache
def inspect(run: Path, *options: str) -> str:
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", *options, str(run)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def summary_of(run: Path) -> dict:
    return json.loads(inspect(run, "--summary"))


def history_of(run: Path, key: str) -> list:
    records = [json.loads(line) for line in inspect(run).splitlines()]
    items = [record["history"]["item"] for record in records if record["type"] == "history"]
    return [(item["elapsed_s"], item[key]) for item in items if key in item]


def table_of(run: Path) -> dict:
    path = summary_of(run)["summary"]["samples"]["path"]
    return json.loads((run / "files" / path).read_text())


def python(code: str) -> list[str]:
    """Run a command line with `open_tracker` and its configuration available."""
    start = """
from pathlib import Path
from rollout.config.sections.tracking import Tracker, Tracking
from rollout.runs.tracking import open_tracker"""
    return [sys.executable, "-c", start + code]


def saved_id(directory: Path) -> str:
    return json.loads((directory / "wandb.json").read_text())["id"]

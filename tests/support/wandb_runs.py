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


def close(tracker, exit_code: int = 0, **figures) -> None:
    tracker.finish(figures, exit_code)
    tracker.wait()


def runs_under(directory: Path) -> list[Path]:
    return sorted(directory.glob("wandb/*run-*/"), key=lambda d: d.stat().st_ctime)


@cache
def inspect(run: Path, *options: str) -> str:
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", *options, str(run)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def summary_of(run: Path) -> dict:
    return json.loads(inspect(run, "--summary"))


def records_of(run: Path, kind: str) -> list[dict]:
    records = [json.loads(line) for line in inspect(run).splitlines()]
    return [record[kind] for record in records if record["type"] == kind]


def history_of(run: Path, key: str) -> list:
    items = [record["item"] for record in records_of(run, "history")]
    return [(item.get("elapsed_s"), item[key]) for item in items if key in item]


def artifact_of(run: Path) -> dict:
    """Return the run's only artifact, tables aside, with its files as name -> local path."""
    artifacts = [a for a in records_of(run, "artifact") if a["type"] != "run_table"]
    (artifact,) = artifacts
    files = {f["path"]: Path(f["local_path"]) for f in artifact["manifest"]["contents"]}
    return artifact | {"files": files}


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

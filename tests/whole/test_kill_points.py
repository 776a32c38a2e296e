"""The drill of kill_points.py in short: a run killed anywhere publishes the same file."""

import re
import subprocess
import sys

import pytest
from kill_points import drill_all
from processes import ROOT


def test_a_run_killed_anywhere_ends_with_the_file_of_an_undisturbed_one(tmp_path):
    counts = drill_all(30, jobs=2, directory=tmp_path)
    assert not counts.faults
    assert (counts.points, counts.lost, counts.doubled) == (30, 0, 0)
    assert counts.kills >= 25


@pytest.mark.vllm
def test_a_real_engine_killed_anywhere_ends_with_the_same_file(tmp_path, tiny_model):
    counts = drill_all(2, engine="vllm", model=tiny_model, directory=tmp_path)
    assert not counts.faults
    assert (counts.kills, counts.lost, counts.doubled) == (2, 0, 0)


def test_the_drill_runs_by_the_words_of_the_readme():
    """`python -m tests.kill_points` found the package `tests` that verl's wheel installs."""
    said = re.findall(
        r"`python (\S*kill_points\S*) --points 200`", (ROOT / "docs/resume.md").read_text()
    )
    assert said and set(said) == {"tests/kill_points.py"}
    words = [sys.executable, *said[:1], "--points", "1"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.splitlines()[-1].startswith("1 points"), done.stderr

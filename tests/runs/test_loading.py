"""A user waits from the moment when an engine is asked for; the terminal says so at once."""

import json
import subprocess
import sys
import time

import pytest
from processes import environment

from rollout.engines import replicas
from rollout.errors import UserError


def test_the_load_is_announced_before_the_settings_are_checked(run, monkeypatch):
    """Importing vLLM for that check was half a minute of silence."""

    def refuse(plan, sampling):
        raise UserError("not these settings")

    monkeypatch.setattr(replicas, "check_sampling", refuse)
    done = run()
    assert done.code == 2
    assert [note for note in done.notes if note.startswith("loading")] == [
        "loading the scripted engine on cpu ..."
    ]


def test_an_engine_is_up_after_the_time_that_the_summary_calls_load(run, typed, monkeypatch):
    monkeypatch.setattr(replicas, "check_sampling", lambda plan, sampling: time.sleep(1.6))
    done = run()
    assert done.code == 0
    assert sum(note.startswith("loading") for note in done.notes) == 1
    assert any(" is up after 0:02: " in note for note in done.notes)
    [found] = typed.here.glob("*/summary.json")
    assert json.loads(found.read_text())["load_s"] == pytest.approx(1.7, abs=0.2)


WATCHED = """
import sys
from rollout.runs.progress import Report

imported, begin, mark_end = [], Report.begin, Report._mark_end

class Finder:
    def find_spec(self, name, path=None, target=None):
        imported.append(name)

def begin_watched(self, *args, **kwargs):
    begin(self, *args, **kwargs)
    sys.meta_path.insert(0, Finder())

def mark_end_watched(self):
    sys.meta_path.pop(0)
    mark_end(self)

Report.begin, Report._mark_end = begin_watched, mark_end_watched
from rollout.__main__ import main
try:
    main(sys.argv[1:])
finally:
    print(imported)
"""


def test_nothing_is_imported_while_rows_are_generated(typed):
    """The first rows on disk imported pandas, which counted as generation."""
    slow = ("engine.scripted.step_s=0.1", "engine.max_num_seqs=4", "sampling.max_tokens=8")
    words = ("engine=scripted", "tracking=none", "data=example", "run_dir=x", "report=false", *slow)
    done = subprocess.run([sys.executable, "-c", WATCHED, *words], cwd=typed.here, check=True,
                          env=environment(), capture_output=True, text=True)  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]"

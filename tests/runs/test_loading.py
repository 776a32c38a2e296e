"""A user waits from the moment when an engine is asked for; the terminal says so at once."""

import json
import time

import pytest

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

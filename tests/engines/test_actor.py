"""The process of a replica, without Ray: its errors are values, and it leaves no file behind."""

import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from one_engine import PLAN
from scripted_nvml import ScriptedNvml

from rollout.config.sections.engine import Backend
from rollout.engines import scripted
from rollout.engines.base import EngineFacts
from rollout.engines.ray import actor as actor_module
from rollout.engines.ray.actor import PREFIX, EngineActor
from rollout.rows.prompt import Prompt
from rollout.rows.request import Request
from rollout.system import gpus
from rollout.system.version import VERSION


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(actor_module.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(actor_module.os, "dup2", lambda *_: None)  # keeps pytest's own output
    return tmp_path


def loaded():
    actor = EngineActor()
    plan = replace(PLAN, engine=replace(PLAN.engine, backend=Backend.scripted))
    assert actor.load(plan, {}, VERSION).error is None
    return actor


def test_an_unexpected_error_is_a_value_with_its_kind_and_its_traceback(temporary):
    """Ray's text of it began with the actor's name, and ended before the error."""
    actor = loaded()
    request = Request(Prompt(0, 0, "Hello"), 1, 0, max_tokens=1, sampler="made by no one")
    report = actor.advance([(0, request)])
    assert "the replica failed with KeyError: 'made by no one'" in str(report.error)
    assert b"Traceback" in report.log
    actor.shutdown()


def test_a_replica_removes_its_files_when_it_ends(temporary):
    actor = loaded()
    assert list(temporary.glob(f"{PREFIX}*/engine.log"))
    actor.shutdown()
    assert not list(temporary.iterdir())


def test_files_of_a_replica_that_was_killed_are_removed_by_the_next(temporary):
    code = (
        "import json, os, sys, tempfile; tempfile.tempdir = sys.argv[1]\n"
        "from rollout.engines.ray.actor import own_directory\n"
        "directory, lock = own_directory(); print(json.dumps(str(directory)), flush=True)\n"
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(temporary)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as other:
        theirs = Path(json.loads(other.stdout.readline()))
        ours, _ = actor_module.own_directory()
        assert theirs.is_dir()  # it lives
        other.kill()
    actor_module.own_directory()
    assert ours.is_dir() and not theirs.exists()


def test_a_replica_reports_the_energy_that_its_gpus_used_since_it_was_up(temporary, monkeypatch):
    nvml = ScriptedNvml(monkeypatch)
    nvml.more_j = 50.0  # between two readings
    monkeypatch.setattr(scripted, "EngineFacts", partial(EngineFacts, num_gpus=1))
    monkeypatch.setattr(gpus, "READING_S", 0.0)
    actor = loaded()
    assert [actor.advance([]).stats.energy_j for _ in range(2)] == [100, 150]
    found = actor.advance([]).stats
    assert (found.memory_gib, found.gpu_utilization, found.power_w) == (5, 1, 400)
    nvml.silent.add((3, 0))
    assert actor.advance([]).stats.energy_j is None
    actor.shutdown()

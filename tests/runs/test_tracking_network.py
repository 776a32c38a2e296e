"""Tracking without a reachable wandb: no login, no network, a server or service that fails."""

import os
import pty
import select
import subprocess
import sys
import threading
import time

import psutil
import pytest
from processes import children_with
from wandb_runs import (
    KEY,
    NOWHERE,
    close,
    history_of,
    open_in,
    python,
    runs_under,
    saved_id,
    summary_of,
)
from wandb_server import ANSWERS

from rollout.config.sections.tracking import WandbMode
from rollout.runs.tracking import service, wandb_run

pytestmark = pytest.mark.usefixtures("home")


def wandb_core() -> list[psutil.Process]:
    return children_with("wandb-core")


@pytest.mark.parametrize("mode", list(WandbMode))
def test_without_a_login_runs_are_offline_and_nothing_is_sent(tmp_path, server, mode):
    lines = []
    tracker = open_in(tmp_path, lines, mode=mode)
    tracker.log({"x": 1}, 1.0)
    tracker.finish({}, 0)
    tracker.wait()
    why = "tracking.mode=offline" if mode is WandbMode.offline else "not logged in"
    assert tracker.line.startswith("wandb: offline (") and why in tracker.line
    service.forget()  # what wandb sends at its end
    assert lines == [] and server.seen == []


def test_an_offline_mode_in_the_environment_beats_auto(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    tracker = open_in(tmp_path)
    tracker.finish({}, 0)
    tracker.wait()
    assert "offline (WANDB_MODE=offline)" in tracker.line


def test_a_key_without_a_network_ends_offline_in_silence(tmp_path):
    code = f"""
import time, wandb; began = time.time()
t = open_tracker(Tracking(), Path({str(tmp_path)!r}), {{"a": 1}})
opened = time.time() - began
t.log({{"x": 1}}, 1.0); t.table(lambda: (["a"], [["b"]])); t.finish({{"y": 2}}, 0); t.wait()
print("OPENED", opened < 5 + 3, "ENDED", time.time() - began < 30)"""
    env = os.environ | {"WANDB_API_KEY": KEY}
    done = subprocess.run(python(code), env=env, capture_output=True, text=True, timeout=60)
    line, verdict = done.stdout.splitlines()
    assert line.startswith(f"wandb: offline (no answer from {NOWHERE})") and done.stderr == ""
    assert verdict == "OPENED True ENDED True" and done.returncode == 0
    (run,) = runs_under(tmp_path)
    assert history_of(run, "run/x") == [(1, 1)] and summary_of(run)["summary"]["run/y"] == 2


def test_a_server_that_refuses_the_run_leaves_it_offline(tmp_path, server, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.delitem(ANSWERS, "UpsertBucket")
    trackers = [open_in(tmp_path / name, entity="typo") for name in ("a", "b")]
    for tracker, name in zip(trackers, ("a", "b"), strict=True):
        tracker.finish({"name": name}, 0)
        tracker.wait()
        assert "wandb: offline (" in tracker.line and "not here" in tracker.line
        assert summary_of(runs_under(tmp_path / name)[-1])["summary"]["run/name"] == name


def test_a_login_tracks_online_in_silence(tmp_path, server, monkeypatch, capfd):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    tracker = open_in(tmp_path)
    run_id = saved_id(tmp_path)
    tracker.table(lambda: (["prompt"], [["x"]]))
    assert tracker.line == f"wandb: {os.environ['WANDB_BASE_URL']}/me/rollout/runs/{run_id}"
    tracker.finish({"y": 2}, 0)
    tracker.wait()
    assert capfd.readouterr() == ("", "")
    assert f"/files/me/rollout/{run_id}/file_stream" in server.seen


def test_a_network_lost_on_the_way_delays_the_end_only_so_long(tmp_path, server, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(wandb_run, "FINISH_TIMEOUT_S", 3.0)
    lines = []
    tracker = open_in(tmp_path, lines)
    server.shutdown()
    server.server_close()
    tracker.log({"x": 1}, 1.0)
    began = time.monotonic()
    tracker.finish({"y": 2}, 0)
    tracker.wait()
    assert time.monotonic() - began < 3 + 5 + 2
    (run,) = runs_under(tmp_path)
    (warning,) = lines
    assert "Timed out" in warning and warning.endswith(f"later with: wandb sync {run}")
    assert summary_of(run)["summary"]["run/y"] == 2


def test_an_artifact_that_the_server_refuses_is_one_warning(tmp_path, server, monkeypatch, capfd):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    lines, began = [], time.monotonic()
    tracker = open_in(tmp_path, lines)
    (tmp_path / "a.parquet").write_text("rows")
    tracker.artifact({"output.parquet": tmp_path / "a.parquet"})
    close(tracker, y=2)
    assert time.monotonic() - began < 20
    (warning,) = lines
    assert "not everything was sent" in warning and "not here" in warning
    assert summary_of(runs_under(tmp_path)[0])["summary"]["run/y"] == 2
    assert capfd.readouterr() == ("", "")


def test_an_upload_without_a_network_is_given_up_by_its_size(tmp_path, server, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    for name, value in (("FINISH_TIMEOUT_S", 2.0), ("SILENT_S", 0.5), ("UPLOAD_BYTES_PER_S", 1)):
        monkeypatch.setattr(wandb_run, name, value)
    lines = []
    tracker = open_in(tmp_path, lines)
    server.shutdown()
    server.server_close()
    (tmp_path / "a.parquet").write_text("rows")
    tracker.artifact({"output.parquet": tmp_path / "a.parquet"})
    began = time.monotonic()
    close(tracker)
    assert time.monotonic() - began < 0.5 + (2 + 4) + (2 + 5) + 2
    assert lines[0] == "wandb: uploading the output ..." and len(lines) == 2
    assert "no answer at the end; its local files are in" in lines[1]


def test_a_service_killed_under_a_run_is_one_warning_and_the_next_run_is_tracked(tmp_path):
    lines = []
    tracker = open_in(tmp_path / "hurt", lines)
    for process in wandb_core():
        process.kill()
        process.wait()
    for i in range(5):
        tracker.log({"x": i}, float(i))
        tracker.table(lambda: (["a"], [["b"]]))
        tracker.histogram("h", lambda: ([1], [0, 1]))
        tracker.images({"a": tmp_path / "gone.png"})
    tracker.artifact({"a": tmp_path / "hurt" / "wandb.json"})
    began = time.monotonic()
    tracker.finish({"y": 2}, 0)
    tracker.wait()
    assert time.monotonic() - began < 10
    assert len(lines) == 1 and lines[0].startswith("wandb: ") and "\n" not in lines[0]
    closed = open_in(tmp_path / "next")
    closed.finish({"y": 3}, 0)
    closed.wait()
    assert summary_of(runs_under(tmp_path / "next")[0])["summary"]["run/y"] == 3


def test_a_wandb_that_cannot_be_imported_is_reported_and_harmless(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    tracker = open_in(tmp_path)
    tracker.finish({}, 0)
    tracker.wait()
    assert tracker.line.startswith("wandb: off (ModuleNotFoundError")


def test_a_project_name_that_wandb_refuses_is_reported_and_harmless(tmp_path):
    lines = []
    tracker = open_in(tmp_path, lines, project="a/b#c")
    tracker.log({"x": 1}, 1.0)
    tracker.finish({}, 0)
    tracker.wait()
    assert tracker.line.startswith("wandb: off (") and lines == []


def test_a_loop_is_not_slowed_by_a_wandb_that_hangs(tmp_path, monkeypatch):
    import wandb

    hang = threading.Event()
    monkeypatch.setattr(wandb_run, "OPEN_WAIT_S", 0.1)
    monkeypatch.setattr(wandb_run, "FINISH_TIMEOUT_S", -4.5)
    monkeypatch.setattr(wandb, "init", lambda **_: hang.wait())
    lines, began = [], time.monotonic()
    tracker = open_in(tmp_path, lines, mode=WandbMode.offline)
    for i in range(wandb_run.MAX_QUEUED_CALLS + 10):
        tracker.log({"x": i}, float(i))
    tracker.finish({}, 0)
    tracker.wait()
    assert time.monotonic() - began < 5
    assert len(lines) == 1 and "no answer at the end" in lines[0]
    hang.set()


def test_a_terminal_without_a_login_gets_no_prompt(tmp_path):
    code = f"""
import sys; assert sys.stdin.isatty()
t = open_tracker(Tracking(), Path({str(tmp_path)!r}), {{}}); print(t.line)
t.finish({{}}, 0); t.wait()"""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(python(code), stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    assert process.wait(timeout=60) == 0
    seen = b""
    while select.select([ours], [], [], 0)[0]:
        try:
            seen += os.read(ours, 4096)
        except OSError:  # the other end is closed and empty
            break
    os.close(ours)
    (line,) = seen.decode().splitlines()
    assert line.startswith("wandb: offline (not logged in")

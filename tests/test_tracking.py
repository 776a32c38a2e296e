"""What the tracker promises; every run is read back with wandb's own tool."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from rollout import tracking
from rollout.config import Tracking, WandbMode
from rollout.tracking import NoTracker, open_tracker

CONFIG = {"sampling": {"n_samples": 8, "temperature": 0.7}, "data": {"limit": None, "tags": ["a"]}}
NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody listens
KEY = "0123456789abcdef" * 2 + "01234567"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """No account, no network, and none of the user's files; a fresh wandb for each test."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "home" / "netrc"))
    monkeypatch.setenv("WANDB_BASE_URL", NOWHERE)
    monkeypatch.setattr(tracking, "_why_offline", None)
    yield
    tracking._forget_service()


def open_in(directory: Path, said: list | None = None, group=None, **changes):
    directory.mkdir(parents=True, exist_ok=True)
    say = [].append if said is None else said.append
    return open_tracker(Tracking(**changes), directory, CONFIG, group, say)


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
    """A command line, run with `open_tracker` and its configuration at hand."""
    start = """
from pathlib import Path
from rollout.config import Tracker, Tracking
from rollout.tracking import open_tracker"""
    return [sys.executable, "-c", start + code]


def saved_id(directory: Path) -> str:
    return json.loads((directory / "wandb.json").read_text())["id"]


def wandb_core() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "wandb-core" in " ".join(child.cmdline())]


VIEWER = {"id": "v", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}
PROJECT = {"id": "p", "name": "rollout", "entity": {"id": "e", "name": "me"}}
BUCKET = {"id": "b", "name": "RUN_ID", "displayName": "it", "project": PROJECT}
ANSWERS = {
    "Viewer": {"data": {"viewer": VIEWER}},
    "RunResumeStatus": {"data": {"model": PROJECT | {"bucket": None}}},
    "UpsertBucket": {"data": {"upsertBucket": {"bucket": BUCKET, "inserted": True}}},
    "ArtifactType": {"data": {"project": {"artifact": None}}},
}


class Server(BaseHTTPRequestHandler):
    """As much of wandb's server as an online run asks for before its upload."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.server.seen.append(self.path)
        answer = "{}"
        if self.path == "/graphql":
            asked = json.loads(body)
            name = re.search(r"(?:query|mutation) (\w+)", asked["query"]).group(1)
            answer = json.dumps(ANSWERS.get(name, {"errors": [{"message": "not here"}]}))
            answer = answer.replace("RUN_ID", (asked.get("variables") or {}).get("name") or "")
        data = answer.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    yield server
    server.shutdown()
    server.server_close()


def test_tracker_none_imports_no_wandb():
    code = """
t = open_tracker(Tracking(tracker=Tracker.none), Path("nowhere"), {})
t.log({"x": 1}, 0.5); t.table(["a"], [["b"]]); t.finish({}, 0); t.wait()
import sys; assert t.line == "" and "wandb" not in sys.modules"""
    subprocess.run(python(code), check=True)


def test_wandb_mode_disabled_in_the_environment_is_obeyed_and_said(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    tracker = open_in(tmp_path / "run")
    assert isinstance(tracker, NoTracker) and "WANDB_MODE=disabled" in tracker.line


def test_an_offline_run_holds_config_throughput_and_summary(tmp_path):
    tracker = open_in(tmp_path / "it", group="sweep", tags=["t"])
    for i in range(3):
        tracker.log({"output_tokens_per_s": 100.0 * i, "num_samples": 8 * i}, elapsed_s=2.0 * i)
    tracker.finish({"steady": {"output_tokens_per_s": 321.5}, "rows": 3}, exit_code=1)
    tracker.wait()
    tracker.finish({"rows": 0}, exit_code=0)
    tracker.wait()
    (run,) = runs_under(tmp_path / "it")
    read = summary_of(run)
    assert read["config"] == CONFIG
    assert (read["name"], read["tags"], read["exit_code"]) == ("it", ["t"], 1)
    assert read["summary"]["steady"] == {"output_tokens_per_s": 321.5}
    assert read["summary"]["rows"] == 3
    assert history_of(run, "output_tokens_per_s") == [(0, 0), (2, 100), (4, 200)]
    assert '"step_metric":"elapsed_s"' in inspect(run) and '"sweep"' in inspect(run)


def test_a_table_shows_untrusted_text_as_text_and_cuts_it(tmp_path):
    tracker = open_in(tmp_path)
    rows = [
        ["<script>x</script>", "wandb-artifact://a/b:latest", 1],
        ["half \ud83d a pair", "\x00\u202e", None],
        ["y" * 1_000_000, ["a", "b"], 0.5],
    ]
    tracker.table(["prompt", "response", "score"], rows)
    tracker.finish({"text": "\ud83d"}, 0)
    tracker.wait()
    (run,) = runs_under(tmp_path)
    table = table_of(run)
    assert table["columns"] == ["prompt", "response", "score"]
    assert table["data"][:2] == [rows[0], ["half \\ud83d a pair", "\x00\u202e", None]]
    assert table["data"][2][0] == "y" * 10_000 + " ... [990000 more characters]"
    assert table["data"][2][1:] == ['["a", "b"]', 0.5]


def test_a_table_that_fails_is_left_out_and_the_rest_is_kept(tmp_path):
    said = []
    tracker = open_in(tmp_path, said)
    tracker.table(["prompt"], [["too", "many", "cells"]])
    tracker.log({"x": 1}, 1.0)
    tracker.finish({"y": 2}, 0)
    tracker.wait()
    (run,) = runs_under(tmp_path)
    assert len(said) == 1 and "not all is there" in said[0]
    assert history_of(run, "x") == [(1, 1)] and summary_of(run)["summary"]["y"] == 2


def test_runs_beside_each_other_in_one_process_stay_apart(tmp_path):
    names = [f"point{i}" for i in range(2)]
    with ThreadPoolExecutor() as pool:
        trackers = list(pool.map(lambda name: open_in(tmp_path / name), names))
    for i, tracker in enumerate(trackers):
        tracker.log({"x": i}, 1.0)
    for i, tracker in enumerate(trackers):
        tracker.finish({"point": i}, 0)
        tracker.wait()
    for i, name in enumerate(names):
        (run,) = runs_under(tmp_path / name)
        read = summary_of(run)
        assert (read["name"], read["summary"]["point"]) == (name, i)
        assert history_of(run, "x") == [(1, i)]


def test_a_second_attempt_continues_the_same_wandb_run(tmp_path):
    for attempt in range(2):
        tracker = open_in(tmp_path)
        tracker.log({"x": attempt}, 1.0)
        tracker.finish({}, 0)
        tracker.wait()
    first, second = (summary_of(run)["run_id"] for run in runs_under(tmp_path))
    assert first == second == saved_id(tmp_path)
    assert tracker.line.endswith(f"wandb sync {tmp_path}/wandb/offline-run-*")


def test_a_torn_wandb_json_starts_a_new_run(tmp_path):
    (tmp_path / "wandb.json").write_text('{"id')
    closed = open_in(tmp_path)
    closed.finish({}, 0)
    closed.wait()
    (run,) = runs_under(tmp_path)
    assert saved_id(tmp_path) == summary_of(run)["run_id"]


@pytest.mark.parametrize("mode", list(WandbMode))
def test_without_a_login_runs_are_offline_and_nothing_is_sent(tmp_path, server, mode):
    said = []
    tracker = open_in(tmp_path, said, mode=mode)
    tracker.log({"x": 1}, 1.0)
    tracker.finish({}, 0)
    tracker.wait()
    why = "tracking.mode=offline" if mode is WandbMode.offline else "not logged in"
    assert tracker.line.startswith("wandb: offline (") and why in tracker.line
    tracking._forget_service()  # what wandb sends at its end
    assert said == [] and server.seen == []


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
t.log({{"x": 1}}, 1.0); t.table(["a"], [["b"]]); t.finish({{"y": 2}}, 0); t.wait()
print("OPENED", opened < 5 + 3, "ENDED", time.time() - began < 30)"""
    env = os.environ | {"WANDB_API_KEY": KEY}
    done = subprocess.run(python(code), env=env, capture_output=True, text=True, timeout=60)
    said, verdict = done.stdout.splitlines()
    assert said.startswith(f"wandb: offline (no answer from {NOWHERE})") and done.stderr == ""
    assert verdict == "OPENED True ENDED True" and done.returncode == 0
    (run,) = runs_under(tmp_path)
    assert history_of(run, "x") == [(1, 1)] and summary_of(run)["summary"]["y"] == 2


def test_a_server_that_refuses_the_run_leaves_it_offline(tmp_path, server, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.delitem(ANSWERS, "UpsertBucket")
    trackers = [open_in(tmp_path / name, entity="typo") for name in ("a", "b")]
    for tracker, name in zip(trackers, ("a", "b"), strict=True):
        tracker.finish({"name": name}, 0)
        tracker.wait()
        assert "wandb: offline (" in tracker.line and "not here" in tracker.line
        assert summary_of(runs_under(tmp_path / name)[-1])["summary"]["name"] == name


def test_a_login_tracks_online_in_silence(tmp_path, server, monkeypatch, capfd):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    tracker = open_in(tmp_path)
    run_id = saved_id(tmp_path)
    tracker.table(["prompt"], [["x"]])
    assert tracker.line == f"wandb: {os.environ['WANDB_BASE_URL']}/me/rollout/runs/{run_id}"
    tracker.finish({"y": 2}, 0)
    tracker.wait()
    assert capfd.readouterr() == ("", "")
    assert f"/files/me/rollout/{run_id}/file_stream" in server.seen


def test_a_network_lost_on_the_way_holds_the_end_up_only_so_long(tmp_path, server, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(tracking, "FINISH_TIMEOUT_S", 3.0)
    said = []
    tracker = open_in(tmp_path, said)
    server.shutdown()
    server.server_close()
    tracker.log({"x": 1}, 1.0)
    began = time.monotonic()
    tracker.finish({"y": 2}, 0)
    tracker.wait()
    assert time.monotonic() - began < 3 + 5 + 2
    (run,) = runs_under(tmp_path)
    (warning,) = said
    assert "Timed out" in warning and warning.endswith(f"later: wandb sync {run}")
    assert summary_of(run)["summary"]["y"] == 2


def test_a_service_killed_under_a_run_is_one_warning_and_the_next_run_is_tracked(tmp_path):
    said = []
    tracker = open_in(tmp_path / "hurt", said)
    for process in wandb_core():
        process.kill()
        process.wait()
    for i in range(5):
        tracker.log({"x": i}, float(i))
        tracker.table(["a"], [["b"]])
    began = time.monotonic()
    tracker.finish({"y": 2}, 0)
    tracker.wait()
    assert time.monotonic() - began < 10
    assert len(said) == 1 and said[0].startswith("wandb: ") and "\n" not in said[0]
    closed = open_in(tmp_path / "next")
    closed.finish({"y": 3}, 0)
    closed.wait()
    assert summary_of(runs_under(tmp_path / "next")[0])["summary"]["y"] == 3


def test_a_wandb_that_cannot_be_imported_is_said_and_harmless(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    tracker = open_in(tmp_path)
    tracker.finish({}, 0)
    tracker.wait()
    assert tracker.line.startswith("wandb: off (ModuleNotFoundError")


def test_a_project_name_that_wandb_refuses_is_said_and_harmless(tmp_path):
    said = []
    tracker = open_in(tmp_path, said, project="a/b#c")
    tracker.log({"x": 1}, 1.0)
    tracker.finish({}, 0)
    tracker.wait()
    assert tracker.line.startswith("wandb: off (") and said == []


def test_a_loop_is_not_slowed_by_a_wandb_that_hangs(tmp_path, monkeypatch):
    import wandb

    hang = threading.Event()
    monkeypatch.setattr(tracking, "OPEN_WAIT_S", 0.1)
    monkeypatch.setattr(tracking, "FINISH_TIMEOUT_S", -4.5)
    monkeypatch.setattr(wandb, "init", lambda **_: hang.wait())
    said, began = [], time.monotonic()
    tracker = open_in(tmp_path, said, mode=WandbMode.offline)
    for i in range(tracking.MAX_QUEUED_CALLS + 10):
        tracker.log({"x": i}, float(i))
    tracker.finish({}, 0)
    tracker.wait()
    assert time.monotonic() - began < 5
    assert len(said) == 1 and "no answer at the end" in said[0]
    hang.set()


def test_a_terminal_without_a_login_is_asked_nothing(tmp_path):
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


def test_no_key_reaches_the_files_of_a_run(tmp_path, server, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    closed = open_in(tmp_path / "run")
    closed.finish({}, 0)
    closed.wait()
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert len(files) > 3 and not [path for path in files if KEY.encode() in path.read_bytes()]


def test_a_whole_run_leaves_its_config_throughput_and_table_with_wandb(tmp_path):
    from rollout import vllm_rollout

    summary = vllm_rollout(
        data="example", engine="scripted", n_samples=3, run_dir=tmp_path / "run", quiet=True
    )
    run = runs_under(tmp_path / "run")[0]
    seen = summary_of(run)
    assert seen["config"]["sampling"]["n_samples"] == 3
    assert seen["summary"]["num_output_tokens"] == summary.figures["num_output_tokens"]
    assert history_of(run, "output_tokens_per_s")
    assert len(table_of(run)["data"]) == 8 * 3

"""The tracker's promises; every run is read back with wandb's own tool."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from wandb_runs import (
    CONFIG,
    KEY,
    history_of,
    inspect,
    open_in,
    python,
    runs_under,
    saved_id,
    summary_of,
    table_of,
)

from rollout.runs.tracking import WandbTracker

pytestmark = pytest.mark.usefixtures("home")


def test_tracker_none_imports_no_wandb():
    code = """
t = open_tracker(Tracking(tracker=Tracker.none), Path("nowhere"), {})
t.log({"x": 1}, 0.5); t.table(["a"], [["b"]]); t.finish({}, 0); t.wait()
import sys; assert t.line == "" and "wandb" not in sys.modules"""
    subprocess.run(python(code), check=True)


def test_wandb_mode_disabled_in_the_environment_is_obeyed_and_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    tracker = open_in(tmp_path / "run")
    assert not isinstance(tracker, WandbTracker) and "WANDB_MODE=disabled" in tracker.line


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
    lines = []
    tracker = open_in(tmp_path, lines)
    tracker.table(["prompt"], [["too", "many", "cells"]])
    tracker.log({"x": 1}, 1.0)
    tracker.finish({"y": 2}, 0)
    tracker.wait()
    (run,) = runs_under(tmp_path)
    assert len(lines) == 1 and "not everything was sent" in lines[0]
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

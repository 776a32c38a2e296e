"""The tracker's promises; every run is read back with wandb's own tool."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from wandb_runs import (
    CONFIG,
    KEY,
    artifact_of,
    close,
    history_of,
    inspect,
    open_in,
    python,
    records_of,
    runs_under,
    saved_id,
    summary_of,
    table_of,
)

from rollout.config.sections.tracking import Tracking
from rollout.runs.tracking import WandbTracker, open_tracker

pytestmark = pytest.mark.usefixtures("home")


def test_tracker_none_imports_no_wandb():
    code = """
t = open_tracker(Tracking(tracker=Tracker.none), Path("nowhere"), {})
t.log({"x": 1}, 0.5); t.table(lambda: 1 / 0); t.histogram("h", lambda: 1 / 0)
t.images({"a": Path("b")}); t.artifact({"a": Path("b")}); t.finish({}, 0); t.wait()
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
    close(tracker, exit_code=1, steady_output_tokens_per_s=321.5, new={"of": "h"}, num_rows=3)
    close(tracker, num_rows=0)
    (run,) = runs_under(tmp_path / "it")
    read = summary_of(run)
    assert read["config"] == CONFIG
    assert (read["name"], read["tags"], read["exit_code"]) == ("it", ["t"], 1)
    assert read["summary"]["speed/steady_output_tokens_per_s"] == 321.5
    assert read["summary"]["run/new"] == {"of": "h"} and read["summary"]["speed/num_rows"] == 3
    assert history_of(run, "speed/output_tokens_per_s") == [(0, 0), (2, 100), (4, 200)]
    assert '"step_metric":"elapsed_s"' in inspect(run) and '"sweep"' in inspect(run)


def test_a_rate_of_the_last_seconds_is_not_left_beside_those_of_the_whole_run(tmp_path):
    tracker = open_in(tmp_path)
    tracker.log({"rows_per_s": 9.0, "output_tokens_per_s": 8.0, "num_running": 4}, 1.0)
    close(tracker, output_tokens_per_s=5.0)
    (run,) = runs_under(tmp_path)
    found = summary_of(run)["summary"]
    assert "speed/rows_per_s" not in found and found["engine/num_running"] == 4
    assert found["speed/output_tokens_per_s"] == 5.0
    assert history_of(run, "speed/rows_per_s") == [(1, 9)]


def test_figures_known_once_are_no_charts(tmp_path):
    tracker = open_in(tmp_path)
    tracker.log({"num_rows": 1, "phase": "steady", "power_w": None}, 1.0)
    close(tracker, load_s=3.5, spans=[{"phase": "load", "start_s": 0, "end_s": 3.5}])
    (run,) = runs_under(tmp_path)
    charts = {key for record in records_of(run, "history") for key in record["item"]}
    assert {key for key in charts if not key.startswith("_")} == {"elapsed_s", "speed/num_rows"}
    assert summary_of(run)["summary"]["run/spans"][0]["phase"] == "load"


def test_a_table_shows_untrusted_text_as_text_and_cuts_it(tmp_path):
    tracker = open_in(tmp_path)
    rows = [
        ["<script>x</script>", "wandb-artifact://a/b:latest", 1],
        ["half \ud83d a pair", "\x00\u202e\x1b[2J", None],
        ["y" * 1_000_000, ["a", "b"], float("nan")],
    ]
    tracker.table(lambda: (["prompt", "response", "score"], rows))
    close(tracker, text="\ud83d")
    (run,) = runs_under(tmp_path)
    table = table_of(run)
    assert table["columns"] == ["prompt", "response", "score"]
    assert table["data"][:2] == [rows[0], ["half \\ud83d a pair", "\x00\u202e\x1b[2J", None]]
    assert table["data"][2][0] == "y" * 10_000 + " ... [990000 more characters]"
    assert table["data"][2][1:] == ['["a", "b"]', None]


def test_hostile_tags_are_cut_and_written_out_and_the_run_is_tracked(tmp_path):
    tags = [
        "t",
        "x" * 100,
        "\x1b[2J\x00",
        "half \ud83d",
        " ",
        "",
        "a\nb",
        "t",
        "token=hf_" + "a1" * 10,
    ]
    tracker = open_in(tmp_path, tags=tags)
    close(tracker)
    found = summary_of(runs_under(tmp_path)[0])["tags"]
    assert found == [
        "t", "x" * 63 + "…", "\\x1b[2J\\x00", "half \\ud83d", "a b", "token=***"
    ]  # fmt: skip


def test_tags_of_the_environment_stay_unless_others_are_set(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_TAGS", "ours,beta")
    for name, own in (("a", []), ("b", ["mine"])):
        (tmp_path / name).mkdir()
        tracker = open_tracker(Tracking(tags=own), tmp_path / name, {}, print, tags=["n=8", "mine"])
        close(tracker)
    found = [summary_of(runs_under(tmp_path / name)[0])["tags"] for name in ("a", "b")]
    assert found == [["ours", "beta", "n=8", "mine"], ["mine", "n=8"]]


def test_images_and_a_histogram_are_sent(tmp_path):
    from PIL import Image

    Image.new("RGB", (8, 4)).save(tmp_path / "one.png")
    tracker = open_in(tmp_path / "run")
    tracker.images({"throughput": tmp_path / "one.png", "half \ud83d": tmp_path / "one.png"})
    tracker.histogram("quality/response_tokens", lambda: (np.array([2, 1]), np.array([1, 5, 9])))
    tracker.histogram("quality/none", lambda: (np.zeros(0), np.zeros(1)))
    close(tracker)
    (run,) = runs_under(tmp_path / "run")
    seen = summary_of(run)["summary"]
    assert seen["figures/throughput"]["width"] == 8 and "figures/half \\ud83d" in seen
    assert (run / "files" / seen["figures/throughput"]["path"]).is_file()
    assert seen["quality/response_tokens"] == {
        "_type": "histogram", "values": [2, 1], "bins": [1, 5, 9]
    }  # fmt: skip
    assert "quality/none" not in seen


def test_an_artifact_of_an_offline_run_keeps_the_files_as_they_were(tmp_path, capfd):
    (tmp_path / "many").mkdir()
    for name in ("out.parquet", "many/0.parquet"):
        (tmp_path / name).write_text("as it was")
    tracker = open_in(tmp_path / "it [1]")
    tracker.artifact({"output.parquet": tmp_path / "out.parquet", "output": tmp_path / "many"})
    close(tracker)
    (tmp_path / "out.parquet").write_text("changed")
    (run,) = runs_under(tmp_path / "it [1]")
    artifact = artifact_of(run)
    assert artifact["type"] == "responses"
    assert artifact["name"] == f"it-1--{saved_id(tmp_path / 'it [1]')}"
    assert artifact["files"].keys() == {"output.parquet", "output/0.parquet"}
    assert {path.read_text() for path in artifact["files"].values()} == {"as it was"}
    assert capfd.readouterr() == ("", "")


def test_calls_that_fail_are_left_out_with_one_warning_and_the_rest_is_kept(tmp_path):
    lines, gone = [], tmp_path / "gone.png"
    tracker = open_in(tmp_path, lines)
    tracker.table(lambda: (["prompt"], [["too", "many", "cells"]]))
    tracker.table(lambda: 1 / 0)
    tracker.histogram("h", lambda: 1 / 0)
    tracker.images({"gone": gone})
    tracker.artifact({"gone": gone})
    tracker.log({"x": 1}, 1.0)
    close(tracker, y=2)
    (run,) = runs_under(tmp_path)
    assert len(lines) == 1 and "not everything was sent" in lines[0]
    read = summary_of(run)
    assert history_of(run, "run/x") == [(1, 1)] and read["summary"]["run/y"] == 2
    assert read["exit_code"] == 0


def test_runs_beside_each_other_in_one_process_stay_apart(tmp_path):
    names = [f"point{i}" for i in range(2)]
    with ThreadPoolExecutor() as pool:
        trackers = list(pool.map(lambda name: open_in(tmp_path / name), names))
    for i, tracker in enumerate(trackers):
        tracker.log({"x": i}, 1.0)
    for i, tracker in enumerate(trackers):
        close(tracker, point=i)
    for i, name in enumerate(names):
        (run,) = runs_under(tmp_path / name)
        read = summary_of(run)
        assert (read["name"], read["summary"]["run/point"]) == (name, i)
        assert history_of(run, "run/x") == [(1, i)]


def test_a_second_attempt_continues_the_same_wandb_run(tmp_path):
    for attempt in range(2):
        tracker = open_in(tmp_path)
        tracker.log({"x": attempt}, 1.0)
        close(tracker)
    first, second = (summary_of(run)["run_id"] for run in runs_under(tmp_path))
    assert first == second == saved_id(tmp_path)
    assert tracker.line.endswith(f"wandb sync {tmp_path}/wandb/offline-run-*")


def test_a_torn_wandb_json_starts_a_new_run(tmp_path):
    (tmp_path / "wandb.json").write_text('{"id')
    close(open_in(tmp_path))
    (run,) = runs_under(tmp_path)
    assert saved_id(tmp_path) == summary_of(run)["run_id"]


def test_no_key_reaches_the_files_of_a_run(tmp_path, server, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    close(open_in(tmp_path / "run"))
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert len(files) > 3 and not [path for path in files if KEY.encode() in path.read_bytes()]

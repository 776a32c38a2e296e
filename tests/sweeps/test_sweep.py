"""Sweeps on the scripted engine: one engine, one batch, each point a separate run."""

import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
from swept import SCRIPTED, TEMPERATURES, num_loads, responses, table


def test_points_that_share_an_engine_load_it_once(sweep, typed):
    done = sweep(TEMPERATURES, "sampling.n_samples=2,3")
    assert done.code == 0 and num_loads(done) == 1
    found = table(typed)
    assert len(found) == 6 and set(found["status"]) == {"done"} and set(found["engine"]) == {1}
    assert not found["is_best"].any() and "not ranked by output_tokens_per_s" in done.out


def test_points_one_at_a_time_share_an_engine_but_not_its_time(sweep, typed):
    done = sweep(TEMPERATURES, "hydra.sweeper.max_batch_size=1")
    assert done.code == 0 and num_loads(done) == 1
    assert set(table(typed)["num_sharing"]) == {1} and "not ranked" not in done.out


def test_the_rate_over_all_points_is_told_only_if_no_point_failed(sweep, typed):
    """The tokens of a point that failed are not known, but its time is in the engine's."""
    rate = " output tokens/s over all points"
    assert rate in sweep(TEMPERATURES).out
    fails = ("engine.scripted.refuse=3", "data.on_error=record,fail", "run_dir=other")
    done = sweep(*fails)
    assert done.code == 1 and rate not in done.out and "2 points on 1 engine load in" in done.out


def test_a_point_in_a_sweep_answers_as_it_does_alone(sweep, typed, prompts):
    sweep(TEMPERATURES)
    alone = [*SCRIPTED, f"data.input={prompts}", "sampling.n_samples=2", "run_dir=alone"]
    typed(*alone, "sampling.temperature=0.7")
    assert responses(typed.here / "s/temperature=0.7") == responses(typed.here / "alone")
    assert responses(typed.here / "s/temperature=0.5") != responses(typed.here / "alone")


def test_a_point_that_was_finished_before_keeps_its_engine_s_number(sweep, typed):
    """A continued sweep forgot the engines of earlier commands, so its page counted fewer loads."""
    sweep("sampling.temperature=0.5,0.7")
    sweep("sampling.temperature=0.5,0.7,1.0")
    sweep("sampling.temperature=0.5,0.7")
    assert list(table(typed)["engine"]) == [1, 1, 1]


def test_each_point_is_a_separate_run(sweep, typed):
    sweep(TEMPERATURES)
    for value in (0.5, 0.7, 1.0):
        run_dir = typed.here / f"s/temperature={value}"
        record = json.loads((run_dir / "run.json").read_text())
        assert record["config"]["sampling"]["temperature"] == value
        assert record["config"]["tracking"]["group"] == "s"
        assert json.loads((run_dir / "summary.json").read_text())["num_rows"] == 40
        assert f"temperature={value}" in (run_dir / "attempts/1/run.log").read_text()


def test_the_same_command_runs_only_what_failed(sweep, typed):
    words = "data.on_error=record,fail", "engine.scripted.refuse='prompt 7'"
    assert sweep(*words).code == 1
    assert list(table(typed)["status"]) == ["done", "failed"]
    before = (typed.here / "s/on_error=record/output.parquet").stat()
    done = sweep("data.on_error=record,fail", "engine.scripted.refuse=null", "retry_failed=true")
    assert done.code == 0, done.errors
    assert len(responses(typed.here / "s/on_error=fail")) == 40
    assert before.st_ino != (typed.here / "s/on_error=record/output.parquet").stat().st_ino


def test_a_sweep_resumes_point_by_point_and_takes_new_points(sweep, typed):
    sweep("sampling.temperature=0.5,1.0")
    done = sweep("sampling.temperature=0.5,0.7,1.0")
    assert done.code == 0 and num_loads(done) == 1
    assert sorted(table(typed).index) == [f"temperature={t}" for t in ("0.5", "0.7", "1.0")]
    assert not (typed.here / "s/temperature=0.5/attempts/2").exists()
    done = sweep("sampling.temperature=0.5,0.7,1.0")
    assert done.code == 0 and num_loads(done) == 0


def test_a_sweep_resumes_in_hydra_sweep_dir(typed, prompts):
    words = [*SCRIPTED, f"data.input={prompts}", "-m", "sampling.seed=1,2"]
    typed(*words, "hydra.sweep.dir=s")
    assert typed.code == 0 and set(table(typed)["status"]) == {"done"}
    typed(*words, "hydra.sweep.dir=s")
    assert typed.code == 0 and num_loads(typed) == 0


def test_engines_that_differ_are_loaded_one_after_the_other(sweep, typed):
    done = sweep("engine.max_num_seqs=8,16", "sampling.temperature=0.5,0.7")
    assert done.code == 0 and num_loads(done) == 2
    assert list(table(typed)["engine"]) == [1, 1, 2, 2]


def test_a_dry_run_shows_the_points_and_leaves_nothing(sweep, typed):
    done = sweep(TEMPERATURES, "engine.max_num_seqs=8,16", "dry_run=true")
    assert done.code == 0
    assert "6 points on 2 engines, 240 requests for 480 samples" in done.out
    assert done.left == []


def test_a_dry_run_shows_what_would_be_skipped(sweep):
    sweep("sampling.seed=1,2")
    done = sweep("sampling.seed=1,2,3", "dry_run=true")
    assert "40 requests for 80 samples" in done.out and done.out.count("finished, skipped") == 2


def test_more_points_than_a_batch_holds_run_in_waves(sweep, typed):
    seeds = ",".join(map(str, range(70)))
    done = sweep(f"sampling.seed={seeds}", "data.limit=3")
    assert done.code == 0 and num_loads(done) == 1
    found = table(typed)
    assert len(found) == 70 and found["num_samples"].sum() == 70 * 6


def test_ctrl_c_ends_all_points_and_the_same_command_resumes(prompts, typed):
    slow = ["engine.scripted.step_s=0.02", "engine.max_num_seqs=8"]
    words = [*SCRIPTED, f"data.input={prompts}", "run_dir=s", "-m", "sampling.seed=1,2", *slow]
    command = [sys.executable, "-m", "rollout", *words]
    process = subprocess.Popen(command, cwd=typed.here, stderr=subprocess.PIPE, text=True)
    logs = [typed.here / f"s/seed={i}/shards" for i in (1, 2)]
    end = time.monotonic() + 30
    while not all(d.is_dir() and any(d.iterdir()) for d in logs) and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130, errors
    assert "to resume: " in errors and "run_dir=s" in errors
    typed(*words, "engine.scripted.step_s=0")
    assert typed.code == 0, typed.errors
    assert set(table(typed)["status"]) == {"done"}
    fresh = [w if w != "run_dir=s" else "run_dir=fresh" for w in words]
    typed(*fresh, "engine.scripted.step_s=0")
    for seed in (1, 2):
        assert responses(typed.here / f"s/seed={seed}") == responses(
            typed.here / f"fresh/seed={seed}"
        )


def test_the_table_holds_the_points_of_earlier_commands_too(sweep, typed):
    sweep("sampling.temperature=0.5,0.7")
    sweep("sampling.temperature=1.0")
    found = table(typed)
    assert len(found) == 3 and set(found["status"]) == {"done"}
    assert found["responses"].notna().all()


def test_a_moved_sweep_keeps_its_responses(sweep, typed):
    sweep("sampling.seed=1,2")
    (typed.here / "s").rename(typed.here / "moved")
    typed(*SCRIPTED, "data.input=p.parquet", "sampling.n_samples=2", "run_dir=moved", "-m",
          "sampling.seed=1,2")  # fmt: skip
    found = pd.read_parquet(typed.here / "moved/sweep.parquet")
    assert typed.code == 0 and found["responses"].notna().all()

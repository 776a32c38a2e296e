"""Commands with scale=ray as wholes: signals, kills, sweeps, and real vLLM."""

import json
import os
import re
import signal
import time

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from processes import children_with, rollout, start, wait_for

ON_RAY = ("scale=ray", "scale.num_replicas=2")
PARTS_OF_RAY = ("raylet", "gcs_server", "ray::", "EngineCore")


def write_prompts(directory):
    texts = [f"question {i}" for i in range(400)]
    pq.write_table(pa.table({"prompt": texts}), directory / "in.parquet")


@pytest.fixture
def here(tmp_path):
    write_prompts(tmp_path)
    return tmp_path


def words(run_dir, *more):
    plain = "data.input=in.parquet", "tracking=none", "sampling.n_samples=2"
    return (*plain, f"run_dir={run_dir}", *more)


def scripted(run_dir, *more):
    return words(run_dir, "engine=scripted", "engine.max_num_seqs=8", *more)


SLOW, STEADY = "engine.scripted.step_s=0.02", "engine.scripted.step_s=0.005"


def responses(path):
    return pq.read_table(path / "output.parquet")["responses"].to_pylist()


def summary(path):
    return json.loads((path / "summary.json").read_text())


def left_over(here, seconds=8.0):
    """Return the processes of Ray that a command in this directory left behind."""
    end = time.monotonic() + seconds
    while found := [p for p in psutil.process_iter() if is_of_ray(p, here)]:
        if time.monotonic() > end:
            return found
        time.sleep(0.2)
    return []


def is_of_ray(process, here):
    try:
        words = " ".join(process.cmdline())
        return any(part in words for part in PARTS_OF_RAY) and process.cwd() == str(here)
    except psutil.Error:
        return False


def wait_for_rows(run_dir, process, seconds=60):
    """Wait until replicas are answering and some rows are on disk."""
    end = time.monotonic() + seconds
    while not any(f.stat().st_size > 2000 for f in run_dir.glob("shards/*")):
        assert process.poll() is None, process.communicate()[1][-2000:]
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The responses of one engine."""
    here = tmp_path_factory.mktemp("one")
    write_prompts(here)
    done = rollout(*scripted("one"), cwd=here)
    assert done.returncode == 0, done.stderr[-2000:]
    return responses(here / "one")


def test_a_run_on_ray_gives_what_one_engine_gives_and_reports_each_replica(here, expected):
    done = rollout(*scripted("r", *ON_RAY, STEADY), cwd=here)
    assert done.returncode == 0, done.stderr[-2000:]
    assert responses(here / "r") == expected
    replicas = summary(here / "r")["replicas"]
    assert [r["replica"] for r in replicas] == [0, 1]
    assert sum(r["num_rows"] for r in replicas) == 400
    assert "2 replicas, balance " in done.stdout
    lines = (here / "r/attempts/1/metrics.jsonl").read_text().splitlines()
    assert {"num_replicas", "replica_1_output_tokens_per_s"} <= json.loads(lines[-1]).keys()
    assert not left_over(here)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_on_ray_in_seconds_and_another_scale_resumes_it(here, expected, number):
    process = start(*scripted("r", *ON_RAY, SLOW), cwd=here)
    wait_for_rows(here / "r", process)
    began = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + number and time.monotonic() - began < 6
    num_done = int(re.search(r"interrupted; ([\d,]+) of 400 rows", errors)[1])
    assert num_done > 0 and not left_over(here)
    done = rollout(*scripted("r"), cwd=here)
    assert done.returncode == 0, done.stderr[-2000:]
    assert responses(here / "r") == expected
    assert summary(here / "r")["num_generated_rows"] == 400 - num_done


@pytest.mark.parametrize("wait_s", [1.5, 2.5, 3.5])
def test_a_signal_while_ray_starts_ends_the_run_and_leaves_no_process(here, wait_s):
    process = start(*scripted("r", *ON_RAY), cwd=here)
    time.sleep(wait_s)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode in (143, -signal.SIGTERM)  # the latter before rollout's handler
    assert not left_over(here)


def test_a_killed_driver_leaves_no_process_and_loses_no_finished_row(here, expected):
    process = start(*scripted("r", *ON_RAY, SLOW), cwd=here)
    wait_for_rows(here / "r", process)
    time.sleep(1.5)  # a flush every second
    process.kill()
    process.communicate(timeout=30)
    assert not left_over(here)
    done = rollout(*scripted("r", *ON_RAY), cwd=here)
    assert done.returncode == 0, done.stderr[-2000:]
    assert responses(here / "r") == expected
    assert 0 < summary(here / "r")["num_generated_rows"] < 400


def test_a_head_that_is_gone_ends_the_run_before_ray_ends_the_process(here):
    """Ray did so after a minute, in C++, and nothing said how to resume."""
    process = start(*scripted("r", *ON_RAY, "engine.scripted.step_s=1"), cwd=here)
    log = here / "r/attempts/1/run.log"
    wait_for(lambda: log.exists() and log.read_text().count("is up on") == 2, timeout_s=60)
    next(p for p in children_with("gcs_server", process.pid)).kill()
    _, errors = process.communicate(timeout=70)
    assert process.returncode == 1, errors[-2000:]
    assert re.search(r"the head of .* has not answered for 30 seconds.*to resume: ", errors)
    assert not left_over(here)


def test_memory_that_runs_out_in_a_run_lowers_the_settings_of_every_replica(here, expected):
    """The rows' samplers had the name of the settings before, and killed every later engine."""
    faults = "engine.scripted.oom_above=20", "engine.scripted.oom_after_steps=5"
    wide = "engine=scripted", "engine.max_num_seqs=32", "engine.on_oom=step_down"
    done = rollout(*words("r", *wide, *faults, *ON_RAY, STEADY), cwd=here, timeout=100)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "stepping down to engine.max_num_seqs=16" in done.stderr
    assert responses(here / "r") == expected


def test_the_points_of_a_sweep_share_the_replicas(here):
    sweep = scripted("s", *ON_RAY, "sampling.temperature=0.5,1.0", "-m")
    done = rollout(*sweep, cwd=here)
    assert done.returncode == 0, done.stderr[-2000:]
    one = rollout(*scripted("o", "sampling.temperature=0.5"), cwd=here)
    assert one.returncode == 0
    point = next(path for path in (here / "s").glob("*0.5*") if path.is_dir())
    assert responses(point) == responses(here / "o")
    assert summary(point)["num_sharing"] == 2 and len(summary(point)["replicas"]) == 2
    points = [summary(path) for path in (here / "s").iterdir() if path.is_dir()]
    each = [sum(r["num_rows"] for r in point["replicas"]) for point in points]
    assert max(each) == 800  # at the end of the last point, both points' rows


def test_the_engines_of_a_sweep_share_out_the_replicas(here, expected):
    """One that can't run ends alone, and what it had goes to the other."""
    sweep = scripted("s", *ON_RAY, "engine.max_restarts=0", STEADY, "-m")
    done = rollout(*sweep, "engine.scripted.die_after_steps=null,40", cwd=here)
    assert done.returncode == 1, done.stderr[-2000:]
    good, bad = (here / "s" / f"die_after_steps={n}" for n in ("null", 40))
    assert responses(good) == expected
    assert summary(good)["num_beside"] == 1 and len(summary(good)["replicas"]) == 2
    assert not (bad / "output.parquet").exists() and "1 of 2 points are done" in done.stderr
    assert not left_over(here)


def test_a_sweep_of_two_engines_that_is_interrupted_is_resumed(here, expected):
    sweep = scripted("s", *ON_RAY, "-m", "engine.max_num_seqs=8,16")
    with start(*sweep, SLOW, cwd=here) as process:
        wait_for(lambda: len([f for f in here.glob("s/*/shards/*") if f.stat().st_size]) >= 2, 60)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 143 and "0 of 2 points are done" in errors
    assert not left_over(here)
    done = rollout(*sweep, cwd=here)
    assert done.returncode == 0 and done.stderr.count("resuming") == 2, done.stderr[-2000:]
    for point in (path for path in (here / "s").iterdir() if path.is_dir()):
        assert responses(point) == expected


def test_more_replicas_than_the_machine_holds_are_refused_with_what_fits(here):
    asked = ("scale=ray", "scale.num_replicas=64", "scale.cpus_per_replica=1")
    done = rollout(*scripted("r", *asked), cwd=here)
    assert done.returncode == 2
    assert re.search(r"each replica takes 1 CPU.*so \d+ fit; type scale.num_replicas=", done.stderr)
    assert not left_over(here)


def test_a_cluster_that_does_not_answer_is_refused_in_seconds(here):
    began = time.monotonic()
    done = rollout(*scripted("r", "scale=ray", "scale.address=127.0.0.1:1"), cwd=here)
    assert done.returncode == 2 and time.monotonic() - began < 20
    assert "scale.address=127.0.0.1:1: no cluster answers" in done.stderr


def tiny(model):
    given = "model=custom", f"model.model_path={model}", "sampling.max_tokens=48"
    return (*given, "engine.kv_cache_gib=0.25", "engine.max_num_seqs=16")


@pytest.fixture(scope="module")
def answers_of_one(tiny_model, tmp_path_factory):
    """The responses of one engine of real vLLM in the command's own process."""
    here = tmp_path_factory.mktemp("one")
    write_prompts(here)
    done = rollout(*words("one", *tiny(tiny_model)), cwd=here)
    assert done.returncode == 0, done.stderr[-2000:]
    return responses(here / "one")


@pytest.mark.vllm
def test_two_replicas_of_real_vllm_survive_a_kill_and_answer_as_one_does(
    here, tiny_model, answers_of_one
):
    process = start(*words("two", *tiny(tiny_model), *ON_RAY), cwd=here)
    wait_for_rows(here / "two", process, seconds=240)
    log = here / "two/attempts/1/run.log"
    wait_for(lambda: log.read_text().count("is up on") == 2, timeout_s=120)
    os.kill(children_with("ray::EngineActor", process.pid)[0].pid, signal.SIGKILL)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-2000:]
    assert "the replica's process on 127.0.0.1 ended" in errors
    assert responses(here / "two") == answers_of_one
    assert sum(r["num_restarts"] for r in summary(here / "two")["replicas"]) == 1
    assert not left_over(here)


@pytest.mark.vllm
def test_a_killed_engine_core_and_then_a_killed_driver_lose_no_finished_row(
    here, tiny_model, answers_of_one
):
    """The core is a child of the actor here, as on GPUs."""
    apart = {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    one = "scale=ray", "scale.num_replicas=1", "scale.cpus_per_replica=1"
    process = start(*words("two", *tiny(tiny_model), *one), cwd=here, **apart)
    wait_for_rows(here / "two", process, seconds=240)
    os.kill(children_with("EngineCore", process.pid)[0].pid, signal.SIGKILL)
    log = here / "two/attempts/1/run.log"
    wait_for(lambda: "a new one is loaded" in log.read_text(), timeout_s=60)
    process.kill()
    process.communicate(timeout=30)
    assert not left_over(here)
    done = rollout(*words("two", *tiny(tiny_model)), cwd=here)
    assert done.returncode == 0, done.stderr[-2000:]
    assert responses(here / "two") == answers_of_one
    assert summary(here / "two")["num_generated_rows"] < 400

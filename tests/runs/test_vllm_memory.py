"""Memory that really runs out, on real vLLM: the message, and a completed run."""

import json
import resource
import signal
import subprocess

import pandas as pd
import pyarrow.parquet as pq
import pytest
from processes import children_with, command, environment, rollout, start, wait_for

pytestmark = pytest.mark.vllm
GIB = 2**30
STEP_DOWN = "engine.on_oom=step_down"


@pytest.fixture
def words(tmp_path, tiny_model):
    """60 prompts for the tiny model, without the planner's check."""
    frame = pd.DataFrame({"prompt": [f"Frage {i}" for i in range(60)]})
    frame.to_parquet(tmp_path / "in.parquet")
    return (
        f"model.model_path={tiny_model}", "data.input=in.parquet", "tracking=none", "run_dir=x",
        "engine=cpu", "engine.max_num_seqs=16", "engine.preflight=false", "sampling.n_samples=2",
        "sampling.max_tokens=20",
    )  # fmt: skip


def record(here):
    return json.loads((here / "x" / "memory.json").read_text())


def assert_complete(here):
    table = pq.read_table(here / "x" / "output.parquet").to_pylist()
    assert len(table) == 60
    assert all(len(row["responses"]) == 2 and row["error"] is None for row in table)


def test_a_kv_cache_too_small_for_the_context_is_explained(tmp_path, words):
    """64 KiB: two blocks of 32 tokens, of 16 KiB each."""
    done = rollout(*words, "engine.kv_cache_gib=0.0001", cwd=tmp_path)
    assert done.returncode == 2
    line = done.stderr.splitlines()[-1]
    assert line.startswith("rollout: out of memory")
    assert "512 tokens" in line and "engine.kv_cache_gib=" in line


def test_a_kv_cache_too_small_for_the_context_is_stepped_around(tmp_path, words):
    done = rollout(*words, "engine.kv_cache_gib=0.0001", STEP_DOWN, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert record(tmp_path)["changed"]["kv_cache_gib"] > 0.0001
    assert_complete(tmp_path)


@pytest.mark.parametrize("policy", ["fail", "step_down"])
def test_an_address_space_that_is_too_small_at_load(tmp_path, words, policy):
    """A KV cache of 6 GiB does not fit into 8 GiB with 3 GiB of libraries; 3 GiB do.

    2 GiB are left for what threads reserve where they contend; with 1 GiB, a run died of that.
    """
    done = subprocess.run(
        command(*words, "engine.kv_cache_gib=6", f"engine.on_oom={policy}"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (8 * GIB, 8 * GIB)),
        cwd=tmp_path, env=environment(MALLOC_ARENA_MAX="2"), capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert "out of memory on the host: 6.0 GiB" in done.stderr
    if policy == "fail":
        assert done.returncode == 2
        assert "engine.kv_cache_gib=3.0, or engine.on_oom=step_down" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    assert record(tmp_path)["changed"]["kv_cache_gib"] <= 3.0
    assert_complete(tmp_path)


def test_an_engine_killed_as_the_kernel_kills_is_stepped_down(tmp_path, words):
    """SIGKILL to the engine core, which has its own process here, as on GPUs."""
    many = ("sampling.max_tokens=400", "sampling.ignore_eos=true", "engine.kv_cache_gib=1")
    process = start(*words, *many, STEP_DOWN, cwd=tmp_path, VLLM_ENABLE_V1_MULTIPROCESSING="1")
    wait_for(lambda: list((tmp_path / "x" / "shards").glob("*")), timeout_s=240)
    for core in children_with("EngineCore", process.pid):
        core.send_signal(signal.SIGKILL)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "killed by signal 9" in errors
    assert record(tmp_path)["steps"] == ["engine.kv_cache_gib=0.5"]
    assert_complete(tmp_path)

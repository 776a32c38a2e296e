"""Resuming, adding samples, continuing samples and dying engines, on real vLLM."""

import json
import os
import signal
import time

import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest
from processes import children_with, rollout, start, wait_for
from tiny_model import words

pytestmark = pytest.mark.vllm
APART = {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}  # the engine core in its own process, as on GPUs


def prompts(here, count=60, text="Frage {}: 你好 🙂"):
    frame = pd.DataFrame({"prompt": [text.format(i) for i in range(count)]})
    frame.to_parquet(here / "in.parquet")


def output(here, run):
    return pq.read_table(here / run / "output.parquet")


def test_samples_added_later_equal_those_of_one_run(typed, tiny_model):
    prompts(typed.here)
    for run, n in (("x", 4), ("x", 8), ("whole", 8)):
        more = {"data.input": "in.parquet", "run_dir": run, "sampling.n_samples": n}
        assert typed(*words(tiny_model, **more)).code == 0, typed.errors
    assert output(typed.here, "x").equals(output(typed.here, "whole"))
    figures = json.loads((typed.here / "x" / "summary.json").read_text())
    assert (figures["num_samples"], figures["num_generated_samples"]) == (480, 240)


def test_truncated_samples_are_continued_from_their_tokens(typed, tiny_model):
    from transformers import AutoTokenizer

    prompts(typed.here, 30)
    more = {
        "data.input": "in.parquet",
        "run_dir": "x",
        "output.columns": "[finish_reason,token_ids,num_continued]",
    }
    assert typed(*words(tiny_model, **more)).code == 0, typed.errors
    before = output(typed.here, "x").to_pylist()
    more |= {"sampling.max_tokens": 30, "continue_truncated": "true"}
    assert typed(*words(tiny_model, **more)).code == 0, typed.errors
    decode = AutoTokenizer.from_pretrained(tiny_model).decode
    num_continued = 0
    for old, new in zip(before, output(typed.here, "x").to_pylist(), strict=True):
        for i in range(2):
            cut = old["finish_reason"][i] == "length"
            num_continued += cut
            assert new["num_continued"][i] == cut
            assert new["token_ids"][i][:12] == old["token_ids"][i]
            assert (len(new["token_ids"][i]) > 12) == cut
            # vLLM holds back incomplete characters, at the seam and at the end.
            text = decode(new["token_ids"][i], skip_special_tokens=True)
            assert text.removeprefix(new["responses"][i]).strip("\ufffd") == ""
    assert num_continued > 30


def core_of(process):
    """Return the engine core's process."""
    return next(iter(children_with("EngineCore", process.pid)), None)


def test_a_killed_engine_core_is_replaced_and_no_row_differs(typed, tiny_model):
    here = typed.here
    prompts(here, 600)
    given = words(tiny_model, **{"data.input": "in.parquet", "sampling.max_tokens": 40})
    process = start(*given, "run_dir=x", cwd=here, **APART)
    wait_for(lambda: list((here / "x" / "shards").glob("*")), timeout_s=240)
    core = core_of(process)
    core.send_signal(signal.SIGKILL)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "loading it again" in errors
    assert typed(*given, "run_dir=whole").code == 0, typed.errors
    assert output(here, "x").equals(output(here, "whole"))


def test_a_row_that_kills_the_real_engine_is_blamed_alone(tmp_path, tiny_model):
    """On a CPU, a seeded request with a chunked prefill kills vLLM's engine core."""
    frame = pd.DataFrame({"prompt": [f"q {i}" for i in range(40)]})
    frame.loc[17, "prompt"] = "a long prompt " * 20
    frame.to_parquet(tmp_path / "in.parquet")
    poisoned = {
        "data.input": "in.parquet",
        "run_dir": "x",
        "engine.extra.enable_chunked_prefill": "true",
        "engine.max_num_batched_tokens": 64,
        "engine.max_num_seqs": 4,
    }
    done = rollout(*words(tiny_model, **poisoned), cwd=tmp_path)
    if "loading it again" not in done.stderr:
        pytest.skip("this vLLM survives it")
    assert done.returncode == 0, done.stderr
    rows = output(tmp_path, "x").to_pylist()
    assert [i for i, row in enumerate(rows) if row["error"]] == [17]
    assert "kills the engine" in rows[17]["error"]
    assert all(len(row["responses"]) == 2 for i, row in enumerate(rows) if i != 17)


def test_a_killed_run_leaves_no_engine_process_behind(tmp_path, tiny_model):
    prompts(tmp_path, 20_000)
    given = words(tiny_model, **{"data.input": "in.parquet"})
    process = start(*given, "run_dir=x", cwd=tmp_path, **APART)
    wait_for(lambda: list((tmp_path / "x" / "shards").glob("*")), timeout_s=240)
    family = psutil.Process(process.pid).children(recursive=True)
    assert family
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    end = time.monotonic() + 10
    while [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]:
        assert time.monotonic() < end, "processes survived"
        time.sleep(0.1)
    done = rollout(*given, "run_dir=x", "data.limit=200", "dry_run=true", cwd=tmp_path)
    assert "resume" in done.stdout or done.returncode == 2

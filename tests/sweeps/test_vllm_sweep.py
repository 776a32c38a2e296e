"""Sweeps on real vLLM: one load, the same responses as alone, memory given back."""

import pandas as pd
import pytest
from swept import responses, table

pytestmark = pytest.mark.vllm


@pytest.fixture
def words(typed, tiny_model):
    table = pd.DataFrame({"prompt": [f"question {i}: what is {i} + {i}?" for i in range(12)]})
    table.to_parquet(typed.here / "p.parquet")
    model = ["model=custom", f"model.model_path={tiny_model}", "engine=cpu", "tracking=none"]
    small = ["engine.kv_cache_gib=0.5", "sampling.n_samples=3", "sampling.max_tokens=24"]
    return [*model, *small, "data.input=p.parquet"]


def num_loads(typed):
    log = (typed.here / "s" / "engine.log").read_text()
    return log.count("Initializing a V1 LLM engine")


def test_a_point_within_a_fused_sweep_answers_as_alone(typed, words):
    swept = ["sampling.temperature=0.6,1.2", "sampling.top_p=0.9,1.0"]
    typed(*words, "run_dir=s", "-m", *swept)
    assert typed.code == 0, (typed.errors, typed.notes)
    assert num_loads(typed) == 1
    together = {}
    for temperature, top_p in ((0.6, 0.9), (1.2, "1.0")):
        name = f"temperature={temperature},top_p={top_p}"
        own = [f"sampling.temperature={temperature}", f"sampling.top_p={top_p}"]
        typed(*words, f"run_dir=alone-{name}", *own)
        together[name] = responses(typed.here / "s" / name)
        assert together[name] == responses(typed.here / f"alone-{name}")
    assert len(set(map(str, together.values()))) == 2


def test_what_vllm_refuses_fails_its_own_point(typed, words):
    typed(*words, "run_dir=s", "-m", "sampling.extra={},{bogus:1}")
    assert typed.code == 1, (typed.errors, typed.notes)
    assert len(typed.errors) == 1 and "no 'bogus'" in typed.errors[0]
    assert list(table(typed)["status"]) == ["done", "failed"]


def test_engines_are_measured_one_after_the_other_with_the_memory_given_back(typed, words):
    """A context that does not fit is a row of the table; a second GiB of cache would be seen."""
    swept = "engine.max_num_seqs=4,8,16"
    typed(*words, "engine.kv_cache_gib=1", "run_dir=s", "-m", swept)
    assert typed.code == 0, (typed.errors, typed.notes)
    found = table(typed)
    assert num_loads(typed) == 3 and list(found["engine"]) == [1, 2, 3]
    memory = found["peak_memory_gib"].tolist()
    assert memory[2] - memory[0] < 0.5, memory


def test_an_engine_that_does_not_fit_is_a_row_of_the_table(typed, words):
    typed(*words, "run_dir=s", "-m", "engine.max_model_len=256,100000")
    assert typed.code == 1
    found = table(typed)
    assert list(found["status"]) == ["done", "failed"]
    assert "engine.max_model_len=100000" in found["error"].iloc[1]

"""Temperature 0 with several samples: one is drawn for each prompt and repeated n times."""

import json

import pandas as pd
import pytest

WORDS = ["engine=scripted", "tracking=none", "data.input=in.parquet", "run_dir=r"]


@pytest.fixture
def run(typed):
    own = [None, '{"temperature": 0}', None]
    rows = {"prompt": ["one", "two", "three"], "own": own}
    pd.DataFrame(rows).to_parquet(typed.here / "in.parquet")
    return lambda *words: typed(*WORDS, "sampling.n_samples=4", *words)


def responses(here, run="r"):
    return [list(row) for row in pd.read_parquet(here / run / "output.parquet")["responses"]]


def figures(here, run="r"):
    return json.loads((here / run / "summary.json").read_text())


def test_a_greedy_run_draws_one_and_lists_it_n_times_and_says_so(typed, run):
    """It was refused. n stays n, so that resume and scoring need no special rule."""
    assert run("sampling.temperature=0").code == 0, typed.errors
    assert [(len(row), len(set(row))) for row in responses(typed.here)] == [(4, 1)] * 3
    assert "one response is drawn for each prompt and repeated n times" in " ".join(typed.notes)
    found = figures(typed.here)
    assert (found["num_samples"], found["distinct_fraction"]) == (12, 0.25)


def test_only_what_was_drawn_counts_for_the_speed(typed, run):
    words = "engine.scripted.vary=false", "engine.scripted.response_tokens=10"
    run("sampling.temperature=0", *words)
    metrics = figures(typed.here)
    assert metrics["num_generated_tokens"] == 30, metrics


def test_a_greedy_point_of_a_sweep_does_not_fail(typed, run):
    assert run("-m", "sampling.temperature=0,0.7,1.0").code == 0, typed.errors
    assert [len(set(row)) for row in responses(typed.here, "r/temperature=0")] == [1] * 3
    assert [len(set(row)) for row in responses(typed.here, "r/temperature=0.7")] == [4] * 3


def test_a_row_may_be_greedy_on_its_own(typed, run):
    assert run("data.sampling_key=own").code == 0, typed.errors
    assert [len(set(row)) for row in responses(typed.here)] == [4, 1, 4]


def test_repeats_of_one_greedy_sample_end_no_run(typed, run):
    more = "stop_if.duplicate_fraction=0.1", "stop_if.after_samples=1", "engine.max_num_seqs=1"
    assert run("sampling.temperature=0", *more).code == 0, typed.errors


def test_a_greedy_run_is_continued_once_for_each_row_and_repeats_end_it_neither(typed, run):
    """Each copy was continued by itself, and the copies counted as duplicates: the run ended."""
    stop = "stop_if.duplicate_fraction=0.1", "stop_if.after_samples=1", "engine.max_num_seqs=1"
    words = "sampling.temperature=0", "engine.scripted.vary=false", *stop
    run(*words, "sampling.max_tokens=5")
    assert run(*words, "sampling.max_tokens=9", "continue_truncated=true").code == 0, typed.errors
    assert [(len(row), len(set(row))) for row in responses(typed.here)] == [(4, 1)] * 3
    assert figures(typed.here)["num_generated_tokens"] == 3 * 4
    lines = (typed.here / "r/attempts/2/metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["duplicate_fraction"] == 0


def test_no_note_about_repeats_where_rows_have_their_own_temperature(typed, run):
    words = "data.sampling_key=own", "engine.scripted.text=same"
    assert "repeat an earlier one" in run("engine.scripted.text=same", "run_dir=free").out
    assert "repeat an earlier one" not in run(*words).out


def test_more_greedy_samples_than_before_are_the_same_one(typed, run):
    run("sampling.temperature=0", "sampling.n_samples=2")
    assert run("sampling.temperature=0").code == 0, typed.errors
    assert [(len(row), len(set(row))) for row in responses(typed.here)] == [(4, 1)] * 3


@pytest.mark.vllm
def test_vllm_draws_one_and_a_row_is_blamed_by_the_key(typed, tiny_model):
    own = [None, '{"temperature": 0}', '{"temperature": -1}', '{"top_p": 7}']
    pd.DataFrame({"prompt": ["a", "b", "c", "d"], "own": own}).to_parquet(typed.here / "in.parquet")
    model = ["model=custom", f"model.model_path={tiny_model}", "engine=cpu", "tracking=none"]
    words = [*model, "engine.kv_cache_gib=0.25", "data.input=in.parquet", "sampling.max_tokens=8"]
    for temperature, expected in ((0, [1, 1]), (1.0, [3, 1])):
        run_dir = f"run_dir=t{temperature}"
        typed(*words, run_dir, f"sampling.temperature={temperature}", "sampling.n_samples=3",
              "data.sampling_key=own")  # fmt: skip
        assert typed.code == 0, typed.errors
        found = pd.read_parquet(typed.here / f"t{temperature}/output.parquet")
        assert [len(set(row)) for row in found["responses"][:2]] == expected
        assert [len(row) for row in found["responses"]] == [3, 3, 0, 0]
        assert "temperature=-1: " in found["error"][2] and "top_p=7: " in found["error"][3]

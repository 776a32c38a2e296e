"""Names in wandb: groups of figures, tags, artifacts."""

import pytest

from rollout.config.compose import compose
from rollout.runs.metrics import Tally, Timeline, summarize
from rollout.runs.tracking.names import (
    artifact_name,
    charted,
    grouped,
    summarized,
    tags_of,
    valid_tags,
)
from rollout.store.counts import Totals


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("output_tokens_per_s", "speed"),
        ("output_tokens_per_gpu_hour", "speed"),
        ("output_tokens_per_j", "speed"),
        ("reload_s", "speed"),
        ("num_discarded_tokens", "speed"),
        ("num_rows", "speed"),
        ("truncated_fraction", "quality"),
        ("num_failed", "quality"),
        ("p95_response_tokens", "quality"),
        ("kv_cache_usage", "engine"),
        ("prefix_cache_hit_rate", "engine"),
        ("replica_0_output_tokens_per_s", "engine"),
        ("gpu_memory_gib", "engine"),
        ("gpu_utilization", "engine"),
        ("power_w", "engine"),
        ("energy_j", "engine"),
        ("num_engine_restarts", "engine"),
        ("output_path", "run"),
        ("anything new", "run"),
    ],
)
def test_each_figure_is_in_a_group_by_what_it_counts(name, group):
    assert grouped(name) == f"{group}/{name}"


def test_every_figure_of_a_summary_is_a_speed_a_quality_or_about_the_engine():
    figures = summarize(Totals(), Tally(), Timeline())
    assert {grouped(name).partition("/")[0] for name in figures} == {"speed", "quality", "engine"}


def test_only_finite_numbers_are_charted():
    line = {"elapsed_s": 1.0, "phase": "fill", "power_w": None, "spans": [1], "is_up": True}
    line |= {"num_rows": 3, "rows_per_s": float("nan"), "requests_per_s": float("inf")}
    assert charted(line) == {"speed/num_rows": 3}


def test_scores_have_their_intervals_and_facts_of_the_engine_their_group():
    figures = {
        "scores": {"pass@1": 0.5, "mean": None, "intervals": {"pass@1": [0.4, 0.6]}},
        "engine": {"name": "vllm", "sampling": {"seed": 1}},
        "num_gpus": 2,
    }
    assert summarized(figures) == {
        "scores/pass@1": 0.5, "scores/mean": None,
        "scores/pass@1_low": 0.4, "scores/pass@1_high": 0.6,
        "engine/name": "vllm", "engine/sampling": {"seed": 1}, "engine/num_gpus": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "tags"),
    [
        (
            {"model.model_path": "Qwen/Qwen3-4B", "engine": "single_a100", "sampling": "greedy",
             "postprocess.scorer": "math", "data.input": "data/aime.parquet"},
            ["Qwen3-4B", "engine=single_a100", "sampling=greedy", "scorer=math", "n=1",
             "input=aime.parquet"],
        ),
        (
            {"model": "smollm2_135m", "sampling.n_samples": 8, "data.input": "parts/*.parquet"},
            ["smollm2-135m-instruct", "engine=auto", "n=8"],
        ),
        (
            {"engine": "scripted", "sampling.n_samples": 2, "data.input": "s3://b/in/"},
            ["engine=scripted", "n=2", "input=in"],
        ),
        (  # its file of prompts has the same name in every run
            {"engine": "scripted", "prepare.source": "reasoning_gym",
             "prepare.task": "chain_sum", "sampling.n_samples": 8},
            ["engine=scripted", "n=8", "input=reasoning_gym"],
        ),
    ],
)  # fmt: skip
def test_a_run_is_tagged_with_its_model_presets_scorer_n_and_input(given, tags):
    assert valid_tags(tags_of(compose(given))) == tags


def test_tags_have_at_most_64_characters_and_none_twice():
    found = valid_tags(["é" * 80, "é" * 90, "a", "a ", "\u202e", "\ud800"])
    assert found == ["é" * 63 + "…", "a", "\\u202e", "\\ud800"]


def test_an_artifact_is_named_as_wandb_allows():
    assert artifact_name("temperature=0.7,top_p=\ud83d\n", "0a1b") == "temperature-0.7-top_p--0a1b"
    assert len(artifact_name("x" * 500, "0" * 12)) == 128

"""The vLLM engine on real vLLM with a tiny real model: one engine for the whole file."""

import pytest
from one_engine import results_of
from processes import children_with
from tiny_engine import tiny_engine

from rollout.config.sections.model import Model
from rollout.config.sections.sampling import Sampling
from rollout.errors import RequestRefused
from rollout.rows.owed import OwedRow, Wanted
from rollout.rows.prompt import Prompt
from rollout.rows.request import Request

pytestmark = pytest.mark.vllm
N = 4
SAMPLING = Sampling(n_samples=N, max_tokens=24, temperature=None)


@pytest.fixture(scope="module")
def engine(tiny_model, tmp_path_factory):
    yield from tiny_engine(tiny_model, tmp_path_factory.mktemp("engine"))


def answer(engine, prompts, run_seed=42):
    sampler = engine.sampler(SAMPLING, Model(), wants_logprobs=False)
    wanted = Wanted(N, run_seed, 24, keeps=frozenset({"token_ids"}), sampler=sampler)
    rows = (OwedRow(p, wanted) for p in prompts)
    results = results_of(engine, rows)
    return {result.index: result for result in results}


def texts(results):
    return {index: [s.text for s in r.samples] for index, r in results.items()}


def prompts_of(*contents):
    return [Prompt(i, i, content) for i, content in enumerate(contents)]


def test_every_row_gets_n_samples_with_their_counts_and_reasons(engine):
    results = answer(engine, prompts_of(*(f"question {i}" for i in range(40))))
    assert len(results) == 40
    samples = [s for r in results.values() for s in r.samples]
    assert len(samples) == 40 * N
    assert all(s.num_tokens == len(s.token_ids) for s in samples)
    assert {s.finish_reason for s in samples} <= {"stop", "length"}
    assert all(s.num_tokens == 24 for s in samples if s.finish_reason == "length")


def test_the_same_seed_gives_the_same_responses_in_any_order_and_alone(engine):
    prompts = prompts_of(*(f"question {i}" for i in range(30)))
    whole = texts(answer(engine, prompts))
    assert texts(answer(engine, prompts[::-1])) == whole
    assert texts(answer(engine, prompts[7:8])) == {7: whole[7]}


def test_two_rows_with_the_same_prompt_get_different_samples(engine):
    results = texts(answer(engine, prompts_of("same", "same")))
    assert not set(results[0]) & set(results[1])
    assert len(set(results[0])) == N


def test_another_seed_shares_no_sample(engine):
    prompts = prompts_of("a", "b")
    one, two = (texts(answer(engine, prompts, run_seed=seed)) for seed in (42, 43))
    assert not {t for ts in one.values() for t in ts} & {t for ts in two.values() for t in ts}


def test_a_refused_prompt_does_not_affect_other_rows(engine):
    good = texts(answer(engine, prompts_of("a", "b")))
    contents = "a", "b", "x" * 2000, [{"role": "wizard", "content": "hi"}]
    mixed = answer(engine, prompts_of(*contents))
    assert "512 (max_model_len)" in mixed[2].error
    assert "unknown role wizard" in mixed[3].error
    assert {i: t for i, t in texts(mixed).items() if i < 2} == good


def test_a_chat_gets_one_bos_and_a_string_its_usual_one(engine):
    chat = [{"role": "user", "content": "hi"}]
    results = answer(engine, prompts_of(chat, "hi"))
    assert results[0].num_prompt_tokens == len("<s> <|user|> h i <|end|> <|assistant|>".split())
    assert results[1].num_prompt_tokens == len("<s> h i".split())


def test_a_chat_that_ends_with_the_assistant_is_continued(engine):
    chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "So"}]
    results = answer(engine, prompts_of(chat))
    words = "<s> <|user|> h i <|end|> <|assistant|> S o".split()
    assert results[0].num_prompt_tokens == len(words)


def test_a_refused_request_is_not_left_in_the_engine(engine):
    with pytest.raises(RequestRefused):
        engine.submit(Request(Prompt(0, 0, "x" * 2000), N, 1, 24))
    assert engine.num_unfinished == 0


def test_the_counters_match_the_sampled_tokens(engine):
    before = engine.stats().num_output_tokens
    results = answer(engine, prompts_of(*(f"question {i}" for i in range(10))))
    sampled = sum(s.num_tokens for r in results.values() for s in r.samples)
    assert engine.stats().num_output_tokens - before == sampled
    assert engine.stats().kv_cache_usage_peak > 0


def test_the_samples_of_a_long_prompt_share_its_prefix(engine):
    before = engine.stats().num_cached_tokens
    result = answer(engine, prompts_of("a prompt of more than one block " * 4))[0]
    assert result.num_cached_tokens >= 64
    assert engine.stats().num_cached_tokens > before


def test_null_means_the_models_value_and_typed_values_win(engine):
    facts, sampler = engine.facts, engine.sampler(SAMPLING, Model(), wants_logprobs=False)
    assert sampler.sampling["temperature"] == 0.6  # the model's generation_config
    assert sampler.sampling["top_k"] == -1
    assert sampler.notes == ["the model's generation_config suggests top_k=20"]
    assert (facts.max_num_seqs, facts.max_model_len, facts.num_gpus) == (16, 512, 0)


def test_on_a_cpu_the_core_lives_in_this_process(engine):
    assert not children_with("EngineCore")

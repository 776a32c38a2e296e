"""The lengths of prompts: counted in full or sampled, and which figures are exact."""

import json
import time

import pyarrow as pa
import pytest
from planned_prompts import QWEN_LIKE, TOOLS, USER, asked, opened, prompts_of

from rollout.config.sections.data import PromptFormat
from rollout.plan.prompts.lengths import NumRows, read_lengths


def test_rows_of_token_ids_and_of_tools_have_lengths(tmp_path, model_dir):
    ids = prompts_of(tmp_path, [[5] * n for n in range(1, 41)], prompt_format=PromptFormat.tokens)
    lengths = read_lengths(ids, opened(model_dir))
    assert (lengths.num_given, lengths.num_counted, lengths.longest) == (40, 40, 40)
    tokenizer = opened(model_dir, chat_template=QWEN_LIKE)
    with_tools = prompts_of(tmp_path, ["Hi"], tools=json.dumps(TOOLS))
    lengths = read_lengths(with_tools, tokenizer)
    assert lengths.longest == len(tokenizer.encode(asked([USER | {"content": "Hi"}], TOOLS)))


def test_a_small_input_is_counted_whole(tmp_path, tiny_model):
    rows = ["a" * n for n in range(1, 101)]
    lengths = read_lengths(prompts_of(tmp_path, rows), opened(tiny_model))
    assert not lengths.is_sample and lengths.num_counted == lengths.num_strings == 100
    assert (lengths.mean, lengths.p50, lengths.p95, lengths.p99) == (51.5, 51, 96, 100)
    assert lengths.longest == 101 and lengths.is_longest_exact
    assert lengths.num_longer_than(91).num_rows == 10 and lengths.num_longer_than(0).is_exact
    assert [(b.low, b.high, b.num_rows) for b in lengths.histogram] == [
        (2, 4, 2), (4, 8, 4), (8, 16, 8), (16, 32, 16), (32, 64, 32), (64, 128, 38),
    ]  # fmt: skip


def test_bad_rows_and_refused_chats_are_counted_separately(tmp_path, tiny_model):
    unknown = {"role": "critic", "content": "No."}
    rows = [[USER], None, [unknown], [USER], []]
    lengths = read_lengths(prompts_of(tmp_path, pa.array(rows)), opened(tiny_model))
    assert (lengths.num_rows, lengths.num_bad, lengths.first_bad) == (
        5, 2, "row 1: the prompt is null",
    )  # fmt: skip
    assert (lengths.num_refused, lengths.num_chats, lengths.num_counted) == (1, 3, 2)
    assert lengths.first_refusal == "the chat template refused it: unknown role critic"


def sampled(tmp_path, tiny_model, rows, **how):
    return read_lengths(prompts_of(tmp_path, rows), opened(tiny_model), budget_s=0.005, **how)


def test_a_large_input_is_sampled_the_same_way_every_time(tmp_path, tiny_model):
    rows = ["short", "l" * 95] * 2000  # a period of two rows
    once, again = (sampled(tmp_path, tiny_model, rows) for _ in range(2))
    assert once == again and once.is_sample
    assert 100 < once.num_counted < 250 and once.num_bytes == 200_000
    assert once.mean == pytest.approx(51, rel=0.1)
    assert once.num_longer_than(50).num_rows == pytest.approx(2000, rel=0.1)
    assert not once.num_longer_than(50).is_exact


def test_rows_that_may_exceed_the_context_are_counted_exactly(tmp_path, tiny_model):
    rows = ["x" * 50] * 5000
    rows[1::700] = ["y" * 200] * 8
    rows[2] = "z" * 150
    lengths = sampled(tmp_path, tiny_model, rows, context=120)
    assert lengths.is_sample and lengths.longest == 201 and lengths.is_longest_exact
    longer = lengths.num_longer_than(120)
    assert (longer.num_rows, longer.is_exact) == (9, True)
    assert lengths.num_longer_than(160).num_rows == 8


def test_more_long_rows_than_can_be_counted_are_not_called_exact(tmp_path, tiny_model):
    rows = ["x" * 50] * 3000 + ["y" * 500] * 3000
    lengths = sampled(tmp_path, tiny_model, rows, context=120)
    longer = lengths.num_longer_than(120)
    assert not longer.is_exact and longer.num_rows == pytest.approx(3000, rel=0.3)
    assert lengths.num_longer_than(502).is_exact


def test_what_a_template_adds_is_part_of_the_bound(tmp_path, tiny_model):
    chat = [{"role": "user", "content": "x" * 50}]
    rows = [chat] * 3000 + [[{"role": "user", "content": "x" * 300}, *chat]] * 3
    tokenizer = opened(tiny_model)
    lengths = sampled(tmp_path, tiny_model, pa.array(rows), context=200)
    assert lengths.longest == len(tokenizer.encode(asked(rows[-1])))
    assert lengths.num_longer_than(200) == NumRows(3, True)


def test_a_row_of_megabytes_is_counted_by_its_start(tmp_path, tiny_model):
    rows = ["short"] * 100 + ["x" * 1_000_000]
    lengths = sampled(tmp_path, tiny_model, rows, context=512)
    assert lengths.longest_bound >= 1_000_001 > lengths.longest and not lengths.is_longest_exact
    assert lengths.num_longer_than(512).num_rows == 1 and lengths.num_longer_than(512).is_exact


def test_two_hundred_thousand_rows_take_seconds(tmp_path, tiny_model):
    prompts = prompts_of(tmp_path, [f"What is {i} plus {i * 7}?" for i in range(200_000)])
    start = time.perf_counter()
    lengths = read_lengths(prompts, opened(tiny_model), context=512)
    assert time.perf_counter() - start < 60  # it took minutes
    assert lengths.num_strings == 200_000 and lengths.is_sample
    assert lengths.num_longer_than(512) == NumRows(0, True)

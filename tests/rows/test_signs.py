"""Signs of a bad run: shown as it goes and at its end, and stop_if, which ends it early."""

import json
import random
import timeit

import pandas as pd
import pytest

from rollout.config.sections.sampling import Sampling
from rollout.config.sections.stop_if import StopIf
from rollout.rows.request import Sample
from rollout.rows.result import Result
from rollout.rows.signs import Signs, is_repetitive, num_distinct_in, signs_of
from rollout.runs.stop_early import reason_to_stop
from rollout.runs.tally import Tally, joined

SENTENCE = "Wait, let me reconsider the problem from the very start. "
LOOPS = {
    "a word": "It is " + "the " * 60,
    "a sentence": "Let me see. " + SENTENCE * 5,
    "a sentence, cut off": (SENTENCE * 8)[:-23],
    "a line of a list": "To do:\n" + "- Check the box\n" * 14,
    "a numbered line": "".join(f"{i}. Check the box\n" for i in range(3, 24)),
    "line ends": "42" + "\n" * 300,
    "a paragraph": "Hm. " + "".join(random.Random(1).choices("abcdefgh ", k=900)) * 5,
    "no spaces": "我不知道。" * 60,
    "a phrase that repeats within": "ab ab ab cd. " * 20,
}
REFRAIN = "Row, row, row your boat,\nGently down the stream.\n"
VERSES = ("Merrily, merrily,", "If you see a crocodile,", "Ever so slowly,", "In the morning dew,")
INNOCENTS = {
    "nothing": "",
    "a laugh": "ha ha ha!",
    "a table": "|a|b|\n|-|-|\n" + "".join(f"| {i} | {i * i} |\n" for i in range(60)),
    "a ruled line": "Name\n" + "-" * 100 + "\n",
    "rows of zeros": "[0, 0, 0, 0, 0, 0, 0, 0]\n" * 4,
    "code": "".join(f"    if x == {i}:\n        return y\n    }}\n" for i in range(30)) + "}\n" * 9,
    "a poem": "".join(f"{verse}\n{REFRAIN}" for verse in VERSES * 2),
    "a refrain at the end": REFRAIN * 3,
    "digits": str(10**2000 // 7**300),
    "a list": "".join(f"{i}. {i * 7919 % 1000} apples\n" for i in range(1, 51)),
    "a loop it left": "the " * 100 + "answer is 42, since twice 21 apples come to 42 of them. " * 3,
}


@pytest.mark.parametrize("name", LOOPS)
def test_a_text_that_ends_in_one_phrase_over_and_over_is_repetitive(name):
    assert is_repetitive(LOOPS[name])


@pytest.mark.parametrize("name", INNOCENTS)
def test_a_text_that_repeats_for_a_reason_is_not(name):
    assert not is_repetitive(INNOCENTS[name])


def test_looking_for_a_loop_costs_little_beside_a_response():
    words = "a stone river of light moves under old bridges while seven quiet birds".split()
    text = " ".join(random.Random(0).choices(words, k=900))[:4000]
    seconds = min(timeit.repeat(lambda: is_repetitive(text), number=100, repeat=5)) / 100
    assert seconds < 200e-6  # measured 15 us; the rest is margin for a busy machine


def result(*texts, reason="stop", **more):
    return Result(0, 0, b"", [Sample(text, reason, 3) for text in texts], **more)


def test_the_signs_of_a_row_are_counted_sample_by_sample():
    row = result("", "a", "a", "<think>so", LOOPS["a word"], reason="length")
    assert signs_of(row) == Signs(1, 0, 5, 5, 1, 1, 1, 1)
    assert signs_of(result(error="too long")) == Signs(num_rows=1, num_failed=1)


def test_equal_responses_are_one_within_a_row():
    assert num_distinct_in(result("a", "a", "b")) == 2
    assert num_distinct_in(result("a", "A", "")) == 3
    assert num_distinct_in(result()) == 0


def test_what_two_attempts_count_adds_up():
    one, two = Tally(), Tally()
    one.add(result("a", "a", num_new_samples=2))
    two.add(result("", num_new_samples=1))
    assert joined([one, two]).signs == Signs(
        num_rows=2, num_samples=3, num_empty=1, num_duplicate=1
    )
    assert (one.signs.num_samples, two.signs.num_samples) == (2, 1)


def test_only_what_is_worth_a_word_is_told_while_it_goes():
    signs = Signs(num_rows=10, num_samples=100, num_truncated=83, num_empty=1, num_unclosed=40)
    assert str(signs) == "83% truncated, 40% reasoning unclosed"
    assert str(Signs()) == ""


@pytest.mark.parametrize("sign", ["truncated", "empty", "unclosed", "duplicate", "repetitive"])
def test_a_limit_is_broken_above_it_and_not_at_it(sign):
    stop_if = StopIf(**{f"{sign}_fraction": 0.5})
    told = [
        reason_to_stop(Signs(num_samples=4, **{f"num_{sign}": n}), stop_if, Sampling())
        for n in (2, 3)
    ]
    assert told[0] is None
    assert "3 of 4 samples (75%)" in told[1] and f"stop_if.{sign}_fraction=0.5" in told[1]


@pytest.fixture
def scripted(typed):
    """A run of 100 prompts x 8 samples on the scripted engine, 16 tokens per response."""
    table = pd.DataFrame({"prompt": [f"question {i}" for i in range(100)]})
    table.to_parquet(typed.here / "p.parquet")
    words = ["engine=scripted", "tracking=none", "data.input=p.parquet", "run_dir=r"]
    return lambda *more: typed(*words, "engine.scripted.vary=false", *more)


def num_on_disk(typed):
    from rollout.store.store import Store

    rows_per_shard = json.loads((typed.here / "r" / "run.json").read_text())["rows_per_shard"]
    return int(Store(typed.here / "r", 100, rows_per_shard).state().present.sum())


CUT = ("sampling.max_tokens=16", "stop_if.truncated_fraction=0.5")


def test_a_run_that_is_cut_off_ends_early_and_says_what_to_change(scripted, typed):
    done = scripted(*CUT)
    assert done.code == 1 and len(done.errors) == 1
    assert "256 of 256 samples (100%) were cut off at max_tokens=16" in done.errors[0]
    assert "above stop_if.truncated_fraction=0.5; raise sampling.max_tokens" in done.errors[0]
    assert done.errors[0].count("32 of 100 rows are finished and on disk") == 1
    assert "to resume: " in done.errors[0] and not (typed.here / "r" / "output.parquet").exists()
    assert num_on_disk(typed) == 32


def test_a_launch_that_goes_on_finishes_as_many_before_it_ends_again(scripted, typed):
    for num_rows in (32, 64):
        assert scripted(*CUT).code == 1
        assert num_on_disk(typed) == num_rows
    assert scripted(*CUT, "stop_if.after_samples=100000").code == 0
    assert num_on_disk(typed) == 100


def test_the_cut_samples_of_a_stopped_run_go_on(scripted, typed):
    scripted(*CUT)
    done = scripted("sampling.max_tokens=64", CUT[1], "continue_truncated=true")
    assert done.code == 0, done.errors
    reasons = pd.read_parquet(typed.here / "r" / "output.parquet")["finish_reason"].map(list)
    assert set(reasons.sum()) == {"stop"}


def test_a_run_that_is_complete_is_published_whatever_it_is_like(scripted):
    assert scripted(*CUT, "data.limit=32").code == 0


@pytest.mark.parametrize(
    ("sign", "script"),
    [
        ("empty", "engine.scripted.text=''"),
        ("unclosed", "engine.scripted.text='<think>so'"),
        ("duplicate", "engine.scripted.text=so"),
        ("repetitive", f"engine.scripted.text='{'so ' * 90}'"),
        ("failed", "engine.scripted.refuse=question"),
    ],
)
def test_every_sign_can_end_a_run(scripted, sign, script):
    done = scripted(script, f"stop_if.{sign}_fraction=0.5")
    assert done.code == 1 and f"above stop_if.{sign}_fraction=0.5" in done.errors[0]
    assert ("(such as: the script refuses prompts" in done.errors[0]) == (sign == "failed")


def test_in_a_sweep_a_bad_point_ends_alone(scripted, typed):
    done = scripted(CUT[1], "-m", "sampling.max_tokens=16,40")
    assert done.code == 1 and "1 of 2 points are done" in "".join(done.notes + done.errors)
    table = pd.read_parquet(typed.here / "r" / "sweep.parquet").set_index("sampling.max_tokens")
    assert table["status"].to_dict() == {16: "failed", 40: "done"}
    assert "stop_if.truncated_fraction" in table["error"][16]


def test_the_summary_has_the_signs_of_the_whole_run(scripted, typed):
    scripted("engine.scripted.text='<think>so'", "data.limit=50", "engine.max_num_seqs=16")
    done = scripted("engine.scripted.text='<think>so'", "engine.max_num_seqs=16")
    figures = json.loads((typed.here / "r" / "summary.json").read_text())
    assert (figures["unclosed_fraction"], figures["repetitive_fraction"]) == (1, 0)
    assert "; 100% reasoning unclosed" in done.out
    last = (typed.here / "r" / "attempts" / "2" / "metrics.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["duplicate_fraction"] == 7 / 8


@pytest.mark.parametrize(
    ("words", "is_told"),
    [
        (["engine.scripted.text=so"], True),
        (["engine.scripted.text=so", "sampling.n_samples=1"], False),
        (["sampling.temperature=0.1"], False),
    ],
)
def test_samples_that_repeat_each_other_raise_an_alarm(scripted, words, is_told):
    done = scripted(*words)
    assert done.code == 0
    assert ("repeat an earlier one, at temperature" in done.out) == is_told


def test_rows_that_cannot_be_sent_are_a_share_of_the_rows_begun(typed):
    """They fail before the rows ahead of them are answered: 6 % looked like 22 %."""
    prompts = [None if i % 16 == 0 else f"prompt {i}" for i in range(600)]
    pd.DataFrame({"prompt": prompts}).to_parquet(typed.here / "in.parquet")
    typed("engine=scripted", "tracking=none", "data.input=in.parquet", "sampling.n_samples=4",
          "stop_if.failed_fraction=0.2")  # fmt: skip
    assert typed.code == 0, typed.errors


@pytest.mark.vllm
def test_on_vllm_a_run_of_cut_off_thinking_ends_early(typed, tiny_model):
    """The chat template opens the reasoning; 8 tokens are too few to close it."""
    chats = [[{"role": "user", "content": f"question {i}"}] for i in range(40)]
    pd.DataFrame({"prompt": chats}).to_parquet(typed.here / "p.parquet")
    model = ["model=custom", f"model.model_path={tiny_model}", "engine=cpu", "tracking=none"]
    small = ["engine.kv_cache_gib=0.25", "sampling.max_tokens=8", "engine.max_num_seqs=16"]
    template = "model.chat_template='{{ messages[0].content }}<think>\n'"
    words = [*model, *small, template, "data.input=p.parquet", "run_dir=r", "sampling.n_samples=4"]
    done = typed(*words, "stop_if.unclosed_fraction=0.5", "stop_if.after_samples=32")
    assert done.code == 1, done.errors
    assert "did not finish within max_tokens=8, above stop_if.unclosed_fraction" in done.errors[0]

"""Verdicts, from the mark of a response to the exit code of the command."""

import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rollout.config.sections.export import Estimate, Unscored
from rollout.config.sections.postprocess import AnswerIs, Destination, Function, Postprocess
from rollout.postprocess.__main__ import main
from rollout.postprocess.postprocess import postprocess
from rollout.postprocess.scoring.scorers import Unscorable, answers_of, as_text
from rollout.postprocess.scoring.unclosed import responses_of
from rollout.system.console import Console

FUNCTION = """
def f(text, row):
    if text == "boom":
        return 1 / int(row["answer"])
    return text == row["answer"]
"""


def scored(tmp_path, rows, **more):
    """Score these rows; return the result and the scored rows."""
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    settings = Postprocess(**{"scorer": "math", "workers": 1} | more)
    result = postprocess(
        settings, tmp_path / "in.parquet", tmp_path / "out.parquet", Console(quiet=True)
    )
    return result, pq.read_table(result.path).to_pylist()


def unclosed(texts, reasons=None, closed=None, prompt="Q", closing="</think>"):
    found = responses_of(texts, closing, reasons, closed, lambda: prompt)
    return [response and response.is_unclosed for response in found]


CUT, STOP = "length", "stop"
CHAT = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "<think>\n"}]


@pytest.mark.parametrize(
    ("texts", "reasons", "closed", "prompt", "is_unclosed"),
    [
        (["<think>so 4"], [CUT], None, "Q", [True]),
        (["<think>so 4"], [STOP], None, "Q", [True]),
        (["<think>so</think>4", "4"], [CUT, CUT], None, "Q", [False, False]),
        (["so</think>4", "so 4"], [STOP, CUT], None, "Q", [False, True]),
        (["so 4"], [CUT], None, "Q <think>\n", [True]),
        (["so 4"], [CUT], None, CHAT, [True]),
        (["so 4", "so 4"], [CUT, STOP], [False, True], "Q", [True, False]),
        (["so 4"], [CUT], [True], CHAT, [False]),
        (["so 4", None], [CUT, CUT], None, "Q", [False, None]),
        (["so</think>4", "so 4"], None, None, "Q", [False, True]),
        (["so 4"], None, None, "Q", [False]),
        (["so</think>4", "4"], [STOP, STOP], None, "Q", [False, False]),
    ],
)
def test_reasoning_that_was_opened_and_never_ended_is_no_answer(
    texts, reasons, closed, prompt, is_unclosed
):
    assert unclosed(texts, reasons, closed, prompt) == is_unclosed


def test_another_closing_tag_has_its_own_opening_one_and_none_turns_it_off():
    assert unclosed(["[THINK]so 4"], [CUT], closing="[/THINK]") == [True]
    assert unclosed(["<think>so 4"], [CUT], closing="[/THINK]") == [False]
    assert unclosed(["<think>so 4"], [CUT], closing="") == [False]


def test_what_is_scored_follows_the_last_closing_tag():
    found = responses_of(["<think>a</think>b</think> c"], "</think>", ["length"], None, str)
    assert found[0] == (" c", True, False)


def test_a_response_cut_off_while_thinking_scores_nothing_and_is_counted_apart(tmp_path):
    texts = [r"<think>Maybe \boxed{4}? Let me", "<think>2</think> 4", "<think>2</think> 5"]
    row = {"prompt": "Q", "answer": "4", "responses": texts, "finish_reason": [CUT, STOP, STOP]}
    result, rows = scored(tmp_path, [row])
    assert rows[0]["verdicts"] == ["cut_off", "right", "wrong"]
    assert rows[0]["scores"] == [0.0, 1.0, 0.0]
    assert rows[0]["score_errors"][0] == "cut off before an answer"
    assert result.figures["num_cut_off"] == result.figures["num_right"] == 1


def test_a_row_without_a_right_answer_is_left_out_and_an_error_is_not_solved(tmp_path):
    (tmp_path / "mine.py").write_text(FUNCTION)
    function = Function(function=f"{tmp_path}/mine.py:f")
    rows = [{"answer": "0", "responses": ["0", "boom"]}]
    _, found = scored(tmp_path, rows, scorer="python", python=function)
    assert found[0]["verdicts"] == ["right", "error"] and found[0]["pass_rate"] == 0.5
    left_out = Estimate(unscored=Unscored.leave_out)
    again = {"estimate": left_out, "output": Destination(overwrite=True)}
    more = {"scorer": "python", "python": function} | again
    assert scored(tmp_path, rows, **more)[1][0]["pass_rate"] == 1


def test_the_first_error_of_a_kind_is_shown_whole_and_all_are_in_a_file(tmp_path):
    (tmp_path / "mine.py").write_text(FUNCTION)
    function = Function(function=f"{tmp_path}/mine.py:f")
    rows = [{"answer": "0", "responses": ["boom", "0"]}] * 3
    result, _ = scored(tmp_path, rows, scorer="python", python=function)
    lines = (tmp_path / "out.errors.jsonl").read_text().splitlines()
    assert [json.loads(line)["row"] for line in lines] == [0, 1, 2]
    text = str(result)
    assert 'mine.py", line 4' in text and text.count("Traceback") == 1
    assert "out.errors.jsonl: 3 samples" in text


def test_two_right_and_two_wrong_examples_say_what_was_compared_with_what(tmp_path):
    rows = [{"answer": str(i), "responses": [f"It is {i}.", "It is 77."]} for i in range(5)]
    text = str(scored(tmp_path, rows)[0])
    assert text.count("\nright  row") == text.count("\nwrong  row") == 2
    assert 'wrong  row 0, sample 1: extracted "77"' in text


def test_a_scoring_that_judged_nothing_ends_with_1(tmp_path, capsys):
    rows = [{"answer": "4", "responses": ["no idea", "none"]}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    words = [f"input={tmp_path}/in.parquet", f"output.path={tmp_path}/out.parquet"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "scorer=math", "workers=1"])
    out, err = capsys.readouterr()
    assert ended.value.code == 1 and "nothing could be judged" in err
    assert "no answer found" in out and (tmp_path / "out.parquet").exists()


def test_a_run_that_judged_nothing_ends_with_1_however_often_it_is_typed(typed):
    pd.DataFrame({"prompt": ["a"], "answer": ["4"]}).to_parquet(typed.here / "in.parquet")
    words = ("engine=scripted", "engine.scripted.text=No idea", "tracking=none", "run_dir=r")
    words += ("data.input=in.parquet", "postprocess.scorer=math", "sampling.n_samples=2")
    for _ in range(2):
        typed(*words)
        assert typed.code == 1, typed.out


@pytest.mark.parametrize("value", [None, [], float("nan"), [1, None], [1, 2]])
def test_a_row_without_one_right_answer_is_not_judged(value):
    with pytest.raises(Unscorable):
        answers_of({"answer": value}, Postprocess())


def test_lists_are_alternatives_only_with_answer_is():
    assert answers_of({"answer": [4]}, Postprocess()) == [4]
    assert answers_of({"answer": [4, 5]}, Postprocess(answer_is=AnswerIs.any)) == [4, 5]
    assert [as_text(v) for v in (3.0, 1e-05, True, 2**60)] == ["3", "1e-05", "True", str(2**60)]

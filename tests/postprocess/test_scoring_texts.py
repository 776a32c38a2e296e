"""scorer=regex, exact, json_schema, reasoning_gym and python: right, wrong, or the reason."""

import json
import math

import pytest

from rollout.config.sections import postprocess as s
from rollout.errors import UserError
from rollout.postprocess.scoring.scorers import (
    Response,
    Unscorable,
    Verdict,
    load_scorer,
    scorer_module,
)
from rollout.postprocess.scoring.worker import mark as marked


def scorer(name, **sections):
    """Return the scorer as a function of a response's text and the row."""
    score = load_scorer(s.Postprocess(scorer=name, **sections))
    return lambda text, row, is_cut=False: score(Response(text, is_cut), row)


def regex(pattern=r"Answer: (\S+)", **sections):
    names = {"which", "ignore_case", "match_only"}
    own = {name: value for name, value in sections.items() if name in names}
    others = {name: value for name, value in sections.items() if name not in names}
    return scorer("regex", regex=s.Regex(pattern=pattern, **own), **others)


def test_regex_compares_with_the_column_answer_without_being_asked():
    """Any match was right unless answer_key was typed, even with a column `answer`."""
    found = regex()("Answer: 1, no. Answer: 15", {"answer": "4"})
    assert (found.score, found.extracted, found.compared) == (0, "15", "4")
    assert regex(which=s.Which.first)("Answer: 4 Answer: 5", {"answer": "4"}).score == 1
    settings = s.Postprocess(scorer="regex")
    assert scorer_module(settings).columns(settings) == {"answer_key": "answer"}


def test_regex_scores_a_match_alone_only_with_match_only():
    assert regex(match_only=True)("Answer: 15", {}).score == 1
    assert regex("^$", match_only=True)("", {}).score == 1
    assert regex(match_only=True)("15", {})[:5] == (0, None, "no match", None, None)
    assert regex(match_only=True)("15", {}, True).verdict is Verdict.cut_off
    for use in (lambda x: scorer_module(x).columns(x), load_scorer):
        with pytest.raises(UserError, match=r"answer_key=gold has no effect"):
            use(
                s.Postprocess(
                    scorer="regex", answer_key="gold", regex=s.Regex(pattern="x", match_only=True)
                )
            )


@pytest.mark.parametrize(
    ("given", "answer", "score"),
    [("4", 4, 1), ("4", 4.0, 1), ("4.0", 4, 1), ("1,000", 1000, 1), ("0.5", 0.5, 1), ("4", "4", 1),
     ("4.0", "4", 0), ("yes", "Yes", 0), ("True", True, 1), ("1", True, 0), ("inf", 4.0, 0),
     ("12345678901234567890", 12345678901234567890, 1), ("nan", 4, 0), ("١", 1, 1)],
)  # fmt: skip
def test_regex_compares_texts_as_texts_and_numbers_by_value(given, answer, score):
    assert regex()(f"Answer: {given}", {"answer": answer}).score == score


def test_regex_takes_the_group_named_answer_or_the_first_that_matched():
    assert regex(r"(\w+)=(?P<answer>\d+)")("x=4", {"answer": 4}).score == 1
    assert regex(r"is (\d+)|equals (\d+)")("equals 4", {"answer": 4}).score == 1
    assert regex(r"Answer: (\w*)")("Answer: ", {"answer": "4"}).verdict is Verdict.no_answer
    assert regex("yes|no", ignore_case=True)("YES", {"answer": "yes"}).score == 1
    either = regex(answer_is=s.AnswerIs.any)("Answer: b", {"answer": ["a", "b"]})
    assert (either.score, either.compared) == (1, "a or b")


@pytest.mark.parametrize("name", ["regex", "exact"])
def test_all_answers_at_once_are_refused_by_scorers_that_take_one(name):
    with pytest.raises(UserError, match="answer_is=any"):
        scorer(name, answer_is=s.AnswerIs.all, regex=s.Regex(pattern="x"))


def test_exact_tells_no_answer_and_an_empty_gold_from_wrong():
    exact = scorer("exact")
    assert exact(" \n", {"answer": "a"}).verdict is Verdict.no_answer
    assert exact("3", {"answer": 3.0}).compared == "3"
    assert exact("a b", {"answer": "a"}, is_cut=True).verdict is Verdict.cut_off
    assert exact("a", {"answer": "a"}, is_cut=True).score == 1
    with pytest.raises(Unscorable, match="is empty"):
        exact("a", {"answer": " "})


@pytest.mark.parametrize(
    ("text", "score", "message"),
    [
        ('{"a": 1}', 1, None), ('~~~json\n{"a": 1}\n~~~', 1, None), ('\ufeff{"a": 1}\n', 1, None),
        ('- so:\n  ```json\n  {"a": 1}\n  ```', 1, None), ('````\n{"a": 1}\n````', 1, None),
        ('```json\n{"a": 2}\n```\n```json\n{"a": "x"}\n```', 0, "at a: 'x' is not of type"),
        ('{"a": 1} and so on', 0, "is not JSON: Extra data"), ('{"a": NaN}', 0, "NaN is not JSON"),
        ('{"a": 1, "a": 2}', 0, "the key 'a' appears twice"), ("Sorry", 0, "is not JSON"),
        ("[" * 99999, 0, "is not JSON"), ('{"b": 1}', 0, "'a' is a required property"),
    ],
)  # fmt: skip
def test_json_schema_says_what_is_wrong_with_a_response(text, score, message):
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    found = scorer("json_schema", json_schema=s.JsonSchema(schema=json.dumps(schema)))(text, {})
    assert (found.score, found.verdict) == (score, None)
    assert found.error is None if message is None else message in found.error


def test_json_schema_counts_an_empty_or_cut_response_apart_and_refuses_a_rows_bad_schema():
    score = scorer("json_schema", json_schema=s.JsonSchema(schema_key="schema"))
    row = {"schema": '{"type": "object"}'}
    assert score(" ", row).verdict is Verdict.no_answer
    assert score('{"a": ', row, is_cut=True).verdict is Verdict.cut_off
    for schema in (None, "{", '{"type": "integr"}', '{"$ref": "http://localhost:9/x.json"}'):
        with pytest.raises(Unscorable, match="schema"):
            score("3", {"schema": schema})


def test_reasoning_gym_tells_no_answer_and_unreadable_entries_from_wrong():
    pytest.importorskip("reasoning_gym", exc_type=ImportError)
    entry = {"question": "4+4", "answer": "8", "metadata": {"source_dataset": "basic_arithmetic"}}
    score = scorer("reasoning_gym")
    assert score("<answer>9</answer>", {"reasoning_gym_entry": entry}).compared == "8"
    assert score("<answer> </answer>", {"reasoning_gym_entry": entry}).verdict is Verdict.no_answer
    assert score("then 8", {"reasoning_gym_entry": entry}, True).verdict is Verdict.cut_off
    other = {"metadata": {"source_dataset": "no_such_task"}}
    for bad in (None, "{", "[]", {"metadata": {}}, other):
        with pytest.raises(Unscorable):
            score("8", {"reasoning_gym_entry": bad})


FUNCTIONS = """
import numpy
def plain(text, row): return {'score': numpy.float32(0.5), 'extracted': 7, 'compared': row['gold']}
def none(text, row): pass
def nan(text, row): return numpy.float64('nan')
def text(text, row): return '1'
def empty(text, row): return {}
async def later(text, row): return 1
def many(text, row): yield 1
def true(text, row): return numpy.bool_(True)
def array(text, row): return numpy.array([1, 2])
def raises(text, row): raise KeyError('gold')
"""


@pytest.mark.parametrize(
    ("name", "verdict", "message"),
    [
        ("none", Verdict.unjudged, "returned None"), ("nan", Verdict.error, "returned nan, not a"),
        ("text", Verdict.error, "returned str, not a number"),
        ("empty", Verdict.error, "dict without 'score'"),
        ("later", Verdict.error, "coroutine, not a score"),
        ("many", Verdict.error, "generator, not a score"), ("array", Verdict.error, "ndarray"),
        ("raises", Verdict.error, "KeyError: 'gold'"),
    ],
)  # fmt: skip
def test_a_users_function_that_gives_no_score_says_why(tmp_path, name, verdict, message):
    (tmp_path / "mine.py").write_text(FUNCTIONS)
    function = s.Function(function=f"{tmp_path}/mine.py:{name}")
    score = load_scorer(s.Postprocess(scorer="python", python=function))
    found = marked(score, Response("x"), {"gold": "x"})
    assert (found.score, found.verdict) == (None, verdict)
    assert message in found.error


def test_a_users_function_may_say_what_it_extracted_and_compared_with(tmp_path):
    (tmp_path / "mine.py").write_text(FUNCTIONS)
    plain, true = (s.Function(function=f"{tmp_path}/mine.py:{name}") for name in ("plain", "true"))
    found = scorer("python", python=plain)("x", {"gold": 8})
    assert (found.score, found.extracted, found.compared) == (0.5, "7", "8")
    assert scorer("python", python=true)("x", {}).score == 1
    assert math.isfinite(found.score)

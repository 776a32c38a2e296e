"""Each scorer alone: which responses are right, wrong or not scored."""

import json

import pytest

from rollout.config.sections import postprocess as s
from rollout.errors import UserError
from rollout.postprocess.scoring.scorers import (
    SCORERS,
    Response,
    Unscorable,
    load_scorer,
    scorer_module,
)


def scorer(name, **sections):
    """Return the scorer as a function of a response's text and the row."""
    score = load_scorer(s.Postprocess(scorer=name, **sections))
    return lambda text, row: score(Response(text), row)


@pytest.mark.parametrize(
    ("answer", "response", "score"),
    [
        (42, "The answer is 42.", 1),
        ("42", "The answer is 41.", 0),
        ("5", "The answer to the problem of 6 - 1 is 5.", 1),  # a minus sign, not a dash
        ("5", "The answer to (2 + 4) - 1 is 5.", 1),
        ("5", "The final answer - 5", 1),
        ("1,000", "so it is 1000", 1),
        (r"\frac{1}{2}", "we get $0.5$", 1),
        (r"$\frac12$", r"\boxed{\frac{2}{4}}", 1),
        (r"2\sqrt{3}", r"\boxed{2}", 0),
        (r"2\sqrt{3}", r"\boxed{\sqrt{12}}", 1),
        ("x^2+1", "$1 + x^2$", 1),
        ("(1,2)", "$(1, 2)$", 1),
        ("5 apples and 6 make 11\n#### 11", "That makes 11.", 1),
        (0.5, "1/2", 1),
        ("50%", r"\boxed{50\%}", 1),
        ("7", "I do not know", 0),
        ("7", r"first \boxed{7}, then 8", 1),
    ],
)
def test_math_compares_values_and_not_texts(answer, response, score):
    assert scorer("math")(response, {"answer": answer}).score == score


def test_math_gives_equal_numbers_one_text_for_majority_votes():
    given = ["2/4", "50%", "0.5", r"$\frac{1}{2}$", r"\boxed{1/2}", "$x = 0.50$"]
    assert {scorer("math")(text, {"answer": "1"}).extracted for text in given} == {"0.5"}


def test_a_missing_answer_cannot_be_scored():
    for name in ("math", "exact", "choice"):
        with pytest.raises(Unscorable, match="answer is null"):
            scorer(name)("B", {"answer": None})


def test_only_what_follows_the_last_end_of_thinking_is_scored():
    response = "<think>41? </think> 42 </think>\n43"
    assert scorer("math")(response, {"answer": "43"}).score == 1
    assert scorer("exact", after="</x>")("42", {"answer": "42"}).score == 1
    assert scorer("exact", after="")("a</think>b", {"answer": "b"}).score == 0


def test_exact_ignores_only_what_its_settings_say():
    row = {"answer": "The Answer"}
    assert scorer("exact")(" The \n Answer ", row).score == 1
    assert scorer("exact")("the answer.", row).score == 0
    lenient = s.Exact(ignore_case=True, ignore_punctuation=True)
    assert scorer("exact", exact=lenient)("the answer.", row).score == 1
    assert scorer("exact", exact=s.Exact(ignore_space=False))("The Answer ", row).score == 0
    either = scorer("exact", answer_is=s.AnswerIs.any)
    assert either("b", {"answer": ["a", "b"]}).score == 1


def test_json_schema_accepts_json_that_the_schema_allows():
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    score = scorer("json_schema", json_schema=s.JsonSchema(schema=json.dumps(schema)))
    texts = {'{"a": 1}': 1, 'Here:\n```json\n{"a": 1}\n```\n': 1, '{"a": "1"}': 0, "{": 0, "NaN": 0}
    assert {text: score(text, {}).score for text in texts} == texts
    assert score('{"b": 2,  "a": 1}', {}).extracted == '{"a": 1, "b": 2}'


def test_json_schema_of_a_row_is_used_and_nothing_is_fetched():
    score = scorer("json_schema", json_schema=s.JsonSchema(schema_key="schema"))
    assert score("3", {"schema": '{"type": "integer"}'}).score == 1
    with pytest.raises(Unscorable, match="not a JSON schema"):
        score("3", {"schema": '{"type": "integr"}'})
    with pytest.raises(Exception, match=r"Unresolvable"):
        score("3", {"schema": '{"$ref": "http://localhost:9/schema.json"}'})


def test_python_calls_the_users_function_with_the_row(tmp_path):
    (tmp_path / "mine.py").write_text(
        "def f(text, row):\n    return {'score': text == row['gold'], 'extracted': 7}\n"
        "def none(text, row): pass\n"
    )
    chosen = s.Function(function=f"{tmp_path}/mine.py:f")
    mark = scorer("python", python=chosen)("x", {"gold": "x"})
    assert (mark.score, mark.extracted) == (1, "7")
    none = s.Function(function=f"{tmp_path}/mine.py:none")
    with pytest.raises(Unscorable, match="returned None"):
        scorer("python", python=none)("x", {})


def test_reasoning_gym_calls_the_tasks_own_verifier():
    pytest.importorskip("reasoning_gym", exc_type=ImportError)
    entry = {"question": "4+4", "answer": "8", "metadata": {"source_dataset": "basic_arithmetic"}}
    row = {"reasoning_gym_entry": json.dumps(entry)}
    score = scorer("reasoning_gym")
    assert score("I think <answer>8</answer>", row).score == 1
    assert score("8", row).score == 1
    assert score("<answer>9</answer>", row).score < 1
    with pytest.raises(Unscorable, match="source_dataset"):
        score("8", {"reasoning_gym_entry": "{}"})


@pytest.mark.parametrize(
    ("name", "sections", "message"),
    [
        ("regex", {}, "needs a pattern"),
        ("regex", {"regex": s.Regex(pattern="(")}, "not a Python pattern"),
        ("json_schema", {}, "needs one schema"),
        ("json_schema", {"json_schema": s.JsonSchema(schema='{"type": 3}')}, "not a JSON schema"),
        ("json_schema", {"json_schema": s.JsonSchema(schema="gone.json")}, "No such file"),
        ("python", {}, "needs a function"),
        ("python", {"python": s.Function(function="gone.py:f")}, "no file"),
        ("python", {"python": s.Function(function="json:dump_s")}, "Did you mean 'dumps'"),
        ("python", {"python": s.Function(function="no_such_module:f")}, "no module"),
        ("choice", {"choice": s.Choice(letters="AA")}, "different letters"),
        ("code", {}, "code.allow=true"),
        ("maths", {}, "Did you mean 'math'"),
        (None, {}, "scorer is not set"),
    ],
)
def test_bad_settings_are_refused_with_what_to_type(name, sections, message):
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        scorer(name, **sections)


def test_every_scorer_names_its_columns():
    for name in SCORERS:
        columns = scorer_module(s.Postprocess(scorer=name)).columns(s.Postprocess(scorer=name))
        assert columns is None or all(isinstance(c, str) for c in columns.values())

"""scorer=math on labelled answers: right ones, near misses, and unreadable ground truths."""

import json
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import DATA

from rollout.config.sections import postprocess as s
from rollout.postprocess.scoring.scorers import Response, Unscorable, Verdict, load_scorer

LINES = (DATA / "math_cases.jsonl").read_text(encoding="utf-8")
CASES = [json.loads(line) for line in LINES.splitlines()]
JUDGED = [case for case in CASES if "answer" in case]
score = load_scorer(s.Postprocess(scorer="math"))


def mark(text, answer, is_cut=False, answer_is=s.AnswerIs.one):
    scorer = load_scorer(s.Postprocess(scorer="math", answer_is=answer_is))
    return scorer(Response(text, is_cut), {"answer": answer})


@pytest.mark.parametrize("case", JUDGED, ids=lambda case: str(case["answer"])[:40])
def test_answers_are_scored_as_labelled(case):
    """Some 800 responses, each of a kind that was once scored wrongly."""
    for kind, right in (("right", 1.0), ("wrong", 0.0)):
        got = {text: score(Response(text), case).score for text in case.get(kind, [])}
        assert got == dict.fromkeys(got, right)


@pytest.mark.parametrize("answer", [case["refused"] for case in CASES if "refused" in case])
def test_a_right_answer_that_is_not_read_whole_leaves_its_row_unjudged(answer):
    with pytest.raises(Unscorable, match="be read in full as mathematics"):
        mark("5", answer)
    with pytest.raises(Unscorable):
        mark("", answer)


WRAPS = (
    "{}", "\\boxed{{{}}}", "**{}**", "The answer is {}.", "<answer>{}</answer>", "#### {}",
    "${}$", "= {}",
    "Answer: {}", "So we get $x = {}$.", "*{}*", "**Answer:** {}", "\\[ {} \\]", "Answer:{}",
    "First 3, then 4.\n\nThe final answer is $\\boxed{{{}}}$. I hope it is correct.",
)  # fmt: skip


def grouped(text, separator):
    whole, point, places = text.lstrip("-").partition(".")
    sign = "-" if text.startswith("-") else ""
    return sign + f"{int(whole):,}".replace(",", separator) + point + places


def renderings(number):
    """Return one number in every notation."""
    text, exact = format(number, "f"), Fraction(number)
    digits, power = f"{number:e}".split("e")
    sign = "-" if exact < 0 else ""
    forms = [
        text, grouped(text, ","), grouped(text, "{,}"), grouped(text, "\\,"), f"{number:e}",
        f"{exact.numerator}/{exact.denominator}", f"{digits} \\times 10^{{{int(power)}}}",
        f"{sign}\\frac{{{abs(exact.numerator)}}}{{{exact.denominator}}}",
        text + ("00" if "." in text else ".00"),
    ]  # fmt: skip
    typographic = [form.replace("-", "−") for form in forms]
    wide = [form.translate({ord(c): ord(c) + 0xFEE0 for c in "0123456789"}) for form in forms]
    return [*forms, *typographic, *wide]


numbers = st.builds(
    lambda digits, places: Decimal(digits).scaleb(-places),
    st.integers(-(10**9), 10**9).filter(bool),
    st.integers(0, 7),
)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_number_is_right_in_every_notation(data):
    forms = st.sampled_from(renderings(data.draw(numbers)))
    answer, response, wrap = (data.draw(x) for x in (forms, forms, st.sampled_from(WRAPS)))
    assert mark(wrap.format(response), answer).score == 1


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_number_with_one_digit_changed_is_wrong_in_every_notation(data):
    number = data.draw(numbers)
    text = format(number, "f")
    at = data.draw(st.sampled_from([i for i, char in enumerate(text) if char.isdigit()]))
    other = data.draw(st.sampled_from([c for c in "0123456789" if c != text[at]]))
    changed = Decimal(text[:at] + other + text[at + 1 :])
    answer = data.draw(st.sampled_from(renderings(number)))
    response = data.draw(st.sampled_from(renderings(changed)))
    assert mark(data.draw(st.sampled_from(WRAPS)).format(response), answer).score == 0


@pytest.mark.parametrize(
    "text",
    ["5+12 = 17 and then", "17", "The answer is 17", r"so \boxed{17", "#### 17", "<answer>17",
     r"\boxed{17}. No, \boxed{1"],
)  # fmt: skip
def test_a_response_cut_off_before_its_answer_ended_has_none(text):
    assert mark(text, "17", is_cut=True).verdict is Verdict.cut_off


@pytest.mark.parametrize(
    "text",
    [r"\boxed{17}. To see", "The answer is 17. We", "#### 17\n\nNow", "<answer>17</answer> as",
     "The answer is 17 apples", r"So \boxed{17}. So \boxed{17"],
)  # fmt: skip
def test_a_cut_response_counts_where_its_answer_ended_before(text):
    assert mark(text, "17", is_cut=True).score == 1


def test_no_answer_is_told_from_a_wrong_one():
    assert mark("I can't solve this.", "17").verdict is Verdict.no_answer
    assert mark("", "17").verdict is Verdict.no_answer
    assert mark(r"\boxed{18}", "17").verdict is None
    assert mark("", "1,700").compared == "1700"


def test_a_list_of_answers_is_what_answer_is_says():
    both, some, every = ["3", "4"], s.AnswerIs.any, s.AnswerIs.all
    assert [mark(text, both, answer_is=some).score for text in ("4", "5", "3")] == [1, 0, 1]
    assert [mark(text, both, answer_is=every).score for text in ("4, 3", "4", "3, 4, 5")] == [
        1,
        0,
        0,
    ]
    assert mark(r"\boxed{3} and \boxed{4}", both, answer_is=every).score == 1
    with pytest.raises(Unscorable, match="answer_is=any"):
        mark("4", both)


@pytest.mark.parametrize(
    ("answer", "compared"),
    [
        ("1,234", "1234"), ("$1,234.50", "1234.50"), (r"\$36", "36"), ("36 dollars", "36"),
        ("3*4=12\n#### 1,200", "1200"), (r"so $x = \boxed{\frac{3}{4}}$.", r"\frac{3}{4}"),
        ("$x^2$", "x^2"), (1e-05, "0.00001"), (3.0, "3"), (True, "True"), ("(B)", "(B)"),
        (r"5\text{ cm}", r"5\text{ cm}"), ("50%", "50"), ("１７", "17"), (Decimal("2.50"), "2.50"),
    ],
)  # fmt: skip
def test_what_training_compares_with_is_the_answer_alone(answer, compared):
    assert mark("1", answer).compared == compared


@pytest.mark.parametrize(
    ("texts", "extracted"),
    [
        (["2/4", "50%", "0.5", r"$\frac{1}{2}$", r"\boxed{1/2}", "$x = 0.50$", "½"], "0.5"),
        (["2/6", r"\frac13", r"0.\overline{3}"], "1/3"), (["1,234", "1234.0"], "1234"),
        ([r"\sqrt{12}", r"2\sqrt3", "2√3"], "2*sqrt(3)"), (["3, 2", r"\{2,3\}"], None),
        (["x^2+1", "1 + x²", "$f(x)=x^2+1$"], "x**2 + 1"), (["12:30 PM", "12:30"], "12:30"),
        (["(1, 0.5)", r"\left(1,\frac12\right)"], "(1, 0.5)"), (["1e-20", "10^{-20}"], "1e-20"),
        ([r"\boxed{Blue}", r"\boxed{\text{blue}}"], "blue"),
    ],
)  # fmt: skip
def test_equal_answers_are_one_text_for_majority_votes(texts, extracted):
    found = [mark(text, "1").extracted for text in texts]
    assert extracted is None or set(found) == {extracted}


HOSTILE = [
    "9" * 3000, "x" * 3000, "((" * 500, "\\frac{" * 300, "- " * 900, "answer is " * 400,
    r"\boxed{" * 300, "10^{10^{10^{10}}}", "1e99999999", "2^{10^{9}}", "((9!)!)!",
    "x^{10^{10^{10}}}",
    "(x+1)^{1000000}", r"\sum_{k=1}^{10^{9}} k^k", "x+" * 300 + "x", "1, " * 300,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:20])
def test_hostile_texts_are_wrong_soon(text):
    assert mark(text, "17").score == 0
    assert mark(f"The answer is {text}", "17").score == 0

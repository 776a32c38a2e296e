"""scorer=choice: the letter that a response chooses, and the values of the answer column."""

import math
from decimal import Decimal

import pytest
from hypothesis import given, settings, strategies
from processes import DATA

from rollout.config.sections import postprocess as s
from rollout.errors import UserError
from rollout.postprocess.scoring.choice.letters import reader
from rollout.postprocess.scoring.scorers import Response, Unscorable, Verdict, load_scorer

LINES = (DATA / "choice_texts.txt").read_text("utf-8").splitlines()
TEXTS = [line.split(" ", 1) for line in LINES if not line.startswith(";")]
A_TO_J = reader("ABCDEFGHIJ")


def mark(text, answer, *, is_cut=False, answer_is="one", **choice):
    chosen = s.Postprocess(
        scorer="choice", answer_is=s.AnswerIs[answer_is], choice=s.Choice(**choice)
    )
    return load_scorer(chosen)(Response(text, is_cut), {"answer": answer})


@pytest.mark.parametrize(("want", "text"), TEXTS)
def test_a_text_is_read_as_the_letter_it_settles_on(want, text):
    chosen = A_TO_J(text.replace("\\n", "\n"))
    several = len(chosen.labels) > 1 or chosen.is_unsure
    assert ("?" if several else "".join(chosen.labels) or "-") == want


def test_no_letter_and_several_letters_are_no_answer_and_counted_apart():
    for text in ("", "Jupiter", "I rule out B.", "A and C", "The answer is A or B."):
        found = mark(text, "B")
        assert (found.score, found.verdict, found.compared) == (0, Verdict.no_answer, "B")
    assert mark("A and C", "A").error == "no single answer: the response names A, C"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("The answer is B. Option A", None), (r"\boxed{B} because", None), ("B", None),
        ("**B**\n\nOption A is", None), ("<answer>B", None), ("I choose B, since", None),
        ("A) Mars is small", Verdict.cut_off), ("Then (B) might", Verdict.cut_off),
        ("B is correct about", Verdict.cut_off), ("Let me see.\n\nA", Verdict.cut_off),
    ],
)  # fmt: skip
def test_a_response_that_was_cut_off_has_to_state_its_answer(text, verdict):
    assert mark(text, "B", is_cut=True).verdict is verdict


@pytest.mark.parametrize(
    "gold",
    ["B", "b", "(B)", "（B）", "B.", "B. Paris", "B) Paris", "B: Paris", "(B) Paris", "**B**",
     "[B]", "B.巴黎", "B.Paris", "Answer: B", "The answer is B", "#### B", "Option B", 1,
     1.0, Decimal(1), r"Jupiter is the largest, so \boxed{B}", " B\n"],
)  # fmt: skip
def test_a_right_answer_is_read_from_letters_solutions_and_integers(gold):
    found = mark("The answer is B.", gold)
    assert (found.score, found.extracted, found.compared) == (1, "B", "B")


@pytest.mark.parametrize(
    "gold",
    ["Paris", "None of the above", "K", "", "D.C.", "A dog", "Both A and B", "B or C", 26, -1, 1.5,
     True, "A, B", "AB", None, math.nan, "1", "0", "2.0", "B-cells", "Because", ["A"] * 2, []],
)  # fmt: skip
def test_a_right_answer_that_is_no_single_letter_is_refused(gold):
    with pytest.raises(Unscorable):
        mark("The answer is B.", gold)


def test_a_digit_as_text_is_refused_with_the_setting_that_says_what_it_means():
    with pytest.raises(Unscorable, match=r"type choice\.numbers_are=positions_from_zero"):
        mark("C", "2")
    meant = {name: s.NumbersAre[name] for name in ("positions_from_zero", "positions_from_one")}
    assert mark("C", "2", numbers_are=meant["positions_from_zero"]).score == 1
    assert mark("B", "2", numbers_are=meant["positions_from_one"]).score == 1
    assert mark("B", 2, numbers_are=meant["positions_from_one"]).score == 1


def test_digits_that_are_labels_are_read_as_labels():
    assert mark("The answer is 2, not 3.", "2", letters="1234").score == 1
    assert mark(r"\boxed{3}", "2", letters="1234").score == 0
    assert mark("1 + 2 makes 3.", "3", letters="1234").verdict is Verdict.no_answer
    assert mark("Answer: C", "C", letters="ABCD1234").score == 1
    assert mark("Answer: 3", "3", letters="ABCD1234").score == 1
    with pytest.raises(Unscorable, match=r"choice\.numbers_are"):
        mark("2", 2, letters="1234")
    assert mark("2", 2, letters="1234", numbers_are=s.NumbersAre.labels).score == 1
    with pytest.raises(UserError, match="has no digits"):
        mark("2", 2, numbers_are=s.NumbersAre.labels)


@pytest.mark.parametrize(
    ("text", "score"),
    [("A and C", 1), (r"\boxed{C, A}", 1), ("The answers are A and C.", 1), ("Answer: AC", 1),
     ("A", 0), ("Answer: A, B and C", 0), ("The answer is A or C.", 0),
     ("Options A and C are both correct. B is wrong.", 1), ("A is correct. C is correct.", 1)],
)  # fmt: skip
def test_all_answers_have_to_be_named_where_all_are_asked_for(text, score):
    for gold in (["A", "C"], "A, C", "AC", [0, 2]):
        assert mark(text, gold, answer_is="all").score == score


def test_any_of_several_answers_will_do_where_that_is_asked_for():
    assert mark("C", ["A", "C"], answer_is="any").score == 1
    assert mark("B", "A, C", answer_is="any").score == 0
    assert mark("A and C", ["A", "C"], answer_is="any").verdict is Verdict.no_answer


@pytest.mark.parametrize(
    "text",
    ["the answer is " * 9999, "A, " * 9999, "answer" + "\n" * 99999, "(" * 99999, "wait " * 9999,
     r"\boxed{" * 9999, "A or " * 9999, "<answer>" * 9999, "**" * 99999, r"\text{" * 9999],
)  # fmt: skip
def test_no_text_takes_long_to_read(text, request):
    import time

    start = time.process_time()
    A_TO_J(text)
    assert time.process_time() - start < 8


STATEMENTS = (
    "The answer is {}.", "Answer: {}", "**Answer:** ({})", "Correct answer: {}. Jupiter",
    "**Option {}** is the best.", "I choose {}.", r"\boxed{{{}}}", r"$\boxed{{\text{{({})}}}}$",
    "<answer>{}</answer>", "So the correct option is ({}) Jupiter.", "{} is the correct answer.",
)  # fmt: skip
BEFORE = (
    "Let me think.", "Option {} is too small.", "({}) may seem right.", "We can rule out {}.",
    "You might think the answer is {}.", "Is it {}? No.", "First, {} is a planet near the sun.",
)  # fmt: skip
AFTER = (
    "Option {} is wrong.", "- **Option {}**: too hot", "Note that option {} is a distractor.",
    "The answer is not {}.", "({}) is incorrect.", "Many students choose {}.", "{}: too far away",
    "I would rule out {}.", "If the answer were {}, it would be small.", "{} is a star.",
    "Why not {}? It is too cold.", "The second best option is {}.", "Unlike {}, it is large.",
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(data=strategies.data())
def test_a_stated_letter_is_read_whatever_is_said_of_the_others(data):
    right = data.draw(strategies.sampled_from("ABCDE"))
    other = strategies.sampled_from([letter for letter in "ABCDE" if letter != right])

    def lines(templates):
        chosen = data.draw(strategies.lists(strategies.sampled_from(templates), max_size=4))
        return [template.format(data.draw(other)) for template in chosen]

    stated = data.draw(strategies.sampled_from(STATEMENTS)).format(right)
    space = data.draw(strategies.sampled_from(["\n", "\n\n"]))
    text = space.join([*lines(BEFORE), stated, *lines(AFTER)])
    assert reader("ABCDE")(text).labels == (right,), text

"""scorer=math: which of the values in a text is its answer."""

import pytest

from rollout.config.sections import postprocess as s
from rollout.postprocess.scoring.scorers import Response, Verdict, load_scorer

score = load_scorer(s.Postprocess(scorer="math"))

RIGHT = {
    "denied": [
        ("5", "The answer is not 4 but 5."), ("5", "The answer is not 4, it is 5."),
        ("5", "It isn't 4. It is 5."), ("17", "The answer is 17 (not 18)."),
        ("5", "So x is 5, not 4."), ("5", "4? No. It is 5."), ("5", "Die Antwort ist 5, nicht 6."),
    ],
    "negative": [
        ("-4", "The answer is negative 4."), ("-4", "The answer is minus 4."),
        ("-4", "The answer is negative four."), ("-3", "The temperature is negative 3."),
        ("4", "The answer is 5 minus 1."),
    ],
    "done": [  # not left open, or marked as the answer
        ("77", "29 + 48 = 77"), ("77", "77 = 29 + 48"), ("77", "So we get 29 + 48 = 77 apples."),
        ("77", "\\boxed{29 + 48}"), ("77", "#### 29 + 48"), ("77", "Answer: 29 + 48"),
        ("18", "The answer is 18. To check: 9 + 9."), ("3/4", "3/4"), ("1023", "2^{10} - 1"),
        ("1 + \\sqrt{2}", "1 + \\sqrt{2}"), ("7 + 4", "7 + 4"), ("7.5", "7 1/2"), ("-5", "-5"),
    ],
    "spelled": [
        ("5/6", "The answer is 5 over 6."), ("5/6", "The answer is 5 divided by 6."),
        ("1/2", "The answer is one half."), ("1/3", "The answer is one third."),
        ("2/3", "The answer is two thirds."), ("3000000", "The answer is 3 million."),
        ("120", "The answer is 5 factorial."), ("25", "The answer is 5 to the power of 2."),
        ("\\sqrt{2}", "The answer is the square root of 2."), ("2", "The answer is half of 4."),
        ("8", "The answer is twice 4."), ("2.5", "The answer is two and a half."),
    ],
    "explained": [
        ("5", "The answer is 5 apples."), ("18", "The answer is $18 per day."),
        ("72", "The answer is 72 hours in total."), ("42", "The answer is 42 because 6*7 is so."),
        ("5", "The answer is 5 times."), ("12", "Final answer: The total cost is $12."),
        ("7", "The answer is the sum of 3 and 4, which is 7."), ("18", "Answer: Janet earns $18."),
        ("12", "The answer to part 1 is 4.\nFinal answer: The total cost is $12."),
        ("5", "The answer is the following:\n5"), ("5", "The answer is as follows:\n\n5"),
        ("6", "6 (six)"), ("6", "Answer: 6 (six)"), ("6", "six (6)"), ("5", "5\n\nConfidence: 90"),
    ],
    "retracted": [
        ("5", "The answer is 4. No, that's wrong. It is 5."),
        ("42", "The answer is 41. Wait, I miscounted, it should be 42."),
        ("5", "\\boxed{4}? No wait, the answer should be 5."),
        ("6", "The answer would be 4 if it were even, but it is odd, so it is 6."),
        ("5", "The answer is 4. Correction: 5."), ("7", "\\boxed{5} Hmm, wait. \\boxed{7}"),
        ("4", "The answer is 4. Wait, let me check: 2+2=4. Yes."),
        ("72", "\\boxed{72}\n\nActually, that is 24*3=72, so 24 was tripled."),
    ],
    "commented": [
        ("72", "\\boxed{72}\n\nThe final answer is correct: 24*3=72, and 72/2=36."),
        ("72", "\\boxed{72}\nThe final answer is rounded to 0 decimals."),
        ("72", "#### 72\nThe answer is reasonable because 72 > 48."),
        ("72", "The answer is 72.\n\nThe answer is verified: 72/3=24."),
        ("72", "The answer is 72. I hope this answer is helpful! Ask me 1 more."),
        ("72", "Answer: 72\n\nNote that the answer is the same if 48 is used."),
        ("72", "<answer>72</answer>\nThe final answer is rounded to 0 decimals."),
        ("72", "The answer is 72. The answer is less than 100, as it should be."),
        ("7", "\\boxed{5}\nThe final answer is 7."), ("Yes", "Answer: Yes\nThe answer is right."),
    ],
    "words": [
        ("Yes", "Yes, it is."), ("Yes", "Yes. Because 4 is even."), ("No", "No, it is not."),
        ("Yes", "**Yes**, it converges."), ("Yes", "The answer is yes, since 4 is even."),
        ("Yes", "The answer is yes because it converges."), ("No", "The answer is no, since 3."),
        ("True", "True, because 2 < 3."), ("False", "False. 3 is odd."), ("No", "No. 3 is odd."),
        ("False", "The answer is false because 3 is odd."), ("Yes", "2 < 3.\nSo yes, it is."),
    ],
}  # fmt: skip
WRONG = {
    "denied": [
        ("4", f) for f in (
            "The answer is not 4.", "The answer isn't 4.", "The answer is definitely not 4.",
            "The answer cannot be 4.", "It is not 4.", "4? No.", "The answer can't be 4.",
            "The answer is not $4$.", "The answer is not 4 but 5.", "The answer is not 4 apples.",
        )
    ],
    "negative": [
        ("4", "The answer is negative 4."), ("4", "The answer is negative four."),
        ("3", "The temperature is negative 3."), ("4", "The answer is minus 4."),
    ],
    "a part": [
        *(("5", f"The answer is {f}.") for f in (
            "5 over 6", "5 out of 6", "5 divided by 6", "5 minus 1", "5 plus 3", "5 factorial",
            "5 to 7", "5 feet 6 inches", "5 to the power of 2", "at least 5", "5 or more",
            "5 squared", "5 times 6", "more than 5",
        )),
        *(("4", f"The answer is {f}.") for f in (
            "half of 4", "twice 4", "less than 4", "at most 4", "between 3 and 4", "up to 4",
        )),
        ("2", "The answer is the square root of 2."), ("1", "The answer is one half."),
        ("1", "The answer is one third."), ("2", "The answer is two thirds."),
        ("3", "The answer is 3 million."), ("6", "The answer is 5 over 6."),
    ],
    "open": [  # a sum that is left open, often the question itself
        *(("77", t) for t in (
            "29 + 48", "29 + 48 = ?", "29 + 48 =", "12 = 29 + 48", "$29 + 48$", "x = 29 + 48",
            "The problem asks for 29 + 48.", "We must compute 29 + 48 first",
            "To find the answer to 29 + 48, we add", "29 + 48 is undefined.",
        )),
        ("26", "An empty sum of 8 + 7 + 5 + 6 equals the original number itself."),
        ("9", "On average, 7 - 2 = 3 drops to 7 + 2."), ("9", "0 - -9 is undefined."),
        ("12", "It is 3 x 4"), ("5", "0.5 * 10"), ("12", "(3)(4)"), ("5/6", "1/2 + 1/3"),
        ("7107", "To find the answer to the given equation: 7383 - 4277 + 5865 - 1864, we add."),
    ],
    "retracted": [
        ("4", "The answer is 4. No, that's wrong. It is 5."),
        ("41", "The answer is 41. Wait, I miscounted, it should be 42."),
        ("4", "\\boxed{4}? No wait, the answer should be 5."),
        ("4", "The answer would be 4 if it were even, but it is odd, so it is 6."),
        ("4", "The answer is 4. No, that's wrong."),
    ],
    "words": [
        ("No", "Yes, it is."), ("Yes", "No. 3 is odd."), ("True", "The answer is false, as 3 is."),
    ],
}  # fmt: skip


def _cases(table):
    return [pytest.param(*case, id=f"{kind}-{i}") for kind in table for i, case in
            enumerate(table[kind])]  # fmt: skip


@pytest.mark.parametrize(("answer", "text"), _cases(RIGHT))
def test_the_value_that_is_stated_is_the_answer(answer, text):
    assert score(Response(text), {"answer": answer}).score == 1


@pytest.mark.parametrize(("answer", "text"), _cases(WRONG))
def test_a_value_that_is_denied_or_a_part_or_taken_back_is_not(answer, text):
    assert score(Response(text), {"answer": answer}).score == 0


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, I can't solve problem 7.", "I cannot answer question 7.",
        "I don't know. There are 7 unknowns.", "I am unable to solve problem 7.",
    ],
)  # fmt: skip
def test_a_refusal_is_no_answer(text):
    mark = score(Response(text), {"answer": "7"})
    assert (mark.score, mark.verdict) == (0, Verdict.no_answer)

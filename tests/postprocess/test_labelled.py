"""Scorers against labelled data: cases of our own, HumanEval and GSM8K (tests/data/README.md)."""

import sys
from concurrent.futures import ThreadPoolExecutor

import labelled
import pytest

CASES = labelled.cases()
KINDS = sorted({case["kind"] for case in CASES})
SHAPES = list(labelled.shapes(labelled.humaneval()[0]))
SHOWN = 5

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="contained on Linux only")


@pytest.fixture(scope="module")
def scored_cases(tmp_path_factory):
    """For each case its responses' scores, and the last line of the command."""
    at = tmp_path_factory.mktemp("cases")

    def score(places):
        first = CASES[places[0]]
        rows = [{"prompt": "x", **CASES[place]["row"]} for place in places]
        words = ["workers=1", *first["settings"]]
        scores, said = labelled.score(rows, first["scorer"], *words, at=at / str(places[0]))
        # Refused whole: each response is left without a score.
        scores = scores or [[None] * len(row["responses"]) for row in rows]
        return {place: (given, said) for place, given in zip(places, scores, strict=True)}

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(score, labelled.batches(CASES)))
    return {place: given for result in results for place, given in result.items()}


@pytest.fixture(scope="module")
def scored_humaneval(tmp_path_factory):
    """All problems as distributed: each row's scores, in the order of SHAPES."""
    rows = [
        {**problem, "responses": [text for text, _ in labelled.shapes(problem).values()]}
        for problem in labelled.humaneval()
    ]
    words = ["code.allow=true", "code.tests_key=test"]
    scores, said = labelled.score(rows, "code", *words, at=tmp_path_factory.mktemp("h") / "at")
    assert scores, said
    return scores


@on_linux
@pytest.mark.parametrize("kind", KINDS)
def test_every_labelled_response_gets_a_score_that_is_right(kind, scored_cases):
    wrong = []
    for place, case in enumerate(CASES):
        scores, said = scored_cases[place]
        pairs = zip(case["row"]["responses"], scores, case["expected"], strict=True)
        for response, given, right in pairs:
            if case["kind"] == kind and given not in right:
                gold = case["row"].get("answer")
                wrong.append(f"{response[-60:]!r} against {gold!r}: {given}, not {right}; {said}")
    assert not wrong, "\n".join(wrong)


@on_linux
@pytest.mark.parametrize("shape", SHAPES)
def test_humaneval_as_distributed_passes_right_programs_and_no_others(shape, scored_humaneval):
    place, problems = SHAPES.index(shape), labelled.humaneval()
    right = labelled.shapes(problems[0])[shape][1]
    wrong = [
        (problem["task_id"], scores[place])
        for problem, scores in zip(problems, scored_humaneval, strict=True)
        if scores[place] != right
    ]
    assert not wrong, f"{len(wrong)} of {len(problems)} don't get {right}: {wrong[:SHOWN]}"


@pytest.mark.parametrize("gold", ["answer", "solution"])
def test_math_agrees_with_every_label_of_gsm8ks_solutions(gold, tmp_path):
    rows = labelled.gsm8k()
    wanted = [row["is_correct"] for row in rows]
    given = [{key: row[key] for key in (gold, "prompt", "responses")} for row in rows]
    scores, said = labelled.score(given, "math", f"answer_key={gold}", at=tmp_path / "at")
    assert scores, said
    wrong = [
        (rows[i]["responses"][j][-40:], rows[i]["answer"], scores[i][j])
        for i, labels in enumerate(wanted)
        for j, label in enumerate(labels)
        if scores[i][j] != float(label)
    ]
    assert not wrong, f"{len(wrong)} of {sum(map(len, wanted))} differ: {wrong[:SHOWN]}"


def test_math_reads_numbers_and_formulas_in_every_notation(tmp_path):
    """2^100 + 1 once passed for 2^100, and `10,200,3000` was read as two numbers."""
    golds = labelled.math_pairs()
    scores, said = labelled.score(
        [{"answer": gold["answer"], "responses": [*labelled.responses_to(gold)]} for gold in golds],
        "math", at=tmp_path / "at",
    )  # fmt: skip
    assert scores, said
    wrong = [
        (gold["answer"], response, score)
        for gold, row in zip(golds, scores, strict=True)
        for (response, right), score in zip(labelled.responses_to(gold).items(), row, strict=True)
        if score != right
    ]
    assert not wrong, f"{len(wrong)} differ: {wrong[:SHOWN]}"

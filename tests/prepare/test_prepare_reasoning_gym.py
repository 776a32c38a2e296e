"""python -m rollout.prepare: tasks of reasoning_gym, and the scores of their answers."""

import pytest
from preparing import made, refusal

TASKS = (
    "leg_counting", "chain_sum", "basic_arithmetic", "gcd", "word_sorting", "number_sorting",
    "spell_backward", "countdown", "mini_sudoku", "knights_knaves", "propositional_logic",
    "simple_equations",
)  # fmt: skip


def test_the_right_answers_of_reasoning_gym_score_one_after_the_round_trip(here):
    pytest.importorskip("reasoning_gym", exc_type=ImportError)
    from rollout.config.sections.postprocess import Postprocess
    from rollout.postprocess.scoring.reasoning_gym import load
    from rollout.postprocess.scoring.scorers import Response

    rows = made(here, "reasoning_gym", task=",".join(TASKS), size=3)
    score = load(Postprocess(scorer="reasoning_gym"))
    assert len(rows) == 3 * len(TASKS)
    for row in rows:
        asked = row["prompt"][0]["content"]
        assert asked == row["question"] and row["task"] in TASKS
        if row["answer"] is not None:
            assert score(Response(row["answer"]), row).score == 1.0, row["task"]


def test_an_unknown_task_or_setting_is_refused_with_a_suggestion(here):
    pytest.importorskip("reasoning_gym", exc_type=ImportError)
    assert "Did you mean 'leg_counting'?" in refusal(here, "reasoning_gym", task="leg_count")
    wrong = refusal(here, "reasoning_gym", task="leg_counting", task_config={"min_animal": 1})
    assert "Did you mean 'min_animals'?" in wrong
    one = {"chain_sum": {"max_terms": 1}}
    assert "chain_sum rejects its settings" in refusal(
        here, "reasoning_gym", task="[leg_counting,chain_sum]", task_config=one
    )
    refused = refusal(here, "reasoning_gym", task="leg_counting", task_config={"min_animals": 0})
    assert "rejects its settings" in refused

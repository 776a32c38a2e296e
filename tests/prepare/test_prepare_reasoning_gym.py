"""python -m rollout.prepare: tasks of reasoning_gym, and the scores of their answers."""

import sys
import warnings

import pytest
from preparing import made, refusal

from rollout.config.sections.postprocess import Postprocess
from rollout.config.sections.prepare import Prepare
from rollout.errors import UserError
from rollout.postprocess.scoring.reasoning_gym import load
from rollout.prepare.sources.gym import open_gym
from rollout.prepare.sources.source import Tally

TASKS = (
    "leg_counting", "chain_sum", "basic_arithmetic", "gcd", "word_sorting", "number_sorting",
    "spell_backward", "countdown", "mini_sudoku", "knights_knaves", "propositional_logic",
    "simple_equations",
)  # fmt: skip


def test_the_right_answers_of_reasoning_gym_score_one_after_the_round_trip(here):
    pytest.importorskip("reasoning_gym", exc_type=ImportError)
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


@pytest.mark.parametrize("of", ["source", "scorer"])
def test_importing_it_prints_no_warnings_of_the_libraries_below(of, tmp_path, monkeypatch):
    """Eight lines of cellpylib's SyntaxWarnings stood on the terminal."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "reasoning_gym"]:
        monkeypatch.delitem(sys.modules, name)
    warn = "import warnings\nwarnings.warn('a literal', SyntaxWarning)"
    (tmp_path / "reasoning_gym.py").write_text(f"{warn}\nraise ImportError")
    monkeypatch.syspath_prepend(tmp_path)
    with warnings.catch_warnings(record=True) as seen, pytest.raises(UserError):
        if of == "source":
            open_gym(Prepare(source="reasoning_gym"), Tally())
        else:
            load(Postprocess(scorer="reasoning_gym"))
    assert seen == []

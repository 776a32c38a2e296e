"""A sweep with an objective: ranked by figures or scores, with a star unless it is chance."""

import pytest
from swept import TEMPERATURES, table


def test_the_objective_names_the_best_point(sweep, typed):
    done = sweep("engine.scripted.response_tokens=4,32", "objective=mean_response_tokens")
    assert "lowest mean_response_tokens: 3." in done.out and " at response_tokens=4\n" in done.out


MATCHES = ["postprocess.regex.pattern=(stone|river)", "postprocess.regex.match_only=true"]
SCORED = ["postprocess.scorer=regex", *MATCHES]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["objective=nonsense"], "no such figure"),
        (["objective=scores.pass@1"], "type postprocess.scorer="),
        ([*SCORED, "objective=scores.pass1"], "Did you mean 'scores.pass@1'"),
        ([*SCORED, "objective=scores.pass@2", "postprocess.estimate.k=[1]"], "add 2 to it"),
    ],
)
def test_an_objective_that_will_not_exist_is_refused_at_once(sweep, words, message):
    done = sweep("sampling.seed=1,2", *words)
    assert done.code == 2 and message in done.errors[0] and done.left == []


# Scored points: longer texts hold one of the words far more often.


def test_with_a_scorer_points_are_ranked_by_what_passes(sweep, typed):
    done = sweep("engine.scripted.response_tokens=40,4", *SCORED)
    assert done.code == 0, done.errors
    found = table(typed)
    assert "best pass@1: " in done.out and " at response_tokens=40\n" in done.out
    note = " is better than every other point (paired bootstrap over the same 40 rows"
    assert note in " ".join(done.out.split())
    assert list(found["is_best"]) == [True, False] and found["differs_from_best"].iloc[1]
    assert found["pass@1"].between(found["pass@1_low"], found["pass@1_high"]).all()


def test_points_that_chance_may_have_ranked_have_no_star(sweep, typed):
    """The luckiest of three equal points was marked as best, by its speed."""
    done = sweep(TEMPERATURES, *SCORED, "data.limit=8")
    assert done.code == 0 and " is not distinguishable from temperature=" in done.out
    assert "paired bootstrap over the same 8 rows, 95%" in " ".join(done.out.split())
    found = table(typed)
    assert not found["is_best"].any() and found["objective"].equals(found["pass@1"])
    assert not any(line.startswith("*") for line in done.out.splitlines())


def test_a_point_whose_scores_are_gone_is_not_compared(sweep, typed):
    words = ["engine.scripted.response_tokens=40,4", *SCORED]
    sweep(*words)
    (typed.here / "s/response_tokens=4/scored.parquet").unlink()
    done = sweep("engine.scripted.response_tokens=40,60", *SCORED)
    note = " is not known to be better than response_tokens=4 (the scored file is gone"
    assert note in " ".join(done.out.split())
    assert not table(typed)["is_best"].any()
    assert "not known" not in sweep(*words).out


def test_of_several_k_the_least_is_what_points_are_ranked_by(sweep, typed):
    done = sweep("engine.scripted.response_tokens=40,4", *SCORED, "postprocess.estimate.k=[2]")
    assert "best pass@2: " in done.out and table(typed)["objective"].notna().all()

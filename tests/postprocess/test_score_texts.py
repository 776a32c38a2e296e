"""Scores as text: one unit in a column, and no figure twice."""

import pytest

from rollout.postprocess.export.score_texts import column_texts, score_text, telling


def test_a_column_has_one_unit():
    """A mean of points from 0 to 100 had groups in percent beside groups without."""
    assert column_texts([0.4375, 1.0, None]) == ["43.8%", "100.0%", "-"]
    assert column_texts([8.3, 45.0]) == ["8.3", "45"]


def test_the_mean_and_the_best_of_right_or_wrong_scores_repeat_pass_at_k():
    passes = {"pass@1": 0.25, "pass@4": 0.5}
    assert telling(passes | {"mean": 0.25, "best@n": 0.5, "maj@n": 0.5}) == [*passes, "maj@n"]
    assert telling(passes | {"mean": 0.3, "best@n": 0.5}) == [*passes, "mean"]
    assert telling({"mean": 0.3}) == ["mean"]


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (0.0, "0.0%"), (12.0, "12")])
def test_a_score_alone_takes_the_unit_of_its_size(value, text):
    assert score_text(value) == text

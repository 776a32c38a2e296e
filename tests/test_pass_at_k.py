"""pass@k, its interval, and the vote: against tables made by hand and by exact enumeration."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.training.estimates import Counts, majority
from rollout.training.pass_at_k import interval, pass_at_k
from rollout.training.settings import Estimate, Unscored


@pytest.mark.parametrize(
    ("n", "c", "k", "value"),
    [(4, 1, 1, 0.25), (4, 1, 2, 0.5), (4, 2, 2, 5 / 6), (4, 0, 4, 0.0), (5, 3, 3, 1.0)],
)
def test_pass_at_k_is_what_a_hand_computes(n, c, k, value):
    assert pass_at_k([n], [c], k)[0] == pytest.approx(value)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_pass_at_k_is_the_share_of_subsets_with_a_pass(row):
    n, c = row
    for k in range(1, n + 1):
        hits = sum(any(i < c for i in subset) for subset in combinations(range(n), k))
        assert pass_at_k([n], [c], k)[0] == pytest.approx(hits / comb(n, k))


def test_pass_at_k_leaves_out_rows_with_fewer_samples_and_stays_finite_for_many():
    values = pass_at_k([2, 10_000], [1, 3], 100)
    assert np.isnan(values[0])
    assert values[1] == pytest.approx(1 - comb(9997, 100) / comb(10_000, 100))


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    draw = np.random.default_rng(1)
    hits = 0
    for trial in range(200):
        low, high = interval(draw.binomial(8, 0.3, 60) / 8, 0.95, 400, trial)
        hits += low <= 0.3 <= high
    assert 176 <= hits <= 199


def test_ties_of_the_vote_count_by_expectation():
    assert majority([(True, "4"), (True, "4"), (False, "5")]) == 1
    assert majority([(True, "4"), (False, "5")]) == 0.5
    assert majority([(False, None), (True, "4")]) == 1
    assert majority([(False, None)]) == 0


def test_unscored_samples_are_left_out_or_fail_and_are_counted():
    found = {}
    for how in Unscored:
        counts = Counts(Estimate(k=[1, 2], unscored=how, resamples=0), 1.0)
        counts.add([1.0, None, 0.0, None], ["4", None, "5", None])
        counts.add([None], [None])
        found[how] = counts.groups()[0]
    assert found[Unscored.leave_out].values["pass@1"].value == 0.5
    assert found[Unscored.fail].values["pass@1"].value == 0.125
    assert found[Unscored.leave_out].num_unscored == found[Unscored.fail].num_unscored == 3


def test_groups_are_estimated_apart():
    counts = Counts(Estimate(k=[1], group_by=["task"]), 1.0)
    counts.add([1.0, 1.0], ["a", "a"], ("easy",))
    counts.add([0.0, 0.5], ["b", "c"], ("hard",))
    everything, easy, hard = counts.groups()
    assert [g.values["pass@1"].value for g in (everything, easy, hard)] == [0.5, 1, 0]
    assert (hard.values["best@n"].value, hard.values["mean"].value) == (0.5, 0.25)
    assert (everything.solved, everything.always, everything.never) == (1, 1, 1)

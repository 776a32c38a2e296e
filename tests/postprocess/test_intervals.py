"""Intervals and paired comparisons against exact limits, enumeration and simulation."""

from itertools import product

import numpy as np
import pytest

from rollout.postprocess.export.intervals import difference, interval

DRAWN = 0.95, 1000, 0  # confidence, resamples, seed


@pytest.mark.parametrize("num_rows", [5, 10, 20, 60])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(num_rows):
    """A plain percentile bootstrap of 5 rows of unequal difficulty covers the truth in 84 %."""
    draw = np.random.default_rng(num_rows)
    hits = 0
    for trial in range(1000):
        values = draw.binomial(8, draw.beta(0.3, 0.7, num_rows)) / 8
        low, high = interval(values, 0.95, 1000, trial, True)
        hits += low <= 0.3 <= high
    assert 0.89 <= hits / 1000 <= 0.98


def test_the_interval_is_the_quantiles_of_all_resamples():
    values = np.array([0.0, 0.25, 0.5, 1.0, 1.0])
    every = np.array([np.mean(drawn) for drawn in product(values, repeat=5)])
    tail = 0.00096  # of five rows: Student's t of 2.776 at 4 degrees, times sqrt(5 / 4)
    low, high = interval(values, 0.95, 200_000, 0)
    assert (low, high) == pytest.approx(tuple(np.quantile(every, [tail, 1 - tail])), abs=0.051)


@pytest.mark.parametrize(
    ("num_rows", "limit"), [(1, 0.975), (5, 0.5218), (10, 0.3085), (30, 0.1157), (100, 0.0362)]
)
def test_no_or_all_passes_of_a_few_rows_leave_uncertainty(num_rows, limit):
    """With 0 of 5 rows passed, the interval had no width. Limits: tables of Clopper-Pearson."""
    assert interval(np.zeros(num_rows), *DRAWN, True) == pytest.approx((0, limit), abs=1e-4)
    assert interval(np.ones(num_rows), *DRAWN, True) == pytest.approx((1 - limit, 1), abs=1e-4)


def test_where_no_spread_is_seen_no_interval_is_given():
    assert interval(np.full(9, 0.5), *DRAWN, True) is None
    assert interval(np.zeros(9), *DRAWN) is None  # a graded score may have any range
    assert interval(np.array([0.5, 0.5 + 1e-16, 0.5]), *DRAWN, True) is None
    assert interval(np.array([0.0, 1.0]), 0.95, 0, 0) is None


def test_the_same_rows_give_the_same_interval():
    values = np.random.default_rng(1).random(50)
    assert interval(values, *DRAWN) == interval(values, *DRAWN) != interval(values, 0.95, 1000, 1)


def test_over_many_values_the_normal_interval_is_given():
    values = np.random.default_rng(1).random(30_000)
    low, high = interval(values, *DRAWN)
    half = 1.96 * values.std() / np.sqrt(30_000)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=1e-4)


# Two points over the same rows.


def test_a_small_but_steady_gain_is_told_apart_and_a_large_but_uneven_one_is_not():
    hard = np.linspace(0, 0.9, 40)  # rows differ far more than the points
    steady = difference(hard + 0.05 + 0.04 * (np.arange(40) % 2), hard, *DRAWN)
    uneven = difference(np.r_[np.ones(6), np.zeros(4)], np.r_[np.zeros(6), np.ones(4)], *DRAWN)
    assert steady.is_told_apart and steady.value == pytest.approx(0.07)
    assert not uneven.is_told_apart and uneven.value == pytest.approx(0.2)


@pytest.mark.parametrize(("num_differing", "is_told_apart"), [(0, False), (5, False), (6, True)])
def test_fewer_than_six_rows_that_differ_tell_nothing(num_differing, is_told_apart):
    one = np.r_[np.ones(num_differing), np.full(6, 0.5)]
    other = np.r_[np.zeros(num_differing), np.full(6, 0.5)]
    assert difference(one, other, *DRAWN).is_told_apart is is_told_apart


def test_all_rows_that_differ_by_the_same_are_told_apart_from_six_on():
    found = difference(np.ones(6), np.zeros(6), *DRAWN)
    assert found.is_told_apart and (found.low, found.high, found.num_rows) == (1, 1, 6)
    assert not difference(np.ones(5), np.zeros(5), *DRAWN).is_told_apart
    assert difference(np.ones(5), np.zeros(5), 0.9, 1000, 0).is_told_apart


def test_the_other_way_round_gives_the_same_answer():
    draw = np.random.default_rng(2)
    one, other = draw.random(30), draw.random(30) * 0.6
    there, back = difference(one, other, *DRAWN), difference(other, one, *DRAWN)
    assert there.is_told_apart and back.is_told_apart
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=0.02)


def test_points_that_are_alike_are_told_apart_about_one_time_in_twenty():
    draw = np.random.default_rng(3)
    hits = 0
    for _ in range(400):
        chance = draw.beta(0.5, 0.5, 30)
        one, other = draw.binomial(8, chance) / 8, draw.binomial(8, chance) / 8
        hits += difference(one, other, *DRAWN).is_told_apart
    assert hits / 400 <= 0.08


def test_without_resamples_or_rows_nothing_is_compared():
    assert difference(np.ones(9), np.zeros(9), 0.95, 0, 0) is None
    assert difference(np.ones(0), np.zeros(0), *DRAWN) is None

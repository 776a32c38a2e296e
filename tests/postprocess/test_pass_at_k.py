"""pass@k, the majority vote and what they leave out, against hand computation and enumeration."""

from itertools import combinations
from math import comb

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.config.sections.export import Estimate, Unscored
from rollout.postprocess.export.estimates import VERDICTS, Counts, counts_of, majority
from rollout.postprocess.export.pass_at_k import pass_at_k


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


def test_ties_of_the_vote_count_by_expectation():
    assert majority([(True, "4"), (True, "4"), (False, "5")]) == 1
    assert majority([(True, "4"), (False, "5")]) == 0.5
    assert majority([(False, None), (True, "4")]) == 1
    assert majority([(False, None)]) == 0


def estimated(*rows, **settings):
    """Return all rows' group; rows are (verdicts, answers, number of different texts)."""
    counts = Counts(Estimate(**{"resamples": 0} | settings), 1.0)
    for verdicts, *more in rows:
        scores = [SCORES[verdict] for verdict in verdicts]
        answers, num_distinct = [*more, None, None][:2]
        counts.add(scores, answers, verdicts, (), num_distinct)
    return counts.groups()[0]


SCORES = {"right": 1.0, "wrong": 0.0, "no_answer": 0.0, "cut_off": 0.0, "error": None,
          "unjudged": None}  # fmt: skip


def test_the_names_of_the_verdicts_are_those_of_scoring():
    from rollout.postprocess.scoring.scorers import Verdict

    assert list(VERDICTS) == [verdict.name for verdict in Verdict]


def test_errors_count_as_not_solved_unless_they_are_left_out():
    """Time-outs were left out, so a program that hangs scored better than a wrong one."""
    row = ["right", "error", "wrong", "error"]
    found = {how: estimated((row,), k=[1, 2], unscored=how) for how in Unscored}
    assert Estimate().unscored is Unscored.fail
    assert found[Unscored.fail].values["pass@1"].value == 0.25
    assert found[Unscored.fail].values["pass@2"].value == 0.5
    assert found[Unscored.leave_out].values["pass@1"].value == 0.5
    assert found[Unscored.leave_out].values["pass@2"].value == 1.0
    assert {group.num_errors for group in found.values()} == {2}


@pytest.mark.parametrize("how", Unscored)
def test_unjudged_samples_are_always_left_out(how):
    found = estimated((["unjudged"] * 4,), (["right", "unjudged"],), (["wrong"] * 2,), unscored=how)
    assert found.values["pass@1"].value == 0.5 and found.values["pass@1"].num_rows == 2
    assert (found.num_unjudged, found.num_rows_unjudged, found.never) == (5, 2, 1)


def test_no_answer_and_cut_off_are_not_solved_whatever_the_threshold():
    """With pass_threshold=0 a score of 0 passes, so an empty response would have passed."""
    counts = Counts(Estimate(k=[1], resamples=0), 0.0)
    counts.add([0.0, 0.0, 0.0, 0.0], None, ["no_answer", "cut_off", "right", "right"])
    found = counts.groups()[0]
    assert found.values["pass@1"].value == 0.5
    assert (found.num_no_answer, found.num_cut_off, found.num_right) == (1, 1, 2)


@pytest.mark.parametrize("verdict", ["error", "unjudged", "no_answer", "cut_off"])
def test_where_nothing_was_judged_there_is_no_figure(verdict):
    found = estimated(([verdict] * 4,), ([verdict] * 2,))
    assert found.num_judged == 0 and found.solved == found.never == 0
    assert {value.value for value in found.values.values()} == {None}


def test_a_group_in_which_nothing_was_judged_has_no_figure_though_others_have():
    counts = Counts(Estimate(k=[1], group_by=["task"], resamples=0), 1.0)
    counts.add([None, None], None, ["error"] * 2, ("broken",))
    counts.add([1.0, 1.0], None, ["right"] * 2, ("fine",))
    everything, broken, fine = counts.groups()
    assert [g.values["pass@1"].value for g in (everything, broken, fine)] == [0.5, None, 1]


def test_each_k_says_over_how_many_rows_it_was_estimated():
    rows = [(["right", "wrong"] * 2,)] * 3 + [(["right", "wrong"] * 4,)]
    found = estimated(*rows)
    assert {name: value.num_rows for name, value in found.values.items() if "pass" in name} == {
        "pass@1": 4, "pass@2": 4, "pass@4": 4, "pass@8": 1,
    }  # fmt: skip
    assert (found.fewest_samples, found.most_samples) == (4, 8)


def test_rows_of_which_all_samples_are_one_text_are_counted():
    rows = [(["right"] * 4, None, 1), (["right"] * 4, None, 3), (["wrong"], None, 1)]
    assert estimated(*rows).num_rows_repeated == 1


@pytest.mark.parametrize("how", Unscored)
def test_a_column_of_verdicts_is_counted_as_row_by_row(how):
    draw = np.random.default_rng(0)
    rows = [draw.choice(list(VERDICTS), draw.integers(0, 6)).tolist() for _ in range(200)]
    counts = Counts(settings := Estimate(k=[1, 2], resamples=0, unscored=how), 1.0)
    for row in rows:
        counts.add([SCORES[verdict] for verdict in row], None, row)
    n, c = counts_of(pa.array([*rows, None], pa.list_(pa.string())), settings)
    assert n[-1] == 0 and (n[:-1] - c[:-1]).min() >= 0
    for k in (1, 2):
        np.testing.assert_array_equal(
            np.where(n > 0, pass_at_k(n, c, k), np.nan)[:-1], counts.by_row()[f"pass@{k}"]
        )


def test_the_estimates_are_the_means_of_the_rows_values():
    counts = Counts(Estimate(k=[1, 2], resamples=0), 1.0)
    for right in (0, 1, 3):
        counts.add([1.0] * right + [0.5] * (4 - right), ["a"] * right + ["b"] * (4 - right))
    by_row, values = counts.by_row(), counts.groups()[0].values
    assert by_row["pass@1"].tolist() == [0, 0.25, 0.75] and by_row["maj@n"].tolist() == [0, 0, 1]
    assert by_row.keys() == values.keys()
    assert all(np.mean(by_row[name]) == pytest.approx(values[name].value) for name in values)


def test_groups_are_estimated_apart():
    counts = Counts(Estimate(k=[1], group_by=["task"]), 1.0)
    counts.add([1.0, 1.0], ["a", "a"], group=("easy",))
    counts.add([0.0, 0.5], ["b", "c"], group=("hard",))
    everything, easy, hard = counts.groups()
    assert [g.values["pass@1"].value for g in (everything, easy, hard)] == [0.5, 1, 0]
    assert (hard.values["best@n"].value, hard.values["mean"].value) == (0.5, 0.25)
    assert (everything.solved, everything.always, everything.never) == (1, 1, 1)

"""Selection: each rule drops what it should and counts it."""

from collections import Counter

import pytest

from rollout.config.sections.export import Export, Select
from rollout.postprocess.export.selection import (
    Candidate,
    best_responses,
    fitting_responses,
    keeps_row,
    preference_pairs,
)

SAMPLES = [
    Candidate(0, "four", 1.0, "stop", 1),
    Candidate(1, "four", 1.0, "stop", 1),
    Candidate(2, "five", 0.0, "stop", 9),
    Candidate(3, "it goes on", 1.0, "length", 2),
    Candidate(4, "?", None, "stop", 1),
]


def kept(**rules):
    dropped = Counter()
    return [c.index for c in fitting_responses(Select(**rules), SAMPLES, dropped)], dropped


def test_by_default_a_finished_scored_response_is_kept_once():
    indices, dropped = kept()
    assert indices == [0, 2]
    assert dropped.total() == 3


@pytest.mark.parametrize(
    ("rules", "indices"),
    [
        ({"dedupe": False}, [0, 1, 2]),
        ({"finished": False}, [0, 2, 3]),
        ({"finished": False, "min_chars": 5}, [3]),
        ({"max_tokens": 2}, [0]),
        ({"min_tokens": 3}, [2]),
    ],
)
def test_each_rule_keeps_what_it_says(rules, indices):
    assert kept(**rules)[0] == indices


@pytest.mark.parametrize(("rate", "fits"), [(0.1, True), (0.9, True), (0.05, False), (None, False)])
def test_pass_rate_bounds_belong_to_what_is_kept(rate, fits):
    assert keeps_row(Select(min_pass_rate=0.1, max_pass_rate=0.9), rate, Counter()) is fits


def test_the_best_come_first_and_failures_are_not_imitated():
    samples = [Candidate(i, str(i), score) for i, score in enumerate([1.0, 0.0, 3.0, 2.0])]
    dropped = Counter()
    best = best_responses(Select(max_per_prompt=2), samples, 1.0, dropped)
    assert [c.index for c in best] == [2, 3]
    assert +dropped == {
        "responses that do not pass (select.passed)": 1,
        "responses over select.max_per_prompt": 1,
    }


def test_best_is_paired_with_worst_and_no_pair_is_turned_round():
    samples = [Candidate(i, str(i), score) for i, score in enumerate([1.0, 0.0, 0.5, 1.0])]
    pairs = preference_pairs(Select(), Export(max_pairs=9), samples, 1.0, Counter())
    assert [(a.index, b.index) for a, b in pairs] == [(0, 1), (3, 2)]
    assert not preference_pairs(Select(), Export(min_margin=2.0), samples, 1.0, Counter())

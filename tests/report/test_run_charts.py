"""The histogram of response lengths holds every response once."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rollout.report.run.charts import MAX_BINS, bin_edges, length_chart

LENGTHS = st.lists(st.integers(0, 50_000), min_size=1, max_size=60)


@given(st.dictionaries(st.text(max_size=5), LENGTHS, min_size=1, max_size=9))
def test_every_response_is_in_one_bin_of_its_reason(lengths):
    found = length_chart({reason: np.bincount(all_of) for reason, all_of in lengths.items()})
    assert sum(sum(series.values) for series in found.series) == sum(map(len, lengths.values()))
    assert len(found.x) == len(found.ticks) <= MAX_BINS
    longest = max(max(all_of) for all_of in lengths.values())
    assert found.ticks[-1].replace(",", "").split("-")[-1] == str(longest)
    for series in found.series[:6]:
        assert sum(series.values) == len(lengths[series.name])


@given(LENGTHS)
def test_edges_ascend_from_0_to_beyond_the_longest(lengths):
    edges = bin_edges({"stop": np.bincount(lengths)})
    assert edges == sorted(set(edges))
    assert edges[0] == 0 and edges[-1] > max(lengths)


def test_bins_have_one_round_width_where_lengths_are_alike():
    edges = bin_edges({"stop": np.bincount(range(2048))})
    assert {high - low for low, high in itertools.pairwise(edges)} == {60}


def test_bins_grow_with_the_length_where_most_responses_are_short():
    found = length_chart({"stop": np.bincount([5] * 100 + [9000])})
    assert found.ticks[1] == "1" and "-" in found.ticks[-1]
    assert found.note == "Bins grow with the length."


def test_rare_finish_reasons_share_a_series():
    found = length_chart({f"reason {i}": np.bincount([i] * (i + 1)) for i in range(9)})
    assert [series.name for series in found.series][-1] == "others"
    assert sum(found.series[-1].values) == 1 + 2 + 3


def test_without_a_response_there_is_no_chart():
    assert length_chart({}) is None
    assert length_chart({"stop": np.zeros(3, np.int64)}) is None

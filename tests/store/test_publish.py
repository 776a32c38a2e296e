"""The totals of a run, counted over the parts that are published."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.rows.signs import is_unclosed
from rollout.store.counts import RowCounter, histogram

INTS = pa.list_(pa.int32())


def part(rows, text=None):
    """Return rows as in a shard, each a list of (response, tokens); None: a null list."""

    def column(of, kind):
        return pa.array(
            [None if row is None else [of(*sample) for sample in row] for row in rows], kind
        )

    texts = pa.list_(text or pa.string())
    return pa.table(
        {
            "responses": column(lambda response, tokens: response, texts),
            "num_response_tokens": column(lambda response, tokens: tokens, INTS),
            "finish_reason": column(lambda response, tokens: "stop", pa.list_(pa.string())),
            "num_prompt_tokens": pa.array([3] * len(rows), pa.int32()),
            "num_repetitive": pa.array([0] * len(rows), pa.int32()),
            "num_distinct": pa.array([len({t for t, _ in row or []}) for row in rows], pa.int32()),
            "error": pa.array([None if row else "too long" for row in rows], pa.string()),
        }
    )


def counted(*parts):
    counter = RowCounter()
    for results in parts:
        counter.add(results)
    return counter.totals()


def lengths(*tokens):
    return part([[("text", n)] for n in tokens])


@pytest.mark.parametrize("text", [pa.string(), pa.large_string()])
def test_a_slice_of_chunks_counts_its_own_rows_only(text):
    first = part([[("a", 9), ("b", 9)], [("c", 2), ("c", 4)]], text)
    second = part([[("c", 1)], [("d", 9), ("e", 9)]], text)
    totals = counted(pa.concat_tables([first, second]).slice(1, 2))
    assert (totals.num_rows, totals.num_distinct, totals.p95_response_tokens) == (2, 2, 4)


def test_unclosed_reasoning_is_found_in_each_text_and_not_across_two():
    """The bytes of all texts are searched at once first, and the texts are adjacent in them."""
    tags, texts = ("<think>", "</think>"), ["<think>a", "<thi", "nk>", "<think>a</think>b", ""]
    rows = part([[(text, 1)] for text in texts])
    for opened in (False, True):
        found = rows.append_column("opens_reasoning", pa.array([opened] * len(texts)))
        counter = RowCounter(tags)
        closed = counter.add(found).column("is_reasoning_closed").to_pylist()
        assert closed == [[not is_unclosed(text, opened, tags)] for text in texts]
        assert counter.totals().num_unclosed == closed.count([False]) == (4 if opened else 1)


def test_failed_rows_add_no_distinct_responses():
    totals = counted(part([[], None, [("a", 7), ("a", 5)], []]))
    assert (totals.num_failed, totals.num_distinct, totals.p95_response_tokens) == (3, 1, 7)


def test_the_hidden_values_of_a_null_row_are_not_counted():
    def first_hidden(values):
        return pa.ListArray.from_arrays([0, 2, 3], values, mask=pa.array([True, False]))

    table = part([None, [("c", 2)]])
    table = table.set_column(0, "responses", first_hidden(pa.array(["a", "b", "c"])))
    tokens = first_hidden(pa.array([9, 9, 2], pa.int32()))
    totals = counted(table.set_column(1, "num_response_tokens", tokens))
    assert (totals.num_distinct, totals.p95_response_tokens) == (1, 2)


@pytest.mark.parametrize("parts", [[], [part([])], [part([]).slice(0, 0), part([[]])]])
def test_a_run_without_samples_has_no_95th_percentile(parts):
    totals = counted(*parts)
    assert (totals.num_distinct, totals.p95_response_tokens) == (0, None)


@pytest.mark.parametrize(
    ("tokens", "p95"),
    [
        ([4], 4),
        ([0], 0),
        ([1] * 19 + [50], 1),  # rank 19 of 20
        ([1] * 18 + [50, 60], 50),
        ([1] * 18 + [50], 50),  # rank 18.05 of 19, so the 19th
        (range(1, 101), 95),
        ([7, 300_000, 7], 300_000),
    ],
)
def test_the_95th_percentile_is_a_length_by_nearest_rank(tokens, p95):
    assert counted(lengths(*tokens)).p95_response_tokens == p95


def test_the_percentile_is_of_all_parts_together_in_any_order():
    short, long = lengths(*[1] * 38), lengths(70, 80)
    assert counted(short, long).p95_response_tokens == 1
    assert counted(long, long, short).p95_response_tokens == 70


samples = st.tuples(st.sampled_from(["", "a", "b", "a b", "é", None]), st.integers(0, 40))
rows = st.lists(st.one_of(st.none(), st.lists(samples, max_size=4)), max_size=30)


@settings(max_examples=150, deadline=None)
@given(
    rows,
    st.lists(st.integers(0, 30), max_size=4),
    st.sampled_from([pa.string(), pa.large_string()]),
)
def test_any_rows_cut_anywhere_give_the_totals_of_plain_python(rows, cuts, text):
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    table = pa.concat_tables([part(rows[a:b], text) for a, b in itertools.pairwise(edges)])
    middle = len(rows) // 2
    totals = counted(table.slice(0, middle), table.slice(middle))
    answered = [row for row in rows if row]
    tokens = [n for row in answered for _, n in row]
    enough = [m for m in tokens if 100 * sum(n <= m for n in tokens) >= 95 * len(tokens)]
    assert totals.num_distinct == sum(len({response for response, _ in row}) for row in answered)
    assert totals.p95_response_tokens == min(enough, default=None)
    assert (totals.num_samples, totals.max_response_tokens) == (len(tokens), max(tokens, default=0))


@pytest.mark.parametrize(
    ("num_of_length", "counts", "edges"),
    [
        ([], [], [0]),
        ([0, 0], [], [0]),
        ([3], [3], [0, 1]),
        ([0, 2, 0, 1], [2, 0, 1], [1, 2, 3, 4]),
        ([0, 1, 1, 1, 1, 1, 1, 1], [2, 2, 2, 1], [1, 3, 5, 7, 9]),
    ],
)
def test_a_histogram_has_bins_of_whole_tokens_from_the_shortest_to_the_longest(
    num_of_length, counts, edges
):
    found = histogram(np.array(num_of_length, dtype=np.int64), max_bins=4)
    assert [part.tolist() for part in found] == [counts, edges]


def test_a_histogram_of_a_million_lengths_has_no_more_bins_than_asked():
    num_of_length = np.bincount([1, 500, 500, 1_000_000])
    counts, edges = histogram(num_of_length, max_bins=64)
    assert len(counts) <= 64 and counts.sum() == 4 and edges[0] == 1 and edges[-1] > 1_000_000

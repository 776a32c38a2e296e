"""The samples a row is owed, and how they make its result."""

import pytest

from rollout.rows.owed import OwedRow, Wanted
from rollout.rows.prompt import Prompt, seed_of
from rollout.rows.request import Completion, Sample
from rollout.rows.result import Result

PROMPT = Prompt(3, 3, "p")
BASE = seed_of(42, PROMPT)


def before(*lengths, reason="stop", error=None, attempts=1):
    samples = [Sample(f"s{i}", reason, n, token_ids=[7] * n) for i, n in enumerate(lengths)]
    return Result(3, 3, PROMPT.digest, samples, BASE, 5, 0, error, attempts)


def answered(row):
    """Answer every request with samples named after their index."""
    done = []
    for request in row.requests():
        names = range(request.sample_index, request.sample_index + request.n_samples)
        samples = [Sample(f"new{i}", "stop", 2, token_ids=[9, 9]) for i in names]
        if request.prefix:
            samples = [request.prefix.extended(samples[0])]
        done.append(Completion(request, samples, [1, 2, 3, 4, 5]))
    return row.result(done)


def test_a_new_row_is_one_request_with_the_rows_seed():
    (request,) = OwedRow(PROMPT, Wanted(8, 42, 9)).requests()
    assert (request.n_samples, request.seed, request.sample_index) == (8, BASE, 0)


def test_a_raised_n_asks_for_the_missing_samples_with_their_own_seeds():
    row = OwedRow(PROMPT, Wanted(8, 42, 9), before(1, 1, 1))
    (request,) = row.requests()
    assert (request.n_samples, request.seed) == (5, BASE + 3)
    whole = answered(row)
    assert [s.text for s in whole.samples] == ["s0", "s1", "s2", *(f"new{i}" for i in range(3, 8))]
    assert (whole.num_new_samples, whole.num_new_tokens) == (5, 10)


def test_only_samples_cut_below_max_tokens_go_on_and_say_so():
    wanted = Wanted(3, 42, 9, continues=True)
    cut = before(4, 9, 4, reason="length")
    cut.samples[2].finish_reason = "stop"
    row = OwedRow(PROMPT, wanted, cut)
    (request,) = row.requests()
    assert (request.sample_index, request.max_tokens, request.n_samples) == (0, 5, 1)
    assert request.seed not in (BASE, BASE + 1, BASE + 2)
    first, second, third = answered(row).samples
    assert (first.text, first.num_tokens, first.num_continued) == ("s0new0", 6, 1)
    assert (second.text, third.text) == ("s1", "s2")


def test_going_on_and_adding_samples_come_together():
    row = OwedRow(PROMPT, Wanted(3, 42, 9, continues=True), before(4, 4, reason="length"))
    assert len(row.requests()) == 3
    assert [s.text for s in answered(row).samples] == ["s0new0", "s1new1", "new2"]


def test_nothing_goes_on_unless_it_was_asked_for():
    assert OwedRow(PROMPT, Wanted(1, 42, 9), before(4, reason="length")).requests() == []


def test_a_failed_row_counts_its_attempts_and_keeps_what_it_had():
    row = OwedRow(PROMPT, Wanted(4, 42, 9), before(1, 1, error="bad", attempts=2))
    failed = row.result([], "bad again")
    assert (failed.num_attempts, failed.error, len(failed.samples)) == (3, "bad again", 2)


def test_without_a_seed_nothing_has_one():
    row = OwedRow(PROMPT, Wanted(2, None, 9, continues=True), before(4, reason="length"))
    assert [request.seed for request in row.requests()] == [None, None]


@pytest.mark.parametrize("logprobs", [(-1.0, -2.0, -3.0), (None, -2.0, None)])
def test_a_continued_sample_adds_up(logprobs):
    one, two, whole = logprobs
    first = Sample("a", "length", 1, token_ids=[1], cumulative_logprob=one)
    more = Sample("b", "stop", 2, "end", [2, 3], two)
    assert first.extended(more) == Sample("ab", "stop", 3, "end", [1, 2, 3], whole, 1)

"""Which rows a sample browser holds: all that fit, else a seeded draw and those that must be."""

import resource

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scored_files import browser_of_file, output_file

from rollout.report import subset
from rollout.report.html import html_of
from rollout.report.page import Page, PromptView, SampleView, Section
from rollout.report.script_json import num_script_bytes, script_json
from rollout.report.subset import LINKED, MAX_BYTES, SEED, Held, num_samples_of


def numbers(path, *must_have) -> list[int]:
    return [view.number for view in browser_of_file(path, must_have).prompts]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """6,000 rows of 2 samples; row 4,000 failed."""
    errors = pa.array(["it broke" if i == 4000 else None for i in range(6000)])
    path = tmp_path_factory.mktemp("many") / "many.parquet"
    return output_file(path, [["a", f"b{i}"] for i in range(6000)], error=errors)


def test_all_rows_are_here_if_they_fit_and_nothing_is_said(tmp_path):
    browser = browser_of_file(output_file(tmp_path / "o.parquet", [["a"]] * 5000))
    assert len(browser.prompts) == browser.num_rows == 5000
    assert browser.note == ""


def test_of_more_samples_the_number_is_full_and_the_note_says_which(many):
    browser = browser_of_file(many, [17, 23])
    assert sum(map(num_samples_of, browser.prompts)) == 5000
    assert browser.num_rows == 6000
    assert browser.note == (
        "These are 2 linked from a table, 1 failed and 2,497 of the others "
        f"drawn at random (seed {SEED}); many.parquet has all."
    )


def test_the_subset_has_what_it_must_in_input_order_and_is_the_same_each_time(many):
    found = numbers(many, 5999, 17)
    assert found == sorted(found) and {17, 4000, 5999} <= set(found)
    assert found == numbers(many, 5999, 17)


def test_the_draw_is_uniform_over_the_input(many):
    """Each of ten parts of 600 rows has about a tenth of 2,499; 5 standard deviations are 75."""
    counts = np.histogram(numbers(many), bins=10, range=(0, 6000))[0]
    assert all(abs(count - 249.9) < 75 for count in counts)


def test_rows_that_must_be_here_do_not_change_the_draw_of_the_others(many):
    without, with_two = set(numbers(many)), set(numbers(many, 17, 23))
    assert with_two - without <= {17, 23} and len(without - with_two) <= 2


def test_numbers_of_no_row_are_passed_over(many):
    assert numbers(many, -1, 6000, 10**12) == numbers(many)


def test_of_many_failed_rows_the_first_hundred_are_here(tmp_path):
    num = 6000
    errors = pa.array([f"error {i}" if i % 2 else None for i in range(num)])
    path = output_file(tmp_path / "o.parquet", [["a", "b"]] * num, error=errors)
    found = set(numbers(path))
    assert set(range(1, 200, 2)) <= found
    assert "100 failed" in browser_of_file(path).note


def test_a_long_text_is_cut_and_says_by_how_much(tmp_path):
    path = output_file(tmp_path / "o.parquet", [["x" * 32_345]])
    sample = browser_of_file(path).prompts[0].samples[0][0]
    assert sample.text == "x" * 20_000 + "\n[... 12,345 more characters]" and sample.is_cut


def test_of_very_many_samples_the_first_are_here_and_it_is_said(tmp_path):
    path = output_file(tmp_path / "o.parquet", [[f"s{i}" for i in range(1000)]] * 3)
    browser = browser_of_file(path)
    assert [len(view.samples[0]) for view in browser.prompts] == [250] * 3
    assert browser.note.endswith("more than 250 samples the first 250 are shown.")


@pytest.mark.parametrize("letter", ["x", "字", "<", "\u202e", "\x00", '"'])
def test_a_page_of_the_longest_texts_stays_under_8_mb(tmp_path, letter):
    path = output_file(tmp_path / "o.parquet", [[letter * 30_000] * 8] * 60)
    browser = browser_of_file(path, range(50))
    assert {view.number for view in browser.prompts} >= set(range(50))
    page = html_of(Page("texts", sections=[Section("Samples", [browser])]))
    assert len(page.encode()) < 8_000_000


rows_of_lengths = st.lists(st.lists(st.integers(0, 40), max_size=5), min_size=1, max_size=30)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows_of_lengths, st.sets(st.integers(0, 29), max_size=3), st.booleans())
def test_a_subset_of_any_file_is_the_largest_that_fits(
    tmp_path_factory, monkeypatch, lengths, must_have, is_per_sample
):
    """By brute force: linked rows, failed ones, then the seeded order, while the budget lasts."""
    path = tmp_path_factory.mktemp("any") / "o.parquet"
    texts = [["x" * length for length in row] for row in lengths]
    column = pa.array(texts, pa.list_(pa.string()))
    _write(path, column, is_per_sample)
    whole = browser_of_file(path).prompts
    linked = {number for number in must_have if number < len(texts)}
    monkeypatch.setattr(subset, "MAX_SAMPLES", 20)
    monkeypatch.setattr(subset, "MAX_BYTES", 4000)
    held = browser_of_file(path, must_have).prompts
    monkeypatch.undo()
    sizes = [(num_samples_of(view), num_script_bytes(view)) for view in whole]
    room = [20, 4000 - min(2000, sum(sizes[i][1] for i in linked))]
    room[0] -= sum(sizes[i][0] for i in linked)
    expected = set(linked)
    for number in np.argsort(np.random.default_rng(SEED).permutation(len(texts))).tolist():
        if number in linked:
            continue
        room = [left - size for left, size in zip(room, sizes[number], strict=True)]
        if min(room) < 0:
            break
        expected.add(number)
    assert [view.number for view in held] == sorted(expected)


def _write(path, column, is_per_sample):
    if not is_per_sample:
        pq.write_table(pa.table({"responses": column}), path, row_group_size=3)
        return
    lines = [(i, text) for i, row in enumerate(column.to_pylist()) for text in row or [None]]
    row, text = zip(*lines, strict=True)
    columns = {"row": pa.array(row), "response": pa.array(text, pa.string())}
    pq.write_table(pa.table(columns), path, row_group_size=3)


def test_100_000_rows_are_read_in_little_memory(tmp_path):
    num, size = 100_000, 8
    offsets = pa.array(np.arange(0, num * size + 1, size, dtype=np.int32))
    texts = pa.array([f"{'word ' * 40}{i}" for i in range(997)])
    flat = texts.take(pa.array(np.arange(num * size) % 997))
    prompts = pa.array([f"question {i}" for i in range(num)])
    table = pa.table({"prompt": prompts, "responses": pa.ListArray.from_arrays(offsets, flat)})
    pq.write_table(table, tmp_path / "big.parquet", row_group_size=10_000)
    del table, flat, prompts
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    browser = browser_of_file(tmp_path / "big.parquet", [99_999])
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert len(browser.prompts) == 625 and browser.prompts[-1].number == 99_999
    assert grown_kib < 300 * 1024


@given(st.text() | st.text(alphabet='<>&\x00\x7f\u202e\ufffe\ud800"\\é字🙂'))
def test_the_size_of_a_row_is_that_of_its_json(text):
    view = PromptView(3, [("user", text)], [[SampleView(text)]])
    assert num_script_bytes(view) == len(script_json(view).encode())


def test_linked_rows_with_long_errors_are_cut_to_fit_too():
    """Errors stayed whole, so a page could be larger than its bound."""
    held = Held()
    errors = ["too bad " * 2000] * 2
    for position in range(200):
        view = PromptView(position, [("", "?")], [[SampleView("x", error=errors[0])]], errors)
        held.add(position, LINKED, view)
    rows = held.finish(range(200))
    assert len(rows) == 200 and sum(map(num_script_bytes, rows.values())) <= MAX_BYTES

"""The page of a parquet file alone."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hostile_texts import TEXTS
from hypothesis import given
from hypothesis import strategies as st
from scored_files import RESPONSES, TOKENS, output_file, scored_file, verdict_file

from rollout.errors import UserError
from rollout.report.html import html_of
from rollout.report.page import Facts
from rollout.report.responses import length_chart
from rollout.report.scored import page_of_scored

COLUMNS = {"num_response_tokens": pa.array(TOKENS, pa.list_(pa.int32()))}


def titles(page) -> list[str]:
    return [section.title for section in page.sections]


def test_a_scored_file_has_figures_scores_responses_and_samples(tmp_path):
    page = page_of_scored(scored_file(tmp_path, **COLUMNS))
    assert page.title == "scored.parquet"
    assert page.verdict == "scored: 8 samples of 2 rows, 2 of 2 rows solved at least once"
    assert titles(page) == ["Scores", "Verdicts", "Length and score", "Responses", "Samples"]
    figures = {figure.label: figure.value for figure in page.figures}
    assert figures == {
        "pass@1": "50.0%", "pass@4": "100.0%", "judged right or wrong": "100.0%", "rows": "2",
        "truncated": "0.0%",
    }  # fmt: skip


def test_an_unscored_file_has_lengths_and_repeated_responses(tmp_path):
    path = output_file(
        tmp_path / "o.parquet", finish_reason=[["stop", "length"] * 2] * 2, **COLUMNS
    )
    page = page_of_scored(path)
    assert page.verdict == "not scored: 8 samples of 2 rows"
    assert titles(page) == ["Responses", "Samples"]
    facts, reasons, lengths = page.sections[0].blocks
    assert dict(facts.items)["repeat an earlier sample of the row"] == "4 (50.0%)"
    assert [row.cells for row in reasons.rows] == [
        ["stop", "4", "50.0%", "12.5", "9.5"], ["length", "4", "50.0%", "16.5", "12.0"],
    ]  # fmt: skip
    assert sum(map(sum, (series.values for series in lengths.series))) == 8


@pytest.mark.parametrize("factor", [1, 3])  # bins of one length, and of 5
def test_the_bins_of_lengths_hold_what_counting_gives(tmp_path, factor):
    """Bars of one length stood half a token beside their number."""
    flat = [factor * tokens for row in TOKENS for tokens in row]
    lengths = pa.array([flat[:4], flat[4:]], pa.list_(pa.int32()))
    path = output_file(tmp_path / "o.parquet", num_response_tokens=lengths)
    chart = next(chart for chart in page_of_scored(path).charts)
    bins = [[int(end) for end in tick.split("-")] for tick in chart.ticks]
    counts = [sum(ends[0] <= tokens <= ends[-1] for tokens in flat) for ends in bins]
    assert counts == list(chart.series[0].values)
    assert list(chart.x) == list(range(len(bins)))
    assert bins[-1][-1] == max(flat), "a label reaches beyond the longest response"


@given(st.integers(0, 10**9))
def test_the_last_bin_of_lengths_ends_with_the_longest(longest):
    chart = length_chart(np.array([0.0, longest]), None)
    assert chart.ticks[-1].replace(",", "").split("-")[-1] == str(longest)
    assert chart.series[0].values[-1] > 0 and len(chart.ticks) <= 41


def test_columns_that_are_missing_are_not_spoken_of(tmp_path):
    pq.write_table(pa.table({"responses": [["a", ""]]}), tmp_path / "o.parquet")
    page = page_of_scored(tmp_path / "o.parquet")
    assert page.verdict_style == "neutral" and page.verdict.startswith("not scored")
    assert [type(block) for block in page.sections[0].blocks] == [Facts]
    assert [figure.label for figure in page.figures] == ["rows"]
    assert dict(page.sections[0].blocks[0].items)["empty responses"] == "1 (50.0%)"


def test_one_row_per_sample_gives_the_same_responses(tmp_path):
    whole = output_file(tmp_path / "a.parquet")
    lines = {
        "row": [0] * 4 + [1] * 4,
        "response": [text for row in RESPONSES for text in row],
        "finish_reason": ["stop"] * 8,
    }
    pq.write_table(pa.table(lines), tmp_path / "b.parquet")
    one, other = (page_of_scored(path) for path in (whole, tmp_path / "b.parquet"))
    assert one.sections[0] == other.sections[0] and one.figures == other.figures


def test_a_file_in_which_nothing_was_judged_is_not_called_good(tmp_path):
    page = page_of_scored(verdict_file(tmp_path / "s.parquet", [["unjudged"], ["error"]]))
    assert page.verdict_style == "bad" and page.verdict.startswith("nothing could be judged")


def test_a_file_in_which_all_rows_failed_is_not_called_good(tmp_path):
    path = output_file(tmp_path / "o.parquet", pa.array([[], None], pa.list_(pa.string())))
    page = page_of_scored(path)
    assert page.verdict_style == "bad" and page.verdict == "no responses: none of 2 rows has one"


def test_a_file_without_rows_is_refused(tmp_path):
    table = pa.table({"responses": pa.array([], pa.list_(pa.string()))})
    pq.write_table(table, tmp_path / "o.parquet")
    with pytest.raises(UserError, match="has no rows"):
        page_of_scored(tmp_path / "o.parquet")


def test_a_file_without_responses_says_what_to_type(tmp_path):
    pq.write_table(pa.table({"prompt": ["a"], "out": [["b"]]}), tmp_path / "o.parquet")
    with pytest.raises(UserError, match="type responses_key=COLUMN"):
        page_of_scored(tmp_path / "o.parquet")
    assert page_of_scored(tmp_path / "o.parquet", responses_key="out").figures[0].value == "1"


@pytest.mark.parametrize("name", ["response", "responses"])
def test_one_text_per_row_and_lists_have_either_name(tmp_path, name):
    """A column of texts was not found under the name that lists have."""
    for i, values in enumerate([["a", "b"], [["a"], ["b"]]]):
        pq.write_table(pa.table({"prompt": ["p", "q"], name: values}), tmp_path / f"{i}.parquet")
        assert (
            page_of_scored(tmp_path / f"{i}.parquet").verdict == "not scored: 2 samples of 2 rows"
        )


CHAT = [{"role": "assistant", "content": "a"}]


@pytest.mark.parametrize("held", [CHAT, [CHAT, CHAT]], ids=["one per row", "a list per row"])
@pytest.mark.parametrize("keys", [{}, {"responses_key": "completions"}], ids=["found", "typed"])
def test_chats_as_responses_are_said_to_be_chats(tmp_path, held, keys):
    """The message asked for responses_key=COLUMN right after it was typed."""
    path = tmp_path / "o.parquet"
    pq.write_table(pa.table({"prompt": [CHAT], "completions": [held]}), path)
    with pytest.raises(UserError, match="holds chats, and a page needs") as raised:
        page_of_scored(path, **keys)
    assert "type responses_key" not in str(raised.value)


def test_scores_of_another_program_are_said_not_to_be_shown(tmp_path):
    path = output_file(tmp_path / "o.parquet", scores=[1.0, 0.0])
    section = page_of_scored(path).sections[0]
    note, command = section.blocks
    assert section.title == "Scores" and note.text.startswith("Column 'scores' is not shown")
    words = command.text.split()
    assert words[:4] == ["python", "-m", "rollout.postprocess", f"input={path}"]
    assert words[5:9] == [
        "responses_key=responses", "answer_key=answer", "prompt_key=prompt", "prefix=rollout_"
    ]  # fmt: skip


def test_scores_of_another_program_for_texts_need_lists(tmp_path):
    pq.write_table(pa.table({"response": ["a"], "score": [0.5]}), tmp_path / "o.parquet")
    note = page_of_scored(tmp_path / "o.parquet").sections[0].blocks[0]
    assert "put the responses of a row into a list" in note.text


def test_names_and_texts_that_are_markup_stay_text(tmp_path):
    path = tmp_path / "<img src=x onerror=alert(1)>.parquet"
    verdicts, reasons = [["right"] * len(TEXTS)], [["<b>stop"] * len(TEXTS)]
    verdict_file(path, verdicts, responses=[TEXTS], extracted=[TEXTS], finish_reason=reasons)
    page = html_of(page_of_scored(path))
    assert not re.search(r"<img|<b>|onerror=alert\(1\)>", page)


def test_more_finish_reasons_than_colours_are_gathered_in_the_chart(tmp_path):
    reasons = [[f"r{i}" for i in range(12)]]
    path = output_file(
        tmp_path / "o.parquet", [["a"] * 12], finish_reason=reasons, num_response_tokens=[[3] * 12]
    )
    _, table, chart = page_of_scored(path).sections[0].blocks
    assert len(table.rows) == 12
    assert len(chart.series) == 8 and chart.series[-1].name == "(other)"
    assert sum(sum(series.values) for series in chart.series) == 12


@pytest.mark.filterwarnings("error")  # of numpy, on the terminal
@pytest.mark.parametrize("score", [float("inf"), float("-inf")])
def test_infinite_scores_have_a_page(tmp_path, score):
    """The mean of inf and -inf raised an error that was not the user's."""
    scores = [[score, 1.0], [-score, 0.0], [float("inf"), float("-inf")]]
    verdicts = [["right", "right"], ["wrong", "wrong"], ["right", "wrong"]]
    page = page_of_scored(verdict_file(tmp_path / "s.parquet", verdicts, scores))
    assert page.verdict.startswith("scored: 6 samples of 3 rows, 2 of 3 rows solved")
    assert page.title in html_of(page)

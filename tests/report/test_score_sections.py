"""Scores on a page: the scoring's own figures, and charts checked by hand and by brute force."""

import json
import random
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scored_files import RESPONSES, TOKENS, output_file, scored_file, verdict_file

from rollout.errors import UserError
from rollout.report.charts import Chart, Format, Kind
from rollout.report.page import Facts, Figure, Note, Section, Table
from rollout.report.samples import rows_of_file
from rollout.report.score_charts import solved_within
from rollout.report.score_tables import reason_table
from rollout.report.scored import page_of_scored
from rollout.report.scored_rows import NAMES, Scores, read_scores
from rollout.report.scores import figures_from, sections_from
from rollout.report.values import AT_THE_ENDS


def scores_of_file(path, prefix=None, numbers=None) -> Scores:
    rows = rows_of_file(path, prefix=prefix)
    rows.numbers = numbers or rows.numbers
    return read_scores(rows, path)


def score_sections(path, **options) -> list[Section]:
    return sections_from(scores_of_file(path, **options))


def score_figures(path, prefix=None) -> list[Figure]:
    return figures_from(scores_of_file(path, prefix))


def charts(path, **options) -> dict[str, Chart]:
    return {
        b.name: b for s in score_sections(path, **options) for b in s.blocks if isinstance(b, Chart)
    }


def table(path, title: str) -> Table:
    section = next(s for s in score_sections(path) if s.title == title)
    return next(block for block in section.blocks if isinstance(block, Table))


def notes(path) -> str:
    blocks = [block for section in score_sections(path) for block in section.blocks]
    return " ".join(block.text for block in blocks if isinstance(block, Note))


@pytest.fixture
def by_hand(tmp_path):
    return scored_file(tmp_path, num_response_tokens=pa.array(TOKENS, pa.list_(pa.int32())))


def test_pass_at_k_of_two_prompts_is_the_one_computed_by_hand(by_hand):
    """1 of 4 right: 1/4, 1/2, 1. 3 of 4 right: 3/4, 1, 1."""
    chart = charts(by_hand)["pass_at_k"]
    assert list(chart.x) == [1, 2, 4]
    assert chart.series[0].values == pytest.approx([0.5, 0.75, 1.0])
    assert chart.y_format is Format.percent


def test_solved_within_k_counts_the_first_samples_as_drawn(by_hand):
    """The first prompt is solved by its second sample, the other one by its first."""
    chart = charts(by_hand)["solved_within_k"]
    assert chart.series[0].values == pytest.approx([0.5, 1.0, 1.0])
    assert chart.series[1].values == pytest.approx([0.5, 0.75, 1.0])


def test_between_the_k_that_were_counted_nothing_is_drawn(by_hand):
    """A step line held the value of k=2 through k=3."""
    chart = charts(by_hand)["solved_within_k"]
    assert (chart.series[0].kind, chart.series[1].low) == (Kind.points, None)
    assert "Intervals of the points: 95%, by a bootstrap over rows." in chart.note


def test_intervals_at_the_ends_are_not_said_to_be_of_a_bootstrap(by_hand, tmp_path):
    """They are exact binomial bounds where all rows are equal."""
    assert AT_THE_ENDS in charts(by_hand)["pass_at_k"].note
    verdicts = [["right", "wrong"], ["wrong", "wrong"]] * 3
    path = verdict_file(tmp_path / "s.parquet", verdicts)
    assert charts(path)["pass_at_k"].note.endswith("Intervals: 95%, by a bootstrap over rows.")


def test_each_pass_rate_has_its_bar(by_hand):
    chart = charts(by_hand)["pass_rates"]
    assert list(chart.ticks) == ["0/4", "1/4", "2/4", "3/4", "4/4"]
    assert list(chart.series[0].values) == [0, 1, 0, 1, 0]


def test_the_points_are_mean_tokens_against_pass_rate(by_hand):
    chart = charts(by_hand, numbers=[5, 9])["length_pass_rate"]
    assert list(chart.x) == [4.0, 25.0]
    assert list(chart.series[0].values) == [0.75, 0.25]
    assert list(chart.series[0].labels) == ["row 9", "row 5"]


def test_the_verdict_table_counts_samples_and_their_tokens(by_hand):
    """Right ones have 20, 1, 2 and 4 tokens, the others 10, 30, 40 and 9."""
    rows = {row.cells[0]: row.cells[1:5] for row in table(by_hand, "Verdicts").rows}
    assert rows["right"] == ["4", "50.0%", "6.8", "3.0"]
    assert rows["wrong"] == ["4", "50.0%", "22.2", "20.0"]
    assert rows["unjudged"] == ["0", "0.0%", "-", "-"]


def test_figures_are_those_beside_the_file(by_hand):
    figures = json.loads(by_hand.with_suffix(".json").read_text())["groups"][0]["values"]
    value = figures["pass@1"]
    shown = score_figures(by_hand)[0]
    assert (shown.label, shown.value) == ("pass@1", f"{value['value']:.1%}")
    low, high = (f"{100 * value[end]:.0f}" for end in ("low", "high"))
    assert shown.note == f"95% interval {low}-{high}%, 2 rows"
    first = charts(by_hand)["pass_at_k"].series[0]
    assert first.low == [figures[f"pass@{k}"]["low"] for k in (1, 2, 4)]
    assert first.high == [figures[f"pass@{k}"]["high"] for k in (1, 2, 4)]


def test_changed_figures_beside_the_file_are_shown_not_computed_again(by_hand):
    path = by_hand.with_suffix(".json")
    figures = json.loads(path.read_text())
    figures["groups"][0]["values"]["pass@1"]["value"] = 0.123
    path.write_text(json.dumps(figures))
    assert score_figures(by_hand)[0].value == "12.3%"


@pytest.mark.parametrize("damage", ["missing", "not JSON", "of other rows", "a text"])
def test_figures_that_cannot_be_used_are_counted_anew_and_said_to_be(by_hand, damage):
    path = by_hand.with_suffix(".json")
    figures = json.loads(path.read_text())
    path.unlink()
    if damage == "not JSON":
        path.write_text("{")
    if damage == "of other rows":
        path.write_text(json.dumps(figures | {"groups": [figures["groups"][0] | {"num_rows": 9}]}))
    if damage == "a text":
        figures["groups"][0]["values"]["pass@1"]["value"] = "<b>"
        path.write_text(json.dumps(figures))
    assert score_figures(by_hand)[0].value == "50.0%"
    assert "scored.json" in notes(by_hand) and "counted anew" in notes(by_hand)
    chart = charts(by_hand)["pass_at_k"]
    assert chart.series[0].values == pytest.approx([0.5, 0.75, 1.0])


def test_groups_have_their_line_bar_and_row(tmp_path):
    path = scored_file(tmp_path, group_by=["level"], level=["easy", "hard"])
    found = charts(path)
    assert [s.name for s in found["pass_at_k"].series] == ["all rows", "easy", "hard"]
    assert list(found["pass_at_1_by_group"].series[0].values) == [0.25, 0.75]
    rows = [list(row.cells[:4]) for row in table(path, "Scores by level").rows]
    assert rows == [["easy", "1", "4", "100.0%"], ["hard", "1", "4", "100.0%"]]


def test_no_answer_is_not_called_unjudged(tmp_path):
    """It counts as not solved, though the page called it not judged."""
    path = scored_file(tmp_path, group_by=["level"], level=["easy", "hard"])
    heads = [column.label for column in table(path, "Scores by level").columns]
    assert "right or wrong" in heads and "judged" not in heads
    scores = scores_of_file(path)
    note = reason_table(replace(scores, reasons=[("no answer found", 3)])).note
    assert note.startswith("Why samples have no answer or could not be judged;")


def test_of_many_groups_the_largest_have_lines_and_all_have_rows(tmp_path):
    levels = [str(min(i, 10)) for i in range(12)]
    path = scored_file(tmp_path, RESPONSES * 6, group_by=["level"], level=levels)
    chart = charts(path)["pass_at_k"]
    assert len(chart.series) == 9 and "10" in [series.name for series in chart.series]
    assert "8 largest of 11 groups" in chart.note
    assert len(table(path, "Scores by level").rows) == 11


def test_what_could_not_be_judged_counts_in_no_figure(tmp_path):
    verdicts = [["right", "unjudged"], ["unjudged", "unjudged"], ["wrong", "right"]]
    path = verdict_file(tmp_path / "s.parquet", verdicts)
    assert score_figures(path)[0].value == "75.0%"
    rows = {row.cells[0]: row.cells[1] for row in table(path, "Verdicts").rows}
    assert (rows["unjudged"], rows["wrong"], rows["right"]) == ("3", "1", "2")
    chart = charts(path)["pass_rates"]
    assert sum(chart.series[0].values) == 2 and "Left out: 1 row without a sample" in chart.note


def test_a_file_in_which_nothing_was_judged_shows_no_share(tmp_path):
    path = verdict_file(tmp_path / "s.parquet", [["unjudged", "no_answer"], ["error"]])
    assert [figure.value for figure in score_figures(path)] == ["-", "0.0%"]
    assert not charts(path)
    assert "no pass@k" in notes(path)


def test_graded_scores_have_a_histogram_and_a_mean(tmp_path):
    scores = [[0.0, 0.5], [1.0, 0.25]]
    verdicts = [["wrong", "wrong"], ["right", "wrong"]]
    path = verdict_file(tmp_path / "s.parquet", verdicts, scores)
    chart = charts(path)["scores"]
    assert sum(chart.series[0].values) == 4 and "0.4375" in chart.note
    assert ("mean score", "43.8%") in [(f.label, f.value) for f in score_figures(path)]


def test_scores_of_0_and_1_have_no_histogram(by_hand):
    assert "scores" not in charts(by_hand)
    facts = next(b for s in score_sections(by_hand) for b in s.blocks if isinstance(b, Facts))
    assert not {"mean", "best@n"} & {name for name, _ in facts.items}


def test_wrong_samples_that_are_longer_are_said_to_be(tmp_path):
    verdicts = [["right", "wrong", "no_answer"]] * 12
    tokens = [[10 + i % 3, 110, 110] for i in range(12)]
    path = verdict_file(tmp_path / "s.parquet", verdicts, num_response_tokens=tokens)
    assert "In the 12 rows" in notes(path) and "99.0 tokens longer" in notes(path)


def test_lengths_that_may_differ_by_chance_are_said_not_to(tmp_path):
    tokens = [[10, 11], [11, 10], [10, 12], [12, 10]]
    path = verdict_file(
        tmp_path / "s.parquet", [["right", "wrong"]] * 4, num_response_tokens=tokens
    )
    assert "do not differ for certain" in notes(path)


def test_many_cut_off_samples_are_warned_of(tmp_path):
    verdicts, reasons = [["right", "cut_off"]] * 2, [["stop", "length"]] * 2
    path = verdict_file(
        tmp_path / "s.parquet", verdicts, finish_reason=reasons, num_response_tokens=[[1, 8]] * 2
    )
    assert "50.0% of the samples were cut off" in notes(path)
    assert "100.0% of those that are not right" in notes(path)


def test_an_unscored_file_has_no_sections_and_no_figure(tmp_path):
    path = output_file(tmp_path / "output.parquet")
    page = page_of_scored(path)
    assert [section.title for section in page.sections] == ["Responses", "Samples"]
    assert "pass@1" not in {figure.label for figure in page.figures}


def test_lists_of_different_lengths_are_refused_by_name_and_row(tmp_path):
    path = verdict_file(tmp_path / "s.parquet", [["right"], ["right"]], [[1.0], [1.0, 0.0]])
    with pytest.raises(UserError, match=r"row 1 .*'scores' and 'verdicts' have different lengths"):
        score_sections(path)


def test_an_unknown_verdict_is_refused(tmp_path):
    path = verdict_file(tmp_path / "s.parquet", [["right", "perhaps"]])
    with pytest.raises(UserError, match="verdict 'perhaps'"):
        score_sections(path)


def test_a_second_scoring_is_found_by_its_prefix(tmp_path):
    path = verdict_file(
        tmp_path / "s.parquet",
        [["right"], ["right"]],
        second_verdicts=[["wrong"], ["right"]],
        second_scores=[[0.0], [1.0]],
    )
    assert score_figures(path)[0].value == "100.0%"
    assert score_figures(path, "second_")[0].value == "50.0%"
    with pytest.raises(UserError, match="prefix=third_"):
        score_figures(path, "third_")


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from(NAMES), max_size=6), min_size=1, max_size=8))
def test_solved_within_k_is_what_counting_one_by_one_gives(tmp_path_factory, verdicts):
    path = tmp_path_factory.mktemp("s") / "s.parquet"
    scores = scores_of_file(verdict_file(path, verdicts))
    for k in range(1, 7):
        expected = []
        for row in verdicts:
            counted = [verdict for verdict in row if verdict != "unjudged"]
            is_solved = float("right" in counted[:k])
            expected.append(is_solved if len(counted) >= k else float("nan"))
        assert solved_within(scores, k) == pytest.approx(expected, nan_ok=True)


def test_with_all_samples_solved_within_n_is_pass_at_n(tmp_path):
    rng = random.Random(3)
    verdicts = [rng.choices(["right", "wrong"], k=8) for _ in range(30)]
    chart = charts(verdict_file(tmp_path / "s.parquet", verdicts))["solved_within_k"]
    assert chart.series[0].values[-1] == pytest.approx(chart.series[1].values[-1])


def test_columns_of_other_physical_types_give_the_same_charts(tmp_path):
    path = verdict_file(tmp_path / "a.parquet", [["right", "wrong"], ["wrong", "wrong"]])
    kept = pq.read_table(path)
    other = kept.set_column(
        kept.schema.get_field_index("verdicts"),
        "verdicts",
        pa.array(kept.column("verdicts").to_pylist(), pa.large_list(pa.large_string())),
    )
    pq.write_table(other, tmp_path / "b.parquet")
    assert charts(path) == charts(tmp_path / "b.parquet")


def test_columns_without_any_value_are_read(tmp_path):
    path = tmp_path / "s.parquet"
    columns = {"responses": [["a"], ["b"]], "verdicts": [["error"]] * 2, "scores": [[None]] * 2}
    pq.write_table(pa.table(columns | {"finish_reason": [None, None]}), path)
    assert score_figures(path)[0].note == "nothing could be judged"
    assert "'finish_reason' is not used here: row 0 has not one value per sample" in notes(path)

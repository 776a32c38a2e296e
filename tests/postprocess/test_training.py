"""Bad settings of an export are refused early, in one line; its table fits a terminal."""

import json

import pyarrow as pa
import pytest

from rollout.config.sections.export import Estimate, Export, Format, Select, Unscored
from rollout.config.sections.postprocess import Postprocess
from rollout.errors import UserError
from rollout.postprocess.export.exporter import Exporter

ROW = {
    "prompt": "2 + 2?", "responses": ["4", "5"], "task": "sum", "scores": [1.0, None],
    "extracted": ["4", "5"], "pass_rate": 1.0,
}  # fmt: skip
BATCH = pa.RecordBatch.from_pylist([ROW] * 3)


@pytest.mark.parametrize(
    ("estimate", "select", "export", "message"),
    [
        ({"k": [0]}, {}, {}, "k of 1 or more"),
        ({"group_by": ["tusk"]}, {}, {}, "Did you mean 'task'"),
        ({}, {"min_pass_rate": 0.1}, {}, "export.format=none"),
        ({}, {}, {"format": Format.sft}, "export.path is not set"),
        ({}, {}, {"format": Format.grpo, "path": "x.parquet"}, "no column 'answer'"),
        ({}, {"max_tokens": 9}, {"format": Format.sft, "path": "x"}, "num_response_tokens"),
    ],
)
def test_bad_settings_are_refused_before_any_work(estimate, select, export, message):
    settings = Postprocess(
        estimate=Estimate(**estimate), select=Select(**select), export=Export(**export)
    )
    with pytest.raises(UserError, match=message):
        Exporter(settings, BATCH.schema)


def summed(*rows, **settings):
    """Return the summary of rows given as (verdicts, texts)."""
    scores = {"right": 1.0, "error": None, "unjudged": None}
    batch = pa.RecordBatch.from_pylist(
        [
            ROW | {"scores": [scores.get(v, 0.0) for v in verdicts], "verdicts": verdicts}
            | {"responses": texts, "extracted": [None] * len(texts)}
            for verdicts, texts in rows
        ]
    )  # fmt: skip
    exporter = Exporter(Postprocess(estimate=Estimate(group_by=["task"], **settings)), batch.schema)
    exporter.add(batch)
    return exporter.finish()


def test_groups_beyond_the_limit_are_summarized_with_a_note():
    """The last of `981 groups more are in the JSON` held 99,000 rows, and nothing mentioned it."""
    tasks = ["(other)", *map(str, range(1000)), "5", "1000"]
    batch = pa.RecordBatch.from_pylist(
        [ROW | {"task": task, "verdicts": ["right", "error"]} for task in tasks]
    )
    settings = Postprocess(estimate=Estimate(group_by=["task"], resamples=0))
    exporter = Exporter(settings, batch.schema)
    exporter.add(batch)
    summary = exporter.finish()
    note = (
        "the last of the groups, (other), holds 2 rows: those of every value after the first 1,000"
    )
    assert "981 groups more are in the JSON" in summary.text() and note in summary.text()
    assert summary.as_json()["notes"] == [note]
    assert [g.num_rows for g in summary.groups if g.name == {"task": "(other)"}] == [1, 2]
    assert not summed(ODD).as_json()["notes"]


ODD = ["right", "no_answer", "cut_off", "error"], ["a", "b", "c", "d"]


def test_the_table_says_what_is_counted_as_not_solved_and_fits_100_columns():
    text = summed(ODD, (["unjudged"] * 4, ["a", "b", "c", "d"])).text()
    assert "no answer found in 1 of 8 samples (counted as not solved)" in text
    assert "cut off before an answer: 1 of 8 samples (counted as not solved)" in text
    assert "errors (time-out, exception, memory): 1 of 8 samples, counted as not solved" in text
    assert "could not be judged, left out: 4 of 8 samples, in 1 row" in text
    assert "pass@4" in text and max(map(len, text.splitlines())) <= 100


def test_errors_that_are_left_out_are_noted():
    text = " ".join(summed(ODD, unscored=Unscored.leave_out).text().split())
    assert "1 of 4 samples, left out; estimate.unscored=fail counts them as not solved" in text


def test_verdicts_that_did_not_occur_are_not_mentioned():
    text = summed((["right", "wrong"], ["a", "b"])).text()
    assert len(text.splitlines()) == 5  # head, all rows, intervals, the group, solved at all


def test_where_nothing_was_judged_the_table_shows_a_dash():
    """It showed 0.0 % for a scorer that failed on every sample."""
    text = summed((["error"] * 2, ["a", "b"])).text()
    assert "nothing could be judged" in text and "0.0%" not in text
    assert text.splitlines()[1].split()[-2:] == ["-", "-"]


def test_rows_of_unequal_n_and_repeated_samples_are_noted():
    rows = [(["right", "wrong"], ["a", "b"])] * 3 + [(["right"] * 4, ["a"] * 4)]
    text = " ".join(summed(*rows).text().split())
    assert "rows have 2 to 4 samples that count" in text
    assert "over 4 rows: pass@1 to pass@2; over 1 row: pass@4 (the others have fewer" in text
    assert "all samples are the same text in 1 row: there pass@k is pass@1" in text
    text = summed((["right", "wrong"], ["a", "b"]), k=[1, 3]).text()
    assert "pass@3: no row has that many samples that count" in text


def test_the_figures_are_plain_values_with_separate_intervals():
    summary = summed(*[(["right", "wrong"], ["a", "b"]), (["wrong"] * 2, ["a", "b"])] * 5)
    figures = json.loads(json.dumps(summary.figures()))
    low, high = figures.pop("intervals")["pass@1"]
    assert low < figures["pass@1"] == 0.25 < high
    group = json.loads(json.dumps(summary.as_json()))["groups"][1]
    assert group["name"] == {"task": "sum"} and group["num_wrong"] == 15

"""The hand-over's settings are refused early, in one line; its table fits a terminal."""

import json

import pyarrow as pa
import pytest

from rollout.errors import UserError
from rollout.scoring.settings import Postprocess
from rollout.training.handover import Handover
from rollout.training.settings import Estimate, Export, Format, Select

ROW = {
    "prompt": "2 + 2?", "responses": ["4", "5"], "task": "sum", "scores": [1.0, None],
    "extracted": ["4", "5"], "pass_rate": 1.0,
}  # fmt: skip
BATCH = pa.RecordBatch.from_pylist([ROW] * 3)


@pytest.mark.parametrize(
    ("estimate", "select", "export", "told"),
    [
        ({"k": [0]}, {}, {}, "k of 1 or more"),
        ({"group_by": ["tusk"]}, {}, {}, "Did you mean 'task'"),
        ({}, {"min_pass_rate": 0.1}, {}, "export.format=none"),
        ({}, {}, {"format": Format.sft}, "export.path is not set"),
        ({}, {}, {"format": Format.grpo, "path": "x.parquet"}, "no column 'answer'"),
        ({}, {"max_tokens": 9}, {"format": Format.sft, "path": "x"}, "num_response_tokens"),
    ],
)
def test_what_can_not_be_served_is_refused_before_work(estimate, select, export, told):
    settings = Postprocess(
        estimate=Estimate(**estimate), select=Select(**select), export=Export(**export)
    )
    with pytest.raises(UserError, match=told):
        Handover(settings, BATCH.schema)


def test_the_table_says_what_is_left_out_and_fits_100_columns():
    handover = Handover(
        Postprocess(estimate=Estimate(k=[1, 2], group_by=["task"])),
        BATCH.schema,
    )
    handover.add(BATCH)
    summary = handover.finish()
    assert "left out: 3 samples" in summary.text()
    assert "pass@2: no row has that many scored samples" in summary.text()
    assert max(map(len, summary.text().splitlines())) <= 100
    assert json.loads(json.dumps(summary.as_json()))["groups"][1]["name"] == {"task": "sum"}

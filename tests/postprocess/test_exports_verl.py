"""verl's files: verl's reward code agrees with our verdicts, and the input's columns survive."""

import gzip
import importlib.util
import json
import sys
import types

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from processes import DATA

from rollout.config.sections.export import Export, Format
from rollout.config.sections.postprocess import Postprocess
from rollout.errors import UserError
from rollout.postprocess.__main__ import main
from rollout.postprocess.export.exporter import Exporter
from rollout.postprocess.scoring.scorers import Response, load_scorer

CHAT = [{"role": "user", "content": "600 + 634?"}]
SOLUTION = "600 + 634 = <<600+634=1234>>1,234\n#### 1,234"
BOXED = "The sum is $\\boxed{\\frac{1}{2}}$."


def scored(**more):
    row = {
        "prompt": CHAT, "answer": SOLUTION, "responses": ["#### 1,234", "#### 1235"],
        "finish_reason": ["stop", "stop"], "scores": [1.0, 0.0], "verdicts": ["right", "wrong"],
        "score_errors": [None, None], "extracted": ["1234", "1235"], "compared_with": "1234",
        "pass_rate": 0.5,
    }  # fmt: skip
    return row | more


def exported(tmp_path, *rows, compares=None, **export):
    path = tmp_path / "verl.parquet"
    settings = Postprocess(export=Export(**{"format": Format.verl, "path": str(path)} | export))
    batch = pa.RecordBatch.from_pylist(list(rows))
    exporter = Exporter(settings, batch.schema, compares)
    exporter.add(batch)
    return pq.read_table(path).to_pylist() if (done := exporter.finish()) else [], done


@pytest.fixture
def compute_score(monkeypatch):
    """verl's own choice of a reward function, without its package's __init__, which needs ray."""
    spec = importlib.util.find_spec("verl")
    assert spec is not None, "install requirements/test.txt, which has verl"
    package = types.ModuleType("verl")
    package.__path__ = list(spec.submodule_search_locations)
    monkeypatch.setitem(sys.modules, "verl", package)
    from verl.utils.reward_score import default_compute_score

    return default_compute_score


LABELLED = DATA / "gsm8k_solutions.jsonl.gz"


def test_verls_gsm8k_agrees_with_every_verdict_on_labelled_solutions(
    tmp_path, monkeypatch, compute_score
):
    monkeypatch.chdir(tmp_path)
    lines = gzip.decompress(LABELLED.read_bytes()).splitlines()
    rows = list(map(json.loads, lines[:100]))
    for row in rows:  # GSM8K's solvers write "A: 42"
        row["responses"] = [text.replace("\nA: ", "\n#### ") for text in row["responses"]]
    pq.write_table(pa.Table.from_pylist(rows), "output.parquet")
    words = ["scorer=math", "answer_key=solution", "output.path=scored.parquet"]
    with pytest.raises(SystemExit) as ended:
        main(["input=output.parquet", *words, "export.format=verl", "export.path=verl.parquet"])
    assert not ended.value.code
    ours, verls = (pq.read_table(f"{name}.parquet").to_pylist() for name in ("scored", "verl"))
    for row, made in zip(ours, verls, strict=True):
        truth = made["reward_model"]["ground_truth"]
        rewards = [compute_score(made["data_source"], text, truth) for text in row["responses"]]
        assert rewards == [float(verdict == "right") for verdict in row["verdicts"]]
        assert rewards == [float(label) for label in row["is_correct"]]


@pytest.mark.parametrize(
    ("answer", "compared", "responses"),
    [
        (SOLUTION, "1234", ["so it is\n#### 1,234", "#### 1234", "#### 1235", "#### 12,34.5"]),
        ("x\n#### -7", "-7", ["#### -7", "#### 7"]),
        (BOXED, "\\frac{1}{2}", ["\\boxed{\\frac12}", "\\boxed{1/2}", "\\boxed{2}"]),
        (
            BOXED,
            "\\frac{1}{2}",
            ["\\boxed{2}, no: \\boxed{\\dfrac{1}{2}}", "\\boxed{\\frac{1}{3}}"],
        ),
    ],
)
def test_verls_reward_of_each_response_is_our_verdict(
    tmp_path, compute_score, answer, compared, responses
):
    marks = [
        load_scorer(Postprocess(scorer="math"))(Response(r), {"answer": answer}) for r in responses
    ]
    row = scored(answer=answer, compared_with=compared)
    ((row,), _) = exported(tmp_path, row)
    truth = row["reward_model"]["ground_truth"]
    rewards = [compute_score(row["data_source"], text, truth) for text in responses]
    assert rewards == [mark.score for mark in marks] and 0 < sum(rewards) < len(rewards)


def test_what_training_compares_with_is_what_the_scorer_compared_with(tmp_path):
    ((row,), _) = exported(tmp_path, scored())
    assert row["reward_model"] == {"style": "rule", "ground_truth": "1234"}
    (tmp_path / "verl.parquet").unlink()
    ((row,), _) = exported(tmp_path, scored(), format=Format.grpo)
    assert row["answer"] == "1234"


def test_export_answer_key_uses_a_column_unchanged_and_notes_it(tmp_path):
    ((row,), done) = exported(tmp_path, scored(), answer_key="answer")
    assert row["reward_model"]["ground_truth"] == SOLUTION
    assert "not those that were scored" in done.text()


def test_a_scorer_that_compares_with_no_text_leaves_the_answer_column(tmp_path):
    ((row,), _) = exported(tmp_path, scored(compared_with=None, answer="x"), compares=False)
    assert row["reward_model"]["ground_truth"] == "x"


def test_a_row_whose_answer_the_scorer_could_not_read_is_left_out_and_counted(tmp_path):
    unread = scored(compared_with=None, verdicts=["unjudged"] * 2, scores=[None] * 2)
    found, done = exported(tmp_path, scored(), unread)
    assert len(found) == 1
    assert "1  rows whose answer the scorer could not read" in done.text()


def test_the_kept_answer_column_is_refused_with_what_to_type(tmp_path):
    with pytest.raises(UserError, match=r"type export\.answer_key=answer"):
        exported(tmp_path, scored(), format=Format.grpo, keep=["answer"])


@pytest.mark.parametrize(
    ("answer", "source"),
    [
        (SOLUTION, "openai/gsm8k"),
        (BOXED, "DigitalLearningGmbH/MATH-lighteval"),
        ("1234", "rollout"),
    ],
)
def test_data_source_goes_by_how_the_answer_is_written(tmp_path, answer, source):
    ((row,), _) = exported(tmp_path, scored(answer=answer))
    assert row["data_source"] == source


def test_a_data_source_without_a_reward_in_verl_is_noted(tmp_path, compute_score):
    ((row,), done) = exported(tmp_path, scored(answer="1234"))
    with pytest.raises(NotImplementedError):
        compute_score(row["data_source"], "#### 1", "1")
    assert "no reward function for data_source=rollout (1 rows)" in done.text()
    assert max(map(len, done.text().replace(str(tmp_path), "").splitlines())) <= 100


def test_right_responses_that_verl_would_not_read_are_noted(tmp_path):
    row = scored(responses=["It is \\boxed{1234}.", "No."])
    _, done = exported(tmp_path, row)
    assert "0 of 1 right responses have one" in done.notes[1]


@pytest.mark.parametrize(
    ("more", "export", "message"),
    [
        ({}, {}, "data_source=openai/gsm8k (1 rows), guessed from the answers"),
        ({"data_source": "math"}, {}, "data_source=math (1 rows), from the input"),
        ({}, {"data_source": "apps"}, "data_source=apps (1 rows), from export.data_source"),
    ],
)
def test_the_chosen_data_source_is_noted(tmp_path, more, export, message):
    _, done = exported(tmp_path, scored(answer=SOLUTION) | more, **export)
    assert message in done.text()


VERL = {
    "data_source": "hiyouga/geometry3k", "ability": "geometry", "agent_name": "tool_agent",
    "reward_model": {"style": "model", "ground_truth": "1,234", "weight": 2.0},
    "extra_info": {
        "index": 71, "split": "test", "need_tools_kwargs": True,
        "tools_kwargs": {"calc": {"create_kwargs": {"x": 1}}},
    },
    "images": [{"bytes": b"\x89PNG", "path": None}],
}  # fmt: skip


def test_the_columns_of_a_file_in_verls_layout_survive(tmp_path):
    row = scored()
    del row["answer"]
    ((row,), _) = exported(tmp_path, {"prompt": CHAT} | VERL | row)
    kept = {name: VERL[name] for name in ("data_source", "ability", "agent_name", "images")}
    assert {name: row[name] for name in kept} == kept
    assert row["reward_model"] == VERL["reward_model"] | {"ground_truth": "1234"}
    assert row["extra_info"] == VERL["extra_info"] | {"pass_rate": 0.5}
    assert set(row) == {"prompt", *VERL}


def test_settings_win_over_columns(tmp_path):
    row = {"prompt": CHAT} | VERL | scored()
    ((row,), _) = exported(tmp_path, row, data_source="math", ability="sums", split="train")
    assert (row["data_source"], row["ability"]) == ("math", "sums")
    assert row["extra_info"]["split"] == "train" and row["extra_info"]["index"] == 71


def test_a_ground_truth_that_is_no_text_stays_where_nothing_compared_with_it(tmp_path):
    truth = {"target": ["Paris", "paris"]}
    row = {"prompt": CHAT} | VERL | {"reward_model": {"style": "rule", "ground_truth": truth}}
    row |= scored(compared_with=None)
    del row["answer"]
    ((row,), _) = exported(tmp_path, row, compares=False)
    assert row["reward_model"] == {"style": "rule", "ground_truth": truth}


def test_a_null_extra_info_gets_a_pass_rate_and_a_null_for_the_rest(tmp_path):
    rows = [{"prompt": CHAT} | VERL | scored() for _ in range(2)]
    rows[1]["extra_info"] = None
    found, _ = exported(tmp_path, *rows)
    assert found[1]["extra_info"]["pass_rate"] == 0.5
    assert found[1]["extra_info"]["index"] is None


def test_several_right_answers_in_one_text_are_noted(tmp_path):
    _, done = exported(tmp_path, scored(answer=["4", "four"], compared_with="4 or four"))
    assert "several right answers" in done.text()

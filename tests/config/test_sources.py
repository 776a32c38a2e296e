"""The precedence of settings: presets < config_file < environment < command line."""

import json

import pandas as pd
import pytest
import yaml

from rollout.config.compose import compose
from rollout.config.sources import ENVIRONMENT

SCRIPTED = ("engine=scripted", "tracking=none")


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.parquet"
    pd.DataFrame({"prompt": ["one", "two"], "question": ["three", "four"]}).to_parquet(path)
    return path


@pytest.fixture
def config_file(tmp_path):
    """Write a YAML file, and return the override that reads it."""

    def write(text: str, name: str = "my.yaml") -> str:
        (tmp_path / name).write_text(text)
        return f"config_file={tmp_path / name}"

    return write


@pytest.fixture
def config_dir(tmp_path):
    """Write the user's own presets, and return the flag that finds them."""

    def write(**files: str) -> str:
        for name, text in files.items():
            path = tmp_path / "my conf" / f"{name.replace('__', '/')}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return f"--config-dir={tmp_path / 'my conf'}"

    return write


# Precedence.


def test_each_source_beats_the_ones_below_it(typed, config_file, monkeypatch):
    file = config_file("sampling: {n_samples: 5, max_tokens: 50, top_p: 0.5}")
    monkeypatch.setenv("N_SAMPLES", "6")
    monkeypatch.setenv("MAX_TOKENS", "60")
    sampling = typed.settings(file, "sampling=qwen3_thinking", "sampling.n_samples=7")["sampling"]
    assert sampling["n_samples"] == 7  # the command line
    assert (sampling["max_tokens"], sampling["top_p"]) == (32768, 0.95)  # the preset typed there
    sampling = typed.settings(file, "data=example")["sampling"]
    assert (sampling["n_samples"], sampling["max_tokens"]) == (6, 60)  # the environment
    assert (sampling["top_p"], sampling["temperature"]) == (0.5, 1.0)  # the file, default preset


def test_a_preset_typed_beats_only_the_keys_it_sets(typed, config_file):
    file = config_file("engine: {max_num_seqs: 7, max_model_len: 99, dtype: float16}")
    engine = typed.settings(file, "engine=low_mem")["engine"]
    assert engine["max_num_seqs"] == 128
    assert (engine["max_model_len"], engine["dtype"]) == (99, "float16")


def test_a_typed_preset_beats_what_it_inherits_too(typed, config_file, config_dir):
    mine = config_dir(sampling__mine="defaults: [greedy, _self_]\ntop_k: 3\n")
    file = config_file("sampling: {n_samples: 5, top_k: 9, temperature: 0.9, extra: {a: 1}}")
    sampling = typed.settings(mine, file, "sampling=mine")["sampling"]
    assert (sampling["n_samples"], sampling["top_k"], sampling["temperature"]) == (1, 3, 0)
    assert sampling["extra"] == {"a": 1}


def test_an_experiment_typed_beats_the_files_keys(typed, config_file, prompts):
    file = config_file(f"sampling: {{n_samples: 5, top_k: 9}}\ndata: {{input: '{prompts}'}}")
    settings = typed.settings(file, "experiment=demo")
    assert (settings["sampling"]["n_samples"], settings["sampling"]["top_k"]) == (4, 9)
    assert settings["data"]["input"] == str(prompts)


@pytest.mark.parametrize("swept", ["default,greedy", "choice(default,greedy)", "glob([d*,g*])"])
def test_a_sweep_of_presets_beats_the_file_at_every_point(typed, config_file, swept):
    file = config_file("sampling: {n_samples: 3}")
    typed("-m", *SCRIPTED, file, f"sampling={swept}", "dry_run=true", "run_dir=s")
    assert "x 3 samples" not in typed.out and "x 1 samples" in typed.out


def test_a_file_key_that_some_swept_presets_set_and_some_not_is_refused(typed, config_file):
    file = config_file("engine: {max_num_seqs: 3}")
    said = typed.refused("-m", file, "engine=scripted,low_mem", "tracking=none", "dry_run=true")
    assert said.startswith("engine.max_num_seqs is set by the config_file")
    assert said.endswith("type engine.max_num_seqs=...")


def test_a_path_of_ones_own_needs_no_model_custom(typed):
    settings = typed.settings("model.model_path=org/name", "engine=scripted")
    assert settings["model"]["model_path"] == "org/name"
    assert compose({"model_path": "org/name"}).presets["model"] == "custom"


def test_without_an_input_the_demo_runs_and_says_so(typed):
    typed(*SCRIPTED, "dry_run=true")
    assert typed.code == 0 and "8 rows x 4 samples" in typed.out
    assert any("experiment=demo" in note and "data.input=" in note for note in typed.notes)


# config_file.


def test_a_config_file_may_name_presets_and_hold_dotted_keys(typed, config_file, prompts):
    file = config_file(
        f"engine: scripted\ntracking: none\nengine.max_num_seqs: 9\ndata: {{input: '{prompts}'}}\n"
        "run_dir: from_file\nsampling: {seed: null, temperature: 1e-1, n_samples: 2}\n"
    )
    typed(file)
    record = json.loads((typed.here / "from_file" / "run.json").read_text())["config"]
    assert typed.code == 0 and record["presets"]["engine"] == "scripted"
    assert record["engine"]["max_num_seqs"] == 9
    assert (record["sampling"]["seed"], record["sampling"]["temperature"]) == (None, 0.1)
    assert any(note.startswith("from ") and "engine.max_num_seqs" in note for note in typed.notes)


def test_what_was_in_force_is_recorded_and_can_be_read_back(typed, config_file, prompts):
    odd = "${x} 'a' \\"
    typed(
        *SCRIPTED, f"data.input={prompts}", "run_dir=one", f"output.prefix={odd}",
        "sampling.n_samples=3", "sampling.extra.top_a=0.1",
    )  # fmt: skip
    written = typed.here / "one" / "attempts" / "1" / "config.yaml"
    first = yaml.safe_load(written.read_text())
    assert first == json.loads((typed.here / "one" / "run.json").read_text())["config"]
    typed(f"config_file={written}", "run_dir=two")
    assert typed.code == 0, typed.errors
    second = json.loads((typed.here / "two" / "run.json").read_text())["config"]
    ours = {name: first[name] for name in ("run_dir", "presets", "given")}
    assert second | ours == first
    assert second["output"]["prefix"] == odd and second["sampling"]["extra"] == {"top_a": 0.1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sampling: {temprature: 1}", "'sampling.temprature'. Did you mean 'sampling.temperature'"),
        ("samplng: {top_p: 1}", "Did you mean 'sampling.top_p'"),
        ("sampling: {n_samples: many}", "sampling.n_samples=many is not int"),
        ("sampling: {n_samples: [1]}", "sampling.n_samples"),
        ("sampling: {n_samples: null}", "sampling.n_samples=null is not int"),
        ("sampling: {n_samples: 0}", "sampling.n_samples=0 is out of range"),
        ("sampling: gredy", "no preset sampling=gredy. Did you mean 'greedy'"),
        ("engine: null", "engine must be a preset's name or hold settings, not None"),
        ("engine: [scripted]", "engine must be a preset's name"),
        ("output: {columns: seed}", "output.columns"),
        ("sampling: {extra: 5}", "sampling.extra"),
        ("sampling: {extra: {temperature: 1}}", "type sampling.temperature=..."),
        ("sampling: {extra: {'a b': 1}}", "'a b' is not a name"),
        ("- a\n- b", "must hold sections"),
        ("", "must hold sections"),
        ("just text", "must hold sections"),
        ("a: [1", "is not YAML, line 1"),
        ("a: 1\n\tb: 2", "is not YAML, line 2"),
        ("a: 1\na: 2", "is not YAML, line 2: found duplicate key a"),
        ("a: \x00", "is not YAML: special characters are not allowed"),
        ("!!python/object:os.system x", "is not YAML"),
        ("1: 2", "there is no setting '1'"),
    ],
)  # fmt: skip
def test_a_bad_config_file_is_one_line_that_names_the_key(typed, config_file, text, said):
    assert said in typed.refused(config_file(text), *SCRIPTED, "data=example")


def test_a_setting_with_numbers_as_keys_is_read_from_everywhere(typed, config_file, prompts):
    """`sampling.logit_bias` could only be typed; its run could not be resumed by run_dir= alone."""
    typed(*SCRIPTED, f"data.input={prompts}", "run_dir=r", "sampling.logit_bias={5:1.0}")
    assert typed.code == 0, typed.errors
    assert typed("run_dir=r").code == 0, typed.errors
    text = "sampling: {logit_bias: {5: 1.0}}"
    assert typed.settings(config_file(text))["sampling"]["logit_bias"] == {5: 1.0}
    for bias in ({5: 1.0}, {"5": 1.0}):
        assert compose({"logit_bias": bias}).sampling.logit_bias == {5: 1.0}
    line = typed.refused(*SCRIPTED, f"data.input={prompts}", "sampling.logit_bias.5=1.0")
    assert "type sampling.logit_bias='{5: 1.0}'" in line


def test_a_config_file_that_is_missing_or_unreadable_is_refused(typed, tmp_path):
    assert "no such file" in typed.refused("config_file=nope.yaml", *SCRIPTED)
    assert "can't be read" in typed.refused(f"config_file={tmp_path}", *SCRIPTED)
    (tmp_path / "latin1.yaml").write_bytes(b"run_dir: caf\xe9")
    assert "can't be read" in typed.refused(f"config_file={tmp_path}/latin1.yaml", *SCRIPTED)


def test_nested_values_of_a_free_setting_survive_the_file(typed, config_file, tmp_path):
    extra = {
        "rope": {"factor": 4.0, "kind": "a b, c"},
        "empty": {},
        "stop": ["\n", "${x}", 1, None],
    }
    extra |= {"schema": {"$ref": "#/x", "a.b": True, "with space": 1, "x:y": "1e3", "tiny": 1e-3}}
    file = config_file(json.dumps({"engine": {"extra": extra}}))
    typed(*SCRIPTED, file, "run_dir=r")
    assert typed.code == 0, typed.errors
    assert (
        yaml.safe_load((typed.here / "r/attempts/1/config.yaml").read_text())["engine"]["extra"]
        == extra
    )


@pytest.mark.parametrize("key", ["run_dir", "data.input", "output.path", "model.model_path"])
@pytest.mark.parametrize(
    ("text", "said"), [("x" * 5000, "x can't be a path: File name too long"), ("a\0b", "null byte")]
)
def test_a_path_that_no_file_can_have_is_refused(typed, config_file, key, text, said):
    message = typed.refused(*SCRIPTED, config_file(json.dumps({key: text})))
    assert message.startswith(f"{key}=") and said in message and len(message) < 200


# The environment.


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("MODEL_PATH", "org/my model", "org/my model"),
        ("INPUT", "a,b (1).parquet", "a,b (1).parquet"),
        ("OUTPUT", "1e3", "1e3"), ("N_SAMPLES", "3", 3), ("MAX_TOKENS", "77", 77),
        ("TEMPERATURE", "0.5", 0.5), ("TOP_P", "1", 1.0), ("TENSOR_PARALLEL_SIZE", "2", 2),
        ("GPU_MEMORY_UTILIZATION", "0.5", 0.5), ("MAX_NUM_SEQS", "9", 9),
    ],
)  # fmt: skip
def test_each_environment_variable_sets_its_key(typed, monkeypatch, name, text, value):
    monkeypatch.setenv(name, text)
    section, key = ENVIRONMENT[name].split(".")
    assert typed.settings("engine=scripted")[section][key] == value
    assert f"from the environment: {name}={text}" in typed.notes


def test_an_empty_environment_variable_is_not_set(typed, monkeypatch):
    for name in ENVIRONMENT:
        monkeypatch.setenv(name, "")
    settings = typed.settings("engine=scripted")
    assert settings["sampling"]["n_samples"] == 4
    assert not [note for note in typed.notes if note.startswith("from ")]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("N_SAMPLES", "abc", "sampling.n_samples=abc is not int"),
        ("N_SAMPLES", "1.5", "sampling.n_samples=1.5 is not int"),
        ("N_SAMPLES", "0", "sampling.n_samples=0 is out of range"),
        ("N_SAMPLES", "1,2", "sampling.n_samples=1,2 is not int"),
        ("TEMPERATURE", "nan", "sampling.temperature=nan is out of range"),
        ("TOP_P", "Infinity", "sampling.top_p=inf is out of range"),
        ("TOP_P", "' or 1", "sampling.top_p=' or 1 is not float"),
        ("INPUT", "nope.parquet", "data.input=nope.parquet does not exist"),
    ],
)
def test_a_bad_environment_variable_is_one_line(typed, monkeypatch, name, text, said):
    monkeypatch.setenv(name, text)
    assert typed.refused(*SCRIPTED).startswith(said)


# Presets of the user's own.


def test_a_new_preset_is_found_and_runs(typed, config_dir):
    mine = config_dir(sampling__mine="n_samples: 3\nextra: {top_a: 0.1}\n")
    typed(mine, *SCRIPTED, "sampling=mine", "run_dir=r")
    record = json.loads((typed.here / "r" / "run.json").read_text())["config"]
    assert typed.code == 0 and record["presets"]["sampling"] == "mine"
    assert record["sampling"]["n_samples"] == 3 and record["sampling"]["extra"] == {"top_a": 0.1}


def test_a_preset_with_our_name_replaces_ours_for_one_command(typed, config_dir):
    mine = config_dir(sampling__greedy="n_samples: 2\ntemperature: 0.25\n")
    assert typed.settings(mine, "sampling=greedy")["sampling"]["temperature"] == 0.25
    assert typed.settings("sampling=greedy")["sampling"]["temperature"] == 0


def test_an_experiment_of_the_users_own_sets_any_section(typed, config_dir):
    text = (
        "# @package _global_\ndefaults: [{override /engine: scripted}]\nsampling: {n_samples: 2}\n"
    )
    settings = typed.settings(config_dir(experiment__mine=text), "experiment=mine", "data=example")
    assert settings["engine"]["backend"] == "scripted" and settings["sampling"]["n_samples"] == 2


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("sampling__mine", "temprature: 1", "Did you mean 'sampling.temperature'"),
        ("sampling__mine", "n_samples: many", "sampling.n_samples=many is not int"),
        ("sampling__mine", "n_samples: 0", "sampling.n_samples=0 is out of range"),
        ("sampling__mine", "n_samples: [", "mine"),
        ("sampling__mine", "- a", "mine"),
        ("sampling__mine", "defaults: [nope]", "nope"),
        ("experiment__mine", "# @package _global_\nsampling: {temprature: 1}", "temperature"),
        ("experiment__mine", "sampling: {n_samples: 1}", "must be `# @package _global_`"),
    ],
)  # fmt: skip
def test_a_bad_preset_of_the_users_own_is_one_line(typed, config_dir, name, text, said):
    group = name.split("__")[0]
    assert said in typed.refused(config_dir(**{name: text}), *SCRIPTED, f"{group}=mine")


def test_an_unknown_preset_lists_the_users_own_too(typed, config_dir):
    said = typed.refused(config_dir(sampling__mine="n_samples: 1"), "sampling=mime")
    assert said.startswith("there is no preset sampling=mime. Did you mean 'mine'? Choose from: ")
    assert "greedy" in said


def test_a_root_config_of_the_users_own_is_refused_with_the_ways_out(typed, config_dir):
    said = typed.refused(config_dir(rollout="a: 1"), *SCRIPTED)
    assert "experiment=NAME" in said and "config_file=FILE" in said


@pytest.mark.parametrize("given", [["--config-dir", "nope"], ["--config-dir"], ["--config-dir="]])
def test_a_config_dir_that_is_not_there_is_refused(typed, given):
    assert typed.refused(*SCRIPTED, *given).startswith("--config-dir")

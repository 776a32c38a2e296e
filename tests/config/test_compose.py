"""Settings from Python: the same keys, presets, words and samples as the command line."""

import pandas as pd
import pytest
from processes import rollout

from rollout import vllm_rollout
from rollout.config.compose import compose
from rollout.config.schema import get
from rollout.config.settings import Resume, keys
from rollout.errors import UserError

SCRIPTED = ("engine=scripted", "tracking=none")


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.parquet"
    pd.DataFrame({"prompt": ["one", "two"], "question": ["three", "four"]}).to_parquet(path)
    return path


def test_python_takes_last_parts_dotted_keys_presets_and_sections(tmp_path):
    settings = compose(
        {
            "temperature": 0.5, "engine.scripted.step_s": 0, "engine": {"max_num_seqs": 9},
            "sampling": "greedy", "n_samples": "1", "resume": Resume.fresh, "run_dir": tmp_path,
        }
    )  # fmt: skip
    assert settings.sampling.temperature == 0.5 and settings.sampling.n_samples == 1
    assert settings.engine.max_num_seqs == 9 and settings.resume is Resume.fresh
    assert settings.run_dir == str(tmp_path) and settings.presets["sampling"] == "greedy"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"extra": {}}, "'extra' could be sampling.extra or engine.extra; give the dotted key"),
        ({"mode": "x"}, "scale.mode or tracking.mode"),
        ({"temprature": 1}, "Did you mean 'sampling.temperature'"),
        ({"engine.max_seqs": 1}, "Did you mean 'engine.max_num_seqs'"),
        ({"engine": {"max_seqs": 1}}, "Did you mean 'engine.max_num_seqs'"),
        ({"presets": {"engine": "x"}}, "there is no setting"),
        ({"engine": "dual"}, "Did you mean 'dual_a100'"),
        ({"engine": None}, "no preset engine=null"),
        ({"n_samples": "many"}, "sampling.n_samples=many is not int"),
        ({"n_samples": None}, "sampling.n_samples=null is not int"),
        ({"columns": "seed"}, "output.columns"),
        ({"run_dir": ""}, "run_dir is empty"),
    ],
)
def test_python_refuses_with_the_command_lines_words(given, said):
    with pytest.raises(UserError) as refused:
        compose(given)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_python_runs_twice_in_a_process_and_returns_what_it_came_to(tmp_path, prompts):
    for name, n in (("one", 2), ("two", 3)):
        summary = vllm_rollout(
            input_parquet=prompts, output_parquet=tmp_path / f"{name}.parquet", n_samples=n,
            prompt_key="question", engine="scripted", tracking="none", run_dir=tmp_path / name,
            quiet=True,
        )  # fmt: skip
        assert (summary.num_rows, summary.num_samples) == (2, 2 * n)
        responses = pd.read_parquet(tmp_path / f"{name}.parquet")["responses"]
        assert list(responses.map(len)) == [n, n]
        assert summary.output_path == tmp_path / f"{name}.parquet" and summary.figures


def test_python_raises_user_errors_and_leaves_nothing(tmp_path, prompts):
    for wrong in ({"prompt_key": "nope"}, {"temperature": -1}, {"engine": "dual_a100"}):
        with pytest.raises(UserError):
            vllm_rollout(
                input_parquet=prompts, run_dir=tmp_path / "run", quiet=True,
                **({"engine": "scripted", "tracking": "none"} | wrong),
            )  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_python_and_the_command_line_draw_the_same_samples(tmp_path, prompts):
    done = rollout(
        *SCRIPTED, f"data.input={prompts}", "run_dir=a", "sampling.n_samples=2", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    summary = vllm_rollout(
        input_parquet=prompts, n_samples=2, engine="scripted", tracking="none",
        run_dir=tmp_path / "b", quiet=True,
    )  # fmt: skip
    ours, theirs = (
        pd.read_parquet(summary.output_path),
        pd.read_parquet(tmp_path / "a/output.parquet"),
    )
    pd.testing.assert_frame_equal(ours, theirs)


def test_every_key_can_be_given_from_python():
    defaults = {name: key.default for name, key in keys().items() if key.default != "???"}
    del defaults["presets"], defaults["given"], defaults["model.shape"]  # filled in, or merged
    settings = compose(defaults)
    assert {name: get(settings, name) for name in defaults} == defaults


def test_a_last_part_means_the_least_nested_setting_that_has_it():
    assert compose({"max_model_len": 512}).engine.max_model_len == 512


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"overwrite": True}, "output.overwrite"),
        ({"seed": 7}, "sampling.seed"),
        ({"limit": 3}, "data.limit"),
        ({"columns": ["seed"]}, "output.columns"),
        ({"max_tokens": 9, "scorer": "math"}, "sampling.max_tokens"),
        ({"answer_key": "gold", "scorer": "math"}, "postprocess.answer_key"),
        ({"system": "Hi", "source": "x.jsonl"}, "prepare.system"),
        ({"answer_key": "gold", "postprocess": {"scorer": "math"}}, "postprocess.answer_key"),
        ({"group_by": ["x"], "experiment": "math_pass_at_k"}, "postprocess.estimate.group_by"),
    ],
)
def test_a_last_part_means_a_setting_of_an_active_section(given, key):
    value = next(iter(given.values()))
    assert get(compose(given), key) == value


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"system": "Hi"}, "prepare.system, which has no effect without prepare.source"),
        ({"answer_key": "gold"}, "have no effect without postprocess.scorer"),
        ({"format": "sft"}, "prepare.format or postprocess.export.format"),
        ({"seed": 7, "source": "x.jsonl"}, "sampling.seed or prepare.seed; give the dotted key"),
        ({"limit": 7, "prepare.source": "x"}, "data.limit or prepare.limit; give the dotted key"),
        ({"temperature": 1.0, "sampling.temperature": 0.5}, "given twice"),
        ({"output": "a.parquet"}, "there is no preset output=a.parquet"),
    ],
)
def test_a_last_part_is_never_a_guess(given, said):
    with pytest.raises(UserError) as refused:
        compose(given)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_without_a_run_dir_each_gets_its_own_by_date_and_time():
    one, two = compose({}).run_dir, compose({}).run_dir
    assert one != two and "/outputs/20" in one and "$" not in one + two

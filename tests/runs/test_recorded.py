"""`python -m rollout run_dir=X` alone resumes the run in X with its last settings."""

import pandas as pd
import pytest
from processes import rollout, start

from rollout import vllm_rollout

SCRIPTED = ("engine=scripted", "tracking=none", "data.input=in.parquet", "run_dir=x")
SLOW = ("engine.scripted.step_s=0.02", "engine.max_num_seqs=4", "sampling.n_samples=2")


@pytest.fixture
def run(typed):
    pd.DataFrame({"prompt": [f"question {i}" for i in range(30)]}).to_parquet(
        typed.here / "in.parquet"
    )
    return lambda *words: typed(*SCRIPTED, *words)


def config(here, run_dir="x"):
    last = sorted((here / run_dir / "attempts").iterdir())[-1]
    return (last / "config.yaml").read_text()


def test_a_killed_run_is_resumed_by_its_directory_alone(tmp_path):
    """A message told users to type `python -m rollout run_dir=X`, and that ran the demo there."""
    pd.DataFrame({"prompt": [f"q {i}" for i in range(60)]}).to_parquet(tmp_path / "in.parquet")
    running = start(*SCRIPTED, *SLOW, "sampling.temperature=0.3", cwd=tmp_path)
    while not any(tmp_path.glob("x/shards/*.log")):
        assert running.poll() is None
    running.kill()
    running.communicate()
    done = rollout("run_dir=x", "engine.scripted.step_s=0", cwd=tmp_path)
    assert done.returncode == 0 and "resuming: " in done.stderr, done.stderr
    whole = rollout(*SCRIPTED, *SLOW, "sampling.temperature=0.3", "engine.scripted.step_s=0",
                    "run_dir=whole", cwd=tmp_path)  # fmt: skip
    assert whole.returncode == 0, whole.stderr
    ours, theirs = (pd.read_parquet(tmp_path / d / "output.parquet") for d in ("x", "whole"))
    pd.testing.assert_frame_equal(ours, theirs)


def test_a_finished_run_says_so(typed, run):
    run("sampling.temperature=0.3")
    assert typed("run_dir=x").code == 0
    assert "finished already: 30 rows, 240 samples" in typed.out
    assert typed.notes[0].startswith("from run_dir=") and "last launch" in typed.notes[0]


def test_settings_typed_with_it_count(typed, run):
    run("sampling.n_samples=2", "output.columns=[seed]")
    typed("run_dir=x", "sampling.n_samples=3")
    assert "90 samples (30 of them in this attempt)" in typed.out, typed.errors
    assert "sampling.temperature" in " ".join(typed("run_dir=x", "sampling.temperature=0.1").notes)
    assert list(pd.read_parquet(typed.here / "x/output.parquet").columns)[2] == "seed"


def test_the_last_launch_counts_not_the_first(typed, run):
    run("sampling.n_samples=2")
    run("sampling.n_samples=4", "tracking.interval_s=7")
    assert "120 samples" in typed("run_dir=x").out
    assert typed.settings("run_dir=x")["tracking"]["interval_s"] == 7


def test_presets_and_typed_settings_are_restored(typed, run):
    """engine=auto may choose what the user did not type, in the first launch either."""
    run("engine.max_num_seqs=5", "resume=fresh")
    settings = typed.settings("run_dir=x")
    assert settings["presets"]["engine"] == "scripted"
    assert settings["given"] == ["engine.max_num_seqs", "run_dir"]
    assert settings["resume"] == "auto"


def test_a_preset_typed_with_it_beats_the_record(typed, run):
    run("sampling=greedy")
    settings = typed.settings("run_dir=x", "sampling=qwen3_thinking")
    assert settings["sampling"]["temperature"] == 0.6
    assert "sampling" not in settings["presets"]  # Hydra fills in the one that was typed


def test_paths_are_relative_to_where_the_first_command_was_typed(typed, run, monkeypatch):
    run("output.path=out/answers.parquet", "sampling.n_samples=2")
    (typed.here / "elsewhere").mkdir()
    monkeypatch.chdir(typed.here / "elsewhere")
    assert "finished already" in typed("run_dir=../x").out, typed.errors
    assert typed("run_dir=../x", "sampling.n_samples=3").code == 0
    assert len(pd.read_parquet(typed.here / "out/answers.parquet")["responses"][0]) == 3


def test_a_moved_directory_is_resumed(typed, run):
    run("sampling.n_samples=2")
    (typed.here / "x").rename(typed.here / "y z=1")
    assert "finished already" in typed("run_dir=y z=1").out, typed.errors


def test_a_point_of_a_sweep_is_resumed_and_the_sweep_itself_refused(typed, run):
    run("-m", "sampling.temperature=0.3,0.7")
    point = "x/temperature=0.3"
    assert "finished already: 30 rows" in typed(f"run_dir={point}").out, typed.errors
    assert point in typed.refused("run_dir=x") and "a sweep's" in typed.errors[0]


def test_the_demo_is_resumed_as_the_demo(typed):
    typed("engine=scripted", "tracking=none", "run_dir=d")
    typed("run_dir=d")
    assert "finished already: 8 rows, 32 samples" in typed.out, typed.errors


def test_prepared_and_scored_runs_are_resumed(typed):
    """The prepared prompts are used again, unless more of them are requested."""
    gym = [f"prepare.{w}" for w in ("source=reasoning_gym", "task=chain_sum", "size=4")]
    scorer = ("postprocess.scorer=choice", "postprocess.answer_key=answer")
    typed("engine=scripted", "tracking=none", "run_dir=g", *gym, *scorer)
    assert "finished already: 4 rows" in typed("run_dir=g").out, typed.errors
    assert "5 rows" in typed("run_dir=g", "prepare.size=5").out, typed.errors
    assert len(pd.read_parquet(typed.here / "g/scored.parquet")) == 5


@pytest.mark.parametrize(
    "source", ["{here}/d/1.jsonl", "{here}/d/*.jsonl", "~/d/1.jsonl", "d/*.jsonl"]
)
def test_a_changed_source_of_a_preset_is_noticed(typed, monkeypatch, source):
    """Absolute patterns and ~ were taken for missing files, so the old prompts were kept."""
    monkeypatch.setenv("HOME", str(typed.here))
    file, presets = typed.here / "d/1.jsonl", typed.here / "conf/experiment"
    file.parent.mkdir()
    presets.mkdir(parents=True)
    file.write_text('{"question": "q"}\n')
    preset = f'source: "{source.format(here=typed.here)}", template: "{{{{ question }}}}"'
    (presets / "own.yaml").write_text(f"# @package _global_\nprepare: {{{preset}}}\n")
    typed("--config-dir=conf", "experiment=own", "engine=scripted", "tracking=none", "run_dir=x")
    assert "finished already: 1 row," in typed("run_dir=x").out, typed.errors
    file.write_text('{"question": "another"}\n')
    assert "has another prompt now" in typed("run_dir=x").errors[0]
    file.unlink()  # the prepared prompts are enough
    assert "finished already: 1 row," in typed("run_dir=x").out, typed.errors


def test_prepared_prompts_of_a_preset_are_made_again_for_a_new_size(typed):
    presets = typed.here / "conf/experiment"
    presets.mkdir(parents=True)
    preset = "source: reasoning_gym, task: chain_sum, size: 4"
    (presets / "own.yaml").write_text(f"# @package _global_\nprepare: {{{preset}}}\n")
    typed("--config-dir=conf", "experiment=own", "engine=scripted", "tracking=none", "run_dir=x")
    assert "finished already: 4 rows" in typed("run_dir=x").out, typed.errors
    assert "5 rows" in typed("run_dir=x", "prepare.size=5").out, typed.errors


def test_a_starred_secret_has_to_be_typed_again(typed, run):
    run("engine.extra.hf_token=hf_abcdefghijklmnop")
    assert "type engine.extra.hf_token=... beside" in typed.refused("run_dir=x")
    assert "finished" in typed("run_dir=x", "engine.extra.hf_token=hf_another").out, typed.errors


def test_a_mistyped_directory_does_not_start_the_demo(typed):
    """It did, with the real model, where the user wanted to resume a run."""
    (typed.here / "runs/a").mkdir(parents=True)
    line = typed.refused("run_dir=runs/b", "retry_failed=true")
    assert line.startswith("run_dir=runs/b holds no run to resume") and "experiment=demo" in line
    assert "Did you mean 'runa'?" not in line
    (typed.here / "run_x").mkdir()
    assert "Did you mean 'run_x'?" in typed.refused("run_dir=run_y")
    settings = typed.settings("run_dir=new", "experiment=demo")
    assert settings["data"]["input"].startswith("pkg://")


def test_python_resumes_a_directory_alone(typed, run):
    run("sampling.n_samples=2")
    summary = vllm_rollout(run_dir=typed.here / "x", n_samples=3, quiet=True)
    assert summary.num_samples == 90
    assert summary.output_path == typed.here / "x/output.parquet"


def test_a_damaged_record_is_named(typed, run):
    run()
    (typed.here / "x/attempts/1/config.yaml").write_text("{")
    assert "config.yaml can't be read" in typed.refused("run_dir=x")

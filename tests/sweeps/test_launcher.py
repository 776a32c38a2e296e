"""Hydra's side of a sweep: our launcher, its place among Hydra's plugins, and other launchers."""

import json
import signal
import subprocess
import sys
import time

import pytest
import yaml
from omegaconf import OmegaConf
from swept import num_loads, table

from rollout.report.sweep.record import sweep_record
from rollout.sweeps.launcher import num_points, point_name, swept_keys

SCRIPTED = ["engine=scripted", "tracking=none", "run_dir=s", "-m"]


def test_hydra_takes_our_launcher_for_one_of_its_plugins(typed):
    """A version of Hydra that finds plugins in another way fails here."""
    from hydra.core.plugins import Plugins

    from rollout.sweeps import launcher

    launcher.register()
    name = f"{launcher.MODULE}.SweepLauncher"
    assert Plugins.is_in_toplevel_plugins_module(name)
    assert Plugins.instance().class_name_to_class[name] is launcher.SweepLauncher
    typed("--cfg", "hydra", "engine=scripted")
    assert yaml.safe_load(typed.out)["hydra"]["launcher"] == {"_target_": name}


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"sampling.temperature": "0.7", "sampling.top_p": "0.9"}, "temperature=0.7,top_p=0.9"),
        ({"engine.max_model_len": "8", "engine.scripted.max_model_len": "9"}, None),
        ({"model": "qwen3_4b"}, "model=qwen3_4b"),
        ({}, ""),
    ],
)
def test_a_point_is_named_after_what_is_swept(values, name):
    both = "engine.max_model_len=8,engine.scripted.max_model_len=9"
    assert point_name(values) == (both if name is None else name)


def test_values_that_no_directory_name_can_have_get_different_names():
    values = ["/a/b", "/a_b", "a b", "..", ".", "", "x" * 300, "x" * 301, "é", "[1,2]", "[12]"]
    names = [point_name({"data.input": value}) for value in values]
    assert len(set(names)) == len(values)
    assert all("/" not in name and len(name) < 150 for name in names)


def test_what_is_swept_is_read_from_the_words():
    words = ["-m", "sampling.temperature=0.5,1", "model=a,b", "data.input='a,b'", "run_dir=x"]
    words += ["sampling.top_p=range(0.1,0.9)", "sampling.top_k=interval(1,9)", "engine=glob(*)"]
    found = ["sampling.temperature", "model", "sampling.top_p", "sampling.top_k", "engine"]
    assert swept_keys(words) == found


def test_one_working_directory_for_all_points_is_refused_to_change(typed):
    typed(*SCRIPTED, "sampling.seed=1,2", "hydra.job.chdir=true")
    assert typed.code == 2 and "hydra.job.chdir=true: all points" in typed.errors[0]


def test_points_with_different_environments_do_not_share_an_engine(typed):
    presets = typed.here / "conf/experiment"
    presets.mkdir(parents=True)
    for value in ("a", "b"):
        text = "defaults: [override /data: example]\nhydra: {job: {env_set: {LETTER: %s}}}\n"
        (presets / f"{value}.yaml").write_text("# @package _global_\n" + text % value)
    typed(*SCRIPTED, "--config-dir", "conf", "experiment=a,b", "sampling.seed=1,2")
    assert typed.code == 0, typed.errors
    assert num_loads(typed) == 2 and list(table(typed)["engine"]) == [1, 1, 2, 2]


CALLBACK = """
from hydra.experimental.callback import Callback

class Calls(Callback):
    def __init__(self): self.number = None
    def on_job_start(self, config, **kwargs): self.number = config.hydra.job.num
    def on_job_end(self, config, job_return, **kwargs):
        with open("calls", "a") as file:
            words = self.number, config.hydra.job.num, job_return.status.name
            print(*words, file=file)
"""


def test_each_job_has_its_own_callback(typed, monkeypatch):
    (typed.here / "my_callbacks.py").write_text(CALLBACK)
    monkeypatch.syspath_prepend(str(typed.here))
    target = "+hydra.callbacks.calls._target_=my_callbacks.Calls"
    typed(*SCRIPTED, "sampling.max_tokens=8,0", target)
    assert typed.code == 1
    calls = (typed.here / "calls").read_text().splitlines()
    assert calls == ["0 0 COMPLETED", "1 1 FAILED"]


def test_batches_of_the_basic_sweeper_continue_after_a_failure_and_keep_the_engine(typed):
    typed(*SCRIPTED, "sampling.max_tokens=0,8,16", "hydra.sweeper.max_batch_size=1")
    assert typed.code == 1 and num_loads(typed) == 1
    assert list(table(typed)["status"]) == ["failed", "done", "done"]


BASIC, OPTUNA_SWEEPER = "a.BasicSweeper", "a.OptunaSweeper"


@pytest.mark.parametrize(
    ("sweeper", "count"),
    [
        ({"_target_": BASIC, "params": {"model": "a,b"}}, 12),
        ({"_target_": BASIC, "max_batch_size": 1, "params": None}, 6),
        ({"_target_": OPTUNA_SWEEPER, "n_trials": 9, "sampler": {"_target_": "b.TPESampler"}}, 9),
        ({"_target_": OPTUNA_SWEEPER, "n_trials": 9, "sampler": {"_target_": "GridSampler"}}, None),
        ({"_target_": "a.OtherSweeper"}, None),
    ],
)  # fmt: skip
def test_the_number_of_points_is_known_where_the_sweeper_tells(sweeper, count):
    task = ["sampling.seed=range(3)", "sampling.top_p=0.5,1", "engine=scripted"]
    hydra = OmegaConf.create({"sweeper": sweeper, "overrides": {"task": task}})
    assert num_points(hydra, None) == count


def test_a_killed_sweep_in_batches_lists_the_points_that_it_had_not_composed(typed):
    words = [*SCRIPTED, "sampling.seed=1,2,3", "hydra.sweeper.max_batch_size=1"]
    words += ["engine.scripted.step_s=0.02", "engine.scripted.response_tokens=40"]
    process = subprocess.Popen(
        [sys.executable, "-m", "rollout", *words], cwd=typed.here, stderr=subprocess.PIPE, text=True
    )
    record, end = typed.here / "s/sweep.json", time.monotonic() + 30
    while not (typed.here / "s/seed=2/run.json").exists() and time.monotonic() < end:
        time.sleep(0.05)
    process.kill()
    _, errors = process.communicate(timeout=20)
    assert sweep_record(record.parent)["num_points"] == 3, errors
    assert "points composed" not in errors
    listed = [sys.executable, "-m", "rollout.ls", ".", "--json"]
    said = subprocess.run(listed, cwd=typed.here, capture_output=True, text=True, check=True)
    assert json.loads(said.stdout)[0]["states"] == {"complete": 1, "resumable": 1, "waiting": 1}
    typed(*words, "engine.scripted.step_s=0")
    assert typed.code == 0 and sweep_record(record.parent)["num_points"] == 3


# Other launchers and sweepers: the real plugins.


ELSEWHERE = {
    "basic": ["hydra/launcher=basic"],
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "submitit_local": ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"],
}


@pytest.fixture(params=ELSEWHERE)
def elsewhere(typed, request):
    """The words for another launcher; joblib's workers stay in the directory they started in."""
    return [*SCRIPTED, f"run_dir={typed.here}/s", *ELSEWHERE[request.param]]


def test_other_launchers_run_the_points_and_the_table_is_made(typed, elsewhere):
    typed(*elsewhere, "sampling.seed=1,2")
    assert typed.code == 0, (typed.errors, typed.notes)
    assert sorted(table(typed).index) == ["seed=1", "seed=2"]
    assert set(table(typed)["status"]) == {"done"}


def test_under_other_launchers_a_point_fails_alone_too(typed, elsewhere):
    typed(*elsewhere, "sampling.max_tokens=8,0")
    assert typed.code == 1, (typed.errors, typed.notes)
    assert any("max_tokens=0 failed: sampling.max_tokens=0" in e for e in typed.errors)
    assert (typed.here / "s/max_tokens=8/output.parquet").exists()


OPTUNA = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=6", "hydra.sweeper.sampler.seed=1"]
SPACE = ["sampling.temperature=interval(0.3,1.5)", "sampling.top_p=interval(0.5,1.0)"]


def test_a_study_over_sampling_loads_one_engine(typed):
    typed(*SCRIPTED, *OPTUNA, *SPACE)
    assert typed.code == 0, typed.errors
    assert num_loads(typed) == 1 and len(table(typed)) == 6
    found = yaml.safe_load((typed.here / "s/optimization_results.yaml").read_text())
    assert found["best_value"] == table(typed)["output_tokens_per_s"].max()


def test_a_study_continues_after_a_failed_trial(typed):
    choice = "engine.scripted.die_after_steps=choice(0,100000)"
    typed(*SCRIPTED, *OPTUNA, choice, "engine.max_restarts=0", "objective=mean_response_tokens")
    assert typed.code == 1
    assert set(table(typed)["status"]) == {"done", "failed"}
    found = yaml.safe_load((typed.here / "s/optimization_results.yaml").read_text())
    assert found["best_params"] == {"engine.scripted.die_after_steps": 100000}


def test_a_study_whose_trials_all_fail_reports_why(typed):
    typed(
        *SCRIPTED, *OPTUNA, "engine.scripted.die_after_steps=choice(0,1)", "engine.max_restarts=0"
    )
    assert typed.code == 1 and all("died at step" in error for error in typed.errors)


def test_slurm_composes(typed):
    typed("--cfg", "hydra", "engine=scripted", "hydra/launcher=submitit_slurm")
    launcher = yaml.safe_load(typed.out)["hydra"]["launcher"]
    assert typed.code == 0 and launcher["_target_"].endswith("SlurmLauncher")


def test_the_record_of_a_point_holds_no_more_than_its_result(typed):
    typed(*SCRIPTED, "hydra/launcher=basic", "sampling.seed=1,2")
    record = json.loads((typed.here / "s/seed=1/point.json").read_text())
    assert record["status"] == "done" and record["values"] == {"sampling.seed": "1"}


def test_a_study_is_resumed_and_its_finished_trials_are_not_run_again(typed):
    typed(*SCRIPTED, *OPTUNA[:2], *SPACE, "objective=mean_response_tokens")
    first = table(typed).index.tolist()
    typed(*SCRIPTED, *OPTUNA[:2], *SPACE, "objective=mean_response_tokens")
    assert typed.code == 0 and num_loads(typed) == 0
    assert table(typed).index.tolist() == first


def test_a_dry_run_of_a_study_shows_its_first_trial(typed):
    typed(*SCRIPTED, *OPTUNA, *SPACE, "dry_run=true")
    assert typed.code == 0 and typed.left == []
    assert "1 point on 1 engine" in typed.out and "chooses the other points" in typed.out


def test_an_objective_that_no_summary_has_is_refused_for_all(typed):
    typed(*SCRIPTED, *OPTUNA, *SPACE, "objective=engine.nonsense")
    assert typed.code == 2 and len(typed.errors) == 1
    assert not (typed.here / "s").exists()


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_sigterm_under_another_launcher_prints_how_to_resume(typed, launcher):
    slow = ["engine.scripted.step_s=0.1", "engine.max_num_seqs=2"]
    words = [*SCRIPTED, f"hydra/launcher={launcher}", "sampling.seed=1,2", *slow]
    process = subprocess.Popen(
        [sys.executable, "-m", "rollout", *words], cwd=typed.here, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 30
    while not list(typed.here.glob("s/*/attempts/1/run.log")) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 143 and "to resume: " in errors and "run_dir=s" in errors
    assert not (typed.here / "s/multirun.yaml").exists()


def test_an_experiment_may_choose_the_launcher(typed):
    """The choice in conf/rollout.yaml silently won."""
    (typed.here / "conf/experiment").mkdir(parents=True)
    text = (
        "# @package _global_\ndefaults: [override /data: example, override /hydra/launcher: basic]"
    )
    (typed.here / "conf/experiment/plain.yaml").write_text(text)
    typed("--cfg", "hydra", "--config-dir", "conf", "experiment=plain")
    launcher = yaml.safe_load(typed.out)["hydra"]["launcher"]
    assert launcher["_target_"].endswith("BasicLauncher")


def test_a_dry_run_in_batches_shows_all_points_at_once(typed):
    typed(*SCRIPTED, "sampling.seed=1,2,3", "hydra.sweeper.max_batch_size=1", "dry_run=true")
    assert typed.out.count("dry run:") == 1
    assert "3 points on 1 engine, 24 requests" in typed.out

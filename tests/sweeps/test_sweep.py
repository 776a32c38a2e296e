"""Sweeps on the scripted engine: one engine, one batch, each point a run of its own."""

import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

SCRIPTED = ["engine=scripted", "tracking=none"]
TEMPERATURES = "sampling.temperature=0.5,0.7,1.0"


@pytest.fixture
def prompts(typed):
    table = pd.DataFrame({"prompt": [f"prompt {i}" for i in range(40)], "id": range(40)})
    table.to_parquet(typed.here / "p.parquet")
    return typed.here / "p.parquet"


@pytest.fixture
def sweep(typed, prompts):
    """`sweep("sampling.seed=1,2")` runs that sweep in the directory s."""
    return lambda *words: typed(
        *SCRIPTED, f"data.input={prompts}", "run_dir=s", "sampling.n_samples=2", "-m", *words
    )


def responses(run_dir):
    return pd.read_parquet(run_dir / "output.parquet")["responses"].map(list).tolist()


def table(typed):
    return pd.read_parquet(typed.here / "s" / "sweep.parquet").set_index("point")


def num_loads(done):
    return sum(note.startswith("loading ") for note in done.notes)


def test_points_that_share_an_engine_load_it_once(sweep, typed):
    done = sweep(TEMPERATURES, "sampling.n_samples=2,3")
    assert done.code == 0 and num_loads(done) == 1
    found = table(typed)
    assert len(found) == 6 and set(found["status"]) == {"done"} and set(found["engine"]) == {1}
    assert not found["is_best"].any() and "not ranked by output_tokens_per_s" in done.out


def test_points_one_at_a_time_share_an_engine_but_not_its_time(sweep, typed):
    done = sweep(TEMPERATURES, "hydra.sweeper.max_batch_size=1")
    assert done.code == 0 and num_loads(done) == 1
    assert set(table(typed)["num_sharing"]) == {1} and "not ranked" not in done.out


def test_a_point_in_a_sweep_answers_as_it_does_alone(sweep, typed, prompts):
    sweep(TEMPERATURES)
    alone = [*SCRIPTED, f"data.input={prompts}", "sampling.n_samples=2", "run_dir=alone"]
    typed(*alone, "sampling.temperature=0.7")
    assert responses(typed.here / "s/temperature=0.7") == responses(typed.here / "alone")
    assert responses(typed.here / "s/temperature=0.5") != responses(typed.here / "alone")


def test_each_point_is_a_run_of_its_own(sweep, typed):
    sweep(TEMPERATURES)
    for value in (0.5, 0.7, 1.0):
        run_dir = typed.here / f"s/temperature={value}"
        record = json.loads((run_dir / "run.json").read_text())
        assert record["config"]["sampling"]["temperature"] == value
        assert record["config"]["tracking"]["group"] == "s"
        assert json.loads((run_dir / "summary.json").read_text())["num_rows"] == 40
        assert f"temperature={value}" in (run_dir / "attempts/1/run.log").read_text()


def test_a_point_that_cannot_run_fails_alone(sweep, typed):
    done = sweep("sampling.max_tokens=64,0,32")
    assert done.code == 1
    assert len(done.errors) == 1 and "max_tokens=0 failed: sampling.max_tokens=0" in done.errors[0]
    assert list(table(typed)["status"]) == ["done", "failed", "done"]
    assert not (typed.here / "s/max_tokens=0").exists()


def test_a_sweep_in_which_nothing_can_run_starts_nothing(sweep, typed):
    done = sweep("sampling.max_tokens=-1,0")
    assert done.code == 2 and num_loads(done) == 0
    assert not (typed.here / "s").exists()


def test_an_engine_that_dies_fails_its_own_points_alone(sweep, typed):
    done = sweep("engine.scripted.die_after_steps=null,1", "engine.max_restarts=0")
    assert done.code == 1 and num_loads(done) == 2
    assert list(table(typed)["status"]) == ["done", "failed"]
    assert "died at step 2" in done.errors[0]


def test_the_same_command_runs_only_what_failed(sweep, typed):
    words = "data.on_error=record,fail", "engine.scripted.refuse='prompt 7'"
    assert sweep(*words).code == 1
    assert list(table(typed)["status"]) == ["done", "failed"]
    before = (typed.here / "s/on_error=record/output.parquet").stat()
    done = sweep("data.on_error=record,fail", "engine.scripted.refuse=null", "retry_failed=true")
    assert done.code == 0, done.errors
    assert len(responses(typed.here / "s/on_error=fail")) == 40
    assert before.st_ino != (typed.here / "s/on_error=record/output.parquet").stat().st_ino


def test_a_sweep_goes_on_point_by_point_and_takes_new_points(sweep, typed):
    sweep("sampling.temperature=0.5,1.0")
    done = sweep("sampling.temperature=0.5,0.7,1.0")
    assert done.code == 0 and num_loads(done) == 1
    assert sorted(table(typed).index) == [f"temperature={t}" for t in ("0.5", "0.7", "1.0")]
    assert not (typed.here / "s/temperature=0.5/attempts/2").exists()
    done = sweep("sampling.temperature=0.5,0.7,1.0")
    assert done.code == 0 and num_loads(done) == 0


def test_a_sweep_goes_on_where_hydra_sweep_dir_says(typed, prompts):
    words = [*SCRIPTED, f"data.input={prompts}", "-m", "sampling.seed=1,2"]
    typed(*words, "hydra.sweep.dir=s")
    assert typed.code == 0 and set(table(typed)["status"]) == {"done"}
    typed(*words, "hydra.sweep.dir=s")
    assert typed.code == 0 and num_loads(typed) == 0


def test_engines_that_differ_are_loaded_one_after_the_other(sweep, typed):
    done = sweep("engine.max_num_seqs=8,16", "sampling.temperature=0.5,0.7")
    assert done.code == 0 and num_loads(done) == 2
    assert list(table(typed)["engine"]) == [1, 1, 2, 2]


def test_a_dry_run_tells_the_points_and_leaves_nothing(sweep, typed):
    done = sweep(TEMPERATURES, "engine.max_num_seqs=8,16", "dry_run=true")
    assert done.code == 0
    assert "6 points on 2 engines, 240 requests for 480 samples" in done.out
    assert done.left == []


def test_a_dry_run_tells_what_would_be_skipped(sweep):
    sweep("sampling.seed=1,2")
    done = sweep("sampling.seed=1,2,3", "dry_run=true")
    assert "40 requests for 80 samples" in done.out and done.out.count("finished, skipped") == 2


def test_points_that_would_write_one_file_are_refused_at_once(sweep, typed):
    done = sweep("sampling.seed=1,2", "output.path=o.parquet")
    assert done.code == 2 and "is the same for the points seed=1 and seed=2" in done.errors[0]
    assert done.left == []
    done = sweep("sampling.seed=1,2", "output.path='o-${sampling.seed}.parquet'")
    assert done.code == 0 and (typed.here / "o-2.parquet").exists()


def test_points_of_one_directory_are_refused(sweep):
    for also in ([], ["hydra.sweeper.max_batch_size=1"]):
        done = sweep("sampling.seed=1,2", "hydra.sweep.subdir=x", *also)
        assert done.code != 0 and "gives two points the directory" in done.errors[-1]


def test_nothing_of_hydras_own_record_stays(sweep, typed):
    sweep("sampling.seed=1,2", "engine.extra.hf_token=verysecret")
    texts = [p.read_bytes() for p in (typed.here / "s").rglob("*") if p.is_file()]
    assert texts and not any(b"verysecret" in text for text in texts)
    assert not (typed.here / "s/multirun.yaml").exists()


def test_more_points_than_a_batch_holds_run_in_waves(sweep, typed):
    seeds = ",".join(map(str, range(70)))
    done = sweep(f"sampling.seed={seeds}", "data.limit=3")
    assert done.code == 0 and num_loads(done) == 1
    found = table(typed)
    assert len(found) == 70 and found["num_samples"].sum() == 70 * 6


def test_the_objective_names_the_best_point(sweep, typed):
    done = sweep("engine.scripted.response_tokens=4,32", "objective=mean_response_tokens")
    assert "lowest response_tokens=4: mean_response_tokens 3." in done.out


MATCHES = ["postprocess.regex.pattern=(stone|river)", "postprocess.regex.match_only=true"]
SCORED = ["postprocess.scorer=regex", *MATCHES]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["objective=nonsense"], "no such figure"),
        (["objective=scores.pass@1"], "type postprocess.scorer="),
        ([*SCORED, "objective=scores.pass1"], "Did you mean 'scores.pass@1'"),
        ([*SCORED, "objective=scores.pass@2", "postprocess.estimate.k=[1]"], "add 2 to it"),
    ],
)
def test_an_objective_that_there_will_not_be_is_refused_at_once(sweep, words, told):
    done = sweep("sampling.seed=1,2", *words)
    assert done.code == 2 and told in done.errors[0] and done.left == []


# Scored points: longer texts hold one of the words far more often.


def test_with_a_scorer_points_are_ranked_by_what_passes(sweep, typed):
    done = sweep("engine.scripted.response_tokens=40,4", *SCORED)
    assert done.code == 0, done.errors
    found = table(typed)
    assert "best   response_tokens=40: scores.pass@1 " in done.out
    assert "better than every other point (paired bootstrap over the same 40 rows" in done.out
    assert list(found["is_best"]) == [True, False] and found["differs_from_best"].iloc[1]
    assert found["pass@1"].between(found["pass@1_low"], found["pass@1_high"]).all()


def test_points_that_chance_may_have_ranked_have_no_star(sweep, typed):
    """The luckiest of three equal points was marked as best, by its speed."""
    done = sweep(TEMPERATURES, *SCORED, "data.limit=8")
    assert done.code == 0 and "not distinguishable from: temperature=" in done.out
    assert "paired bootstrap over the same 8 rows, 95%" in " ".join(done.out.split())
    found = table(typed)
    assert not found["is_best"].any() and found["objective"].equals(found["pass@1"])
    assert not any(line.startswith("*") for line in done.out.splitlines())


def test_a_point_whose_scores_went_away_is_not_compared(sweep, typed):
    words = ["engine.scripted.response_tokens=40,4", *SCORED]
    sweep(*words)
    (typed.here / "s/response_tokens=4/scored.parquet").unlink()
    done = sweep("engine.scripted.response_tokens=40,60", *SCORED)
    assert "is not known: response_tokens=4 (the scored file is gone" in " ".join(done.out.split())
    assert not table(typed)["is_best"].any()
    assert "is not known" not in sweep(*words).out


def test_of_several_k_the_least_is_what_points_are_ranked_by(sweep, typed):
    done = sweep("engine.scripted.response_tokens=40,4", *SCORED, "postprocess.estimate.k=[2]")
    assert "scores.pass@2" in done.out and table(typed)["objective"].notna().all()


def test_ctrl_c_ends_all_points_and_the_same_command_goes_on(prompts, typed):
    slow = ["engine.scripted.step_s=0.02", "engine.max_num_seqs=8"]
    words = [*SCRIPTED, f"data.input={prompts}", "run_dir=s", "-m", "sampling.seed=1,2", *slow]
    command = [sys.executable, "-m", "rollout", *words]
    process = subprocess.Popen(command, cwd=typed.here, stderr=subprocess.PIPE, text=True)
    logs = [typed.here / f"s/seed={i}/shards" for i in (1, 2)]
    end = time.monotonic() + 30
    while not all(d.is_dir() and any(d.iterdir()) for d in logs) and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130, errors
    assert "to go on: " in errors and "run_dir=s" in errors
    typed(*words, "engine.scripted.step_s=0")
    assert typed.code == 0, typed.errors
    assert set(table(typed)["status"]) == {"done"}
    fresh = [w if w != "run_dir=s" else "run_dir=fresh" for w in words]
    typed(*fresh, "engine.scripted.step_s=0")
    for seed in (1, 2):
        assert responses(typed.here / f"s/seed={seed}") == responses(
            typed.here / f"fresh/seed={seed}"
        )


def test_a_sweep_in_use_is_refused(sweep, typed):
    from rollout.system import lock

    (typed.here / "s").mkdir()
    with lock.held(typed.here / "s"):
        done = sweep("sampling.seed=1,2")
    assert done.code == 2 and "in use" in done.errors[0]


def test_a_refused_command_leaves_the_table_as_it_was(sweep, typed):
    """A refusal wrote two failed rows over a complete table of four."""
    sweep(TEMPERATURES)
    before = (typed.here / "s/sweep.parquet").read_bytes()
    done = sweep("sampling.temperature=0.5,0.7", "sampling.max_tokens=8")
    assert done.code == 2 and "other settings" in done.errors[0]
    assert (typed.here / "s/sweep.parquet").read_bytes() == before


def test_the_table_holds_the_points_of_earlier_commands_too(sweep, typed):
    sweep("sampling.temperature=0.5,0.7")
    sweep("sampling.temperature=1.0")
    found = table(typed)
    assert len(found) == 3 and set(found["status"]) == {"done"}
    assert found["responses"].notna().all()


def test_a_full_disk_under_one_point_is_its_own(sweep, typed, monkeypatch):
    """metrics.jsonl, written at the end, took the whole sweep down."""
    from rollout.runs.progress import Report

    write = Report._write_metrics

    def full(self, now):
        if self._job.settings.sampling.temperature == 0.5:
            raise OSError(28, "No space left on device")
        write(self, now)

    monkeypatch.setattr(Report, "_write_metrics", full)
    done = sweep(TEMPERATURES)
    assert done.code == 1 and len(done.errors) == 1 and "No space left" in done.errors[0]
    assert list(table(typed)["status"]) == ["failed", "done", "done"]


@pytest.mark.parametrize("name", ["output.parquet", "published.json", "run.json"])
def test_a_directory_of_a_point_that_is_not_as_it_should_be_is_its_own(sweep, typed, name):
    (typed.here / "s/temperature=0.5" / name).mkdir(parents=True)
    done = sweep(TEMPERATURES)
    assert done.code == 1 and len(done.errors) == 1
    assert list(table(typed)["status"]) == ["failed", "done", "done"]


def test_a_point_with_all_its_rows_is_published_though_its_engine_died(sweep, typed):
    """A neighbour's engine deaths failed it, and the next launch had nothing to ask."""
    script = ["engine.scripted.vary=false", "engine.scripted.response_tokens=500"]
    dies = "engine.scripted.die_after_steps=60"
    done = sweep(*script, dies, "sampling.max_tokens=20,2000", "data.limit=20")
    assert done.code == 1 and len(done.errors) == 1 and "death 4" in done.errors[0]
    assert list(table(typed)["status"]) == ["done", "failed"]


def test_no_secret_is_written_or_said(sweep, typed):
    done = sweep("+hydra.job.env_set.HF_TOKEN=hf_verysecret", "sampling.temperature=0.5,-1")
    texts = [p.read_bytes() for p in (typed.here / "s").rglob("*") if p.is_file()]
    assert done.code == 1 and not any(b"hf_verysecret" in text for text in texts)
    assert not any("hf_verysecret" in line for line in [*done.notes, *done.errors])
    done = sweep("engine.extra.hf_token=hf_a,hf_b")
    assert done.code == 2 and "may hold a secret" in done.errors[0]


def test_where_the_sweep_keeps_its_tables_no_point_may_write_or_read(sweep, typed, prompts):
    done = sweep("sampling.seed=1", "output.path=s/sweep.parquet")
    assert done.code == 2 and "keeps its own files" in done.errors[0]
    done = sweep("sampling.seed=1,2", "run_dir=.")
    assert done.code == 2 and "the sweep's own directory" in done.errors[0]


def test_a_moved_sweep_keeps_its_responses(sweep, typed):
    sweep("sampling.seed=1,2")
    (typed.here / "s").rename(typed.here / "moved")
    typed(*SCRIPTED, "data.input=p.parquet", "sampling.n_samples=2", "run_dir=moved", "-m",
          "sampling.seed=1,2")  # fmt: skip
    found = pd.read_parquet(typed.here / "moved/sweep.parquet")
    assert typed.code == 0 and found["responses"].notna().all()


def test_a_table_that_cannot_be_written_is_one_line_before_any_work(sweep, typed):
    (typed.here / "s/sweep.html").mkdir(parents=True)
    done = sweep("sampling.seed=1,2")
    assert done.code == 2 and "sweep.html" in done.errors[-1]


def test_a_file_in_the_place_of_the_sweep_is_one_line(sweep, typed):
    (typed.here / "f").touch()
    done = sweep("sampling.seed=1,2", "run_dir=f")
    assert done.code == 2 and len(done.errors) == 1 and "type another run_dir=" in done.errors[0]


def test_run_dir_cannot_be_swept(sweep):
    done = sweep("run_dir=a,b")
    assert done.code == 2 and "a sweep has one directory" in done.errors[0]

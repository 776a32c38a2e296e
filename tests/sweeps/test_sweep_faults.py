"""Sweeps with errors: one of a single point is its own, one of all points is one line."""

import pytest
from swept import TEMPERATURES, num_loads, table


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


def test_hydras_record_is_removed(sweep, typed):
    sweep("sampling.seed=1,2", "engine.extra.hf_token=verysecret")
    texts = [p.read_bytes() for p in (typed.here / "s").rglob("*") if p.is_file()]
    assert texts and not any(b"verysecret" in text for text in texts)
    assert not (typed.here / "s/multirun.yaml").exists()


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


def test_a_full_disk_under_one_point_fails_that_point_only(sweep, typed, monkeypatch):
    """metrics.jsonl, written at the end, ended the whole sweep."""
    from rollout.runs.progress import Report

    write = Report._write_metrics

    def full(self, *args):
        if self._job.settings.sampling.temperature == 0.5:
            raise OSError(28, "No space left on device")
        write(self, *args)

    monkeypatch.setattr(Report, "_write_metrics", full)
    done = sweep(TEMPERATURES)
    assert done.code == 1 and len(done.errors) == 1 and "No space left" in done.errors[0]
    assert list(table(typed)["status"]) == ["failed", "done", "done"]


@pytest.mark.parametrize("name", ["output.parquet", "published.json", "run.json"])
def test_a_damaged_directory_of_a_point_fails_that_point_only(sweep, typed, name):
    (typed.here / "s/temperature=0.5" / name).mkdir(parents=True)
    done = sweep(TEMPERATURES)
    assert done.code == 1 and len(done.errors) == 1
    assert list(table(typed)["status"]) == ["failed", "done", "done"]


def test_a_point_with_all_its_rows_is_published_though_its_engine_died(sweep, typed):
    """Engine deaths caused by another point failed it, and the next launch owed nothing."""
    script = ["engine.scripted.vary=false", "engine.scripted.response_tokens=500"]
    dies = "engine.scripted.die_after_steps=60"
    done = sweep(*script, dies, "sampling.max_tokens=20,2000", "data.limit=20")
    assert done.code == 1 and len(done.errors) == 1 and "death 4" in done.errors[0]
    assert list(table(typed)["status"]) == ["done", "failed"]


def test_no_secret_is_written_or_printed(sweep, typed):
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

"""Resuming when files of the run are gone, changed, moved or somebody else's."""

import json

import pandas as pd
import pyarrow.parquet as pq
import pytest
from resuming import SCRIPTED, responses, write


def test_an_output_that_is_gone_is_published_again_without_an_engine(typed, run):
    run()
    wanted = responses(typed.here)
    (typed.here / "x" / "output.parquet").unlink()
    assert run("engine.scripted.load_s=60").code == 0
    assert responses(typed.here) == wanted


def test_other_columns_are_published_without_an_engine(typed, run):
    run()
    assert run("engine.scripted.load_s=60", "output.columns=[seed]").code == 0
    table = pq.read_table(typed.here / "x" / "output.parquet")
    assert table.column_names == ["prompt", "id", "responses", "seed", "error"]


def test_a_column_that_was_not_kept_is_refused(typed, run):
    run()
    done = run("output.columns=[token_ids]")
    assert done.code == 2
    assert "output.columns=token_ids" in done.errors[0]


def test_an_output_the_user_changed_is_not_replaced(typed, run):
    run("sampling.n_samples=2")
    (typed.here / "x" / "output.parquet").write_text("mine now")
    done = run("sampling.n_samples=4")
    assert done.code == 2
    assert "output.overwrite=true" in done.errors[0]


def test_a_finished_run_without_its_shards_is_still_finished_and_can_not_grow(typed, run):
    import shutil

    run("sampling.n_samples=2")
    shutil.rmtree(typed.here / "x" / "shards")
    assert "finished already" in run("sampling.n_samples=2").out
    done = run("sampling.n_samples=4")
    assert done.code == 2
    assert "shards/ are gone" in done.errors[0]


def test_a_run_that_was_moved_or_copied_is_the_same_run(typed, run):
    import shutil

    run("sampling.n_samples=2")
    shutil.copytree(typed.here / "x", typed.here / "deep" / "y")
    assert "finished already" in run("sampling.n_samples=2", "run_dir=deep/y").out
    assert run("sampling.n_samples=3", "run_dir=deep/y").code == 0
    assert len(responses(typed.here, "deep/y")[0]) == 3


def test_starting_over_does_not_replace_an_output_elsewhere(typed, run):
    """It did all the work first, and then reported that another process wrote the file."""
    run("sampling.n_samples=2", "output.path=there.parquet")
    done = run("sampling.n_samples=2", "output.path=there.parquet", "resume=fresh")
    assert done.code == 2
    assert "there.parquet already exists" in done.errors[0]
    assert not (typed.here / "x.old-1").exists()


def test_the_advice_for_a_damaged_shard_works_where_it_is_the_only_one(typed, run):
    run("sampling.n_samples=2")
    wanted = responses(typed.here)
    part = typed.here / "x" / "shards" / "00000000.parquet"
    part.write_bytes(part.read_bytes()[:-20])
    done = run("sampling.n_samples=2", "output.path=o.parquet")
    assert f"rm '{part}'" in done.errors[0]
    part.unlink()
    assert run("sampling.n_samples=2", "output.path=o.parquet").code == 0
    assert [list(r) for r in pd.read_parquet(typed.here / "o.parquet")["responses"]] == wanted


def test_a_run_is_the_same_by_every_path_to_it(typed, run):
    run("sampling.n_samples=2")
    (typed.here / "link").symlink_to(typed.here / "x")
    for path in ("link", "./x", "x/../x"):
        assert "finished already" in run("sampling.n_samples=2", f"run_dir={path}").out


def test_other_columns_that_changed_are_published_again(typed, run):
    run("sampling.n_samples=2")
    frame = pd.read_parquet(typed.here / "in.parquet")
    frame["id"] += 1000
    frame.to_parquet(typed.here / "in.parquet")
    done = run("sampling.n_samples=2", "engine.scripted.load_s=60")
    assert done.code == 0
    assert "published again" in done.out
    assert pd.read_parquet(typed.here / "x" / "output.parquet")["id"][0] == 1000


def test_the_output_may_move_there_and_back(typed, run):
    run("sampling.n_samples=2")
    assert run("sampling.n_samples=2", "output.path=o.parquet").code == 0
    assert run("sampling.n_samples=2").code == 0


def test_a_shard_with_another_shards_rows_is_never_published(typed, run):
    """It was published with the wrong prompts and exit code 0."""
    import shutil

    words = "sampling.n_samples=2", "sampling.max_tokens=1000000"  # 8 rows a shard
    run(*words)
    shards = typed.here / "x" / "shards"
    shutil.copy(shards / "00000000.parquet", shards / "00000001.parquet")
    done = run(*words, "output.path=o.parquet")
    assert done.code == 2
    assert "00000001.parquet" in done.errors[0] and "rows of another shard" in done.errors[0]
    assert not (typed.here / "o.parquet").exists()


def test_rows_without_a_run_json_are_not_taken_for_ones_own(typed, run):
    run("sampling.n_samples=2")
    (typed.here / "x" / "run.json").unlink()
    done = run("sampling.n_samples=2", "sampling.seed=1", "output.overwrite=true")
    assert done.code == 2
    assert "no run.json" in done.errors[0]


def test_a_directory_of_the_users_loses_nothing(typed):
    write(typed.here)
    (typed.here / ".notes.tmp").write_text("mine")
    (typed.here / ".lock").write_text("mine")
    (typed.here / ".run.json.77.tmp").write_text("half, of a first launch that was killed")
    assert typed(*SCRIPTED, "run_dir=.").code == 0
    for name in (".notes.tmp", ".lock"):
        assert (typed.here / name).read_text() == "mine"
    assert not (typed.here / ".run.json.77.tmp").exists()


@pytest.mark.parametrize("where", ["shards", "attempts/1"])
def test_an_input_among_the_runs_own_files_is_refused(typed, where):
    (typed.here / where).mkdir(parents=True)
    pd.DataFrame({"prompt": ["p"]}).to_parquet(typed.here / where / "in.parquet")
    words = "engine=scripted", "tracking=none", f"data.input={where}", "run_dir=."
    assert "the run keeps its own files" in typed.refused(*words)


def test_starting_over_continues_after_a_kill_half_way(typed, run):
    run("sampling.n_samples=2")
    old = typed.here / "x.old-1"
    old.mkdir()
    (typed.here / "x" / "attempts").rename(old / "attempts")
    (typed.here / "x" / ".moving.json").write_text(json.dumps({"to": str(old)}))
    done = run("sampling.n_samples=3")
    assert done.code == 0
    assert any("resume=fresh was interrupted" in note for note in done.notes)
    assert {p.name for p in old.iterdir()} >= {"attempts", "run.json", "shards", "summary.json"}
    assert len(responses(typed.here)[0]) == 3

"""Going on with a run, as a user types it, on the scripted engine."""

import json

import pandas as pd
import pyarrow.parquet as pq
import pytest

SCRIPTED = ("engine=scripted", "tracking=none", "data.input=in.parquet", "run_dir=x")


def write(here, count=40, changed=(), start="question"):
    prompts = [f"{start} {i}" + " changed" * (i in changed) for i in range(count)]
    pd.DataFrame({"prompt": prompts, "id": range(count)}).to_parquet(here / "in.parquet")


def responses(here, run="x"):
    return [list(r) for r in pd.read_parquet(here / run / "output.parquet")["responses"]]


def summary(here, run="x"):
    return json.loads((here / run / "summary.json").read_text())


@pytest.fixture
def run(typed):
    write(typed.here)
    return lambda *words: typed(*SCRIPTED, *words)


@pytest.fixture
def begun(run):
    """A run that ended early, with some of its rows on disk."""
    done = run("sampling.n_samples=2", "engine.max_num_seqs=8", "engine.max_restarts=0",
               "engine.scripted.die_after_steps=60")  # fmt: skip
    assert done.code == 1
    return run


def test_the_same_command_goes_on_and_says_how_far_it_is(typed, begun):
    assert "data.input=in.parquet run_dir=x" in typed.errors[0].split("to go on:")[1]
    assert "of 40 rows are finished and on disk" in typed.errors[0]
    done = begun("sampling.n_samples=2")
    assert done.code == 0
    line = next(note for note in done.notes if note.startswith("resuming: "))
    number = int(line.split()[1])
    assert line == f"resuming: {number} of 40 rows done, {40 - number} owed"
    assert 0 < number < 40
    assert summary(typed.here)["num_generated_rows"] == 40 - number
    typed(*SCRIPTED, "sampling.n_samples=2", "run_dir=whole")
    assert responses(typed.here) == responses(typed.here, "whole")


def test_a_finished_run_answers_at_once_without_an_engine(typed, run):
    run()
    before = typed.files()
    done = run("engine.scripted.load_s=60")
    assert done.code == 0
    assert "finished already: 40 rows, 320 samples" in done.out
    assert typed.files() == before


def test_never_refuses_and_fresh_moves_aside(typed, run):
    run()
    assert "resume=never" in typed.refused(*SCRIPTED, "resume=never")
    done = run("resume=fresh")
    assert done.code == 0
    assert any("the old run now stands at" in note for note in done.notes)
    assert (typed.here / "x.old-1" / "output.parquet").exists()


def test_other_settings_are_refused_with_a_table(typed, run):
    run("sampling.temperature=0.7")
    done = typed(*SCRIPTED, "sampling.temperature=0.9", "sampling.top_k=5")
    assert done.code == 2
    assert "holds a run with other settings" in done.errors[0]
    rows = [note.split() for note in done.notes if note.startswith("  ")]
    assert rows == [
        ["setting", "was", "now"],
        ["sampling.temperature", "0.7", "0.9"],
        ["sampling.top_k", "-1", "5"],
    ]
    assert "sampling.temperature=0.7" in done.notes[-1]
    assert "resume=fresh" in done.notes[-1]


@pytest.mark.parametrize(
    "words",
    [
        ["engine.max_num_seqs=3"],
        ["engine.gpu_memory_utilization=0.5"],
        ["data.on_error=skip"],
        ["tracking.interval_s=1"],
        ["output.columns=[seed]"],
    ],
)
def test_how_it_is_run_and_told_may_change(typed, begun, words):
    assert begun("sampling.n_samples=2", *words).code == 0
    assert len(list((typed.here / "x" / "attempts").iterdir())) == 2


@pytest.mark.parametrize(
    "word",
    [
        "sampling.seed=1",
        "data.prompt_key=id",
        "engine.dtype=float32",
        "engine.max_model_len=9",
        "+sampling.extra.top_a=0.1",
        "data.offset=1",
        "data.shuffle_seed=1",
        "engine.scripted.vary=false",
    ],
)
def test_what_changes_samples_may_not(typed, begun, word):
    more = ["data.limit=40"] if "shuffle" in word else []
    done = begun("sampling.n_samples=2", word, *more)
    assert done.code == 2
    assert "other settings" in done.errors[0] or "prompt" in done.errors[0]


def test_more_samples_are_added_and_the_first_ones_stay(typed, run):
    run("sampling.n_samples=4")
    four = responses(typed.here)
    done = run("sampling.n_samples=8")
    assert any("40 of them for more samples" in note for note in done.notes)
    eight = responses(typed.here)
    assert [r[:4] for r in eight] == four
    figures = summary(typed.here)
    assert (figures["num_samples"], figures["num_generated_samples"]) == (320, 160)
    typed(*SCRIPTED, "sampling.n_samples=8", "run_dir=whole")
    assert eight == responses(typed.here, "whole")


def test_fewer_samples_than_there_are_are_refused(typed, run):
    run("sampling.n_samples=4")
    done = run("sampling.n_samples=2")
    assert done.code == 2
    assert "type sampling.n_samples=4 or more" in done.errors[0]


def test_rows_added_at_the_end_are_owed(typed, run):
    run("sampling.n_samples=2")
    first = responses(typed.here)
    write(typed.here, 50)
    done = run("sampling.n_samples=2")
    assert "resuming: 40 of 50 rows done, 10 owed" in done.notes
    assert responses(typed.here)[:40] == first
    assert len(responses(typed.here)) == 50


def test_a_larger_limit_is_rows_added(typed, run):
    run("sampling.n_samples=2", "data.limit=10")
    done = run("sampling.n_samples=2", "data.limit=30")
    assert "resuming: 10 of 30 rows done, 20 owed" in done.notes


def test_a_changed_row_is_refused_by_number(typed, run):
    run()
    write(typed.here, 40, changed=[7])
    done = run()
    assert done.code == 2
    assert "row 7 of data.input=in.parquet has another prompt now" in done.errors[0]


def test_a_shorter_input_is_refused(typed, run):
    run()
    write(typed.here, 30)
    done = run()
    assert done.code == 2
    assert "10 finished rows are not among them" in done.errors[0]


def test_truncated_samples_go_on_and_the_others_stay(typed, run):
    words = "sampling.n_samples=2", "output.columns=[finish_reason,token_ids,num_continued]"
    run(*words, "sampling.max_tokens=10")
    before = pd.read_parquet(typed.here / "x" / "output.parquet")
    done = run(*words, "sampling.max_tokens=20")
    assert done.code == 2
    assert "continue_truncated=true" in done.notes[-2]
    done = run(*words, "sampling.max_tokens=20", "continue_truncated=true")
    assert done.code == 0
    after = pd.read_parquet(typed.here / "x" / "output.parquet")
    num_cut = 0
    for old, new in zip(before.itertuples(), after.itertuples(), strict=True):
        for i in range(2):
            cut = old.finish_reason[i] == "length"
            num_cut += cut
            assert new.num_continued[i] == cut
            assert new.responses[i].startswith(old.responses[i])
            assert (len(new.token_ids[i]) > 10) == cut
            assert list(new.token_ids[i][:10]) == list(old.token_ids[i])[:10]
    assert num_cut > 10
    assert summary(typed.here)["num_generated_samples"] == num_cut
    again = run(*words, "sampling.max_tokens=20", "continue_truncated=true")
    assert "finished already" in again.out


def test_failed_rows_are_tried_again_when_asked_so_many_times(typed, run):
    bad = "engine.scripted.refuse='question 7'"
    run(bad)
    assert "finished already" in run(bad).out
    line = "resuming: 39 of 40 rows done, 1 owed, 1 of them failed and are retried"
    for _ in range(2):
        done = run(bad, "retry_failed=true")
        assert line in done.notes
        assert "40 rows, 312 samples (none of them in this attempt) in " in done.out
    assert "finished already" in run(bad, "retry_failed=true").out
    done = run("retry_failed=true", "data.max_attempts=4")
    assert done.code == 0
    assert summary(typed.here)["num_failed"] == 0


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


def test_a_dry_run_tells_how_far_it_is_and_changes_nothing(typed, begun):
    before = typed.files()
    done = begun("sampling.n_samples=2", "dry_run=true")
    assert "resume" in done.out and "rows done" in done.out
    assert typed.files() == before


def test_a_demo_typed_into_a_run_is_told_apart(typed, run):
    run()
    done = typed("experiment=demo", "engine=scripted", "tracking=none", "run_dir=x")
    assert done.code == 2
    assert "data.input=in.parquet" in done.notes[-1]


def test_each_attempt_keeps_its_own_log_settings_and_summary(typed, run):
    run("sampling.n_samples=2")
    run("sampling.n_samples=3", "engine.max_num_seqs=7")
    first, second = ((typed.here / "x" / "attempts" / n) for n in "12")
    assert "max_num_seqs: 7" in (second / "config.yaml").read_text()
    assert json.loads((first / "summary.json").read_text())["num_samples"] == 80
    assert json.loads((second / "summary.json").read_text())["num_samples"] == 120
    assert "resuming" not in (first / "run.log").read_text()


def test_two_kinds_of_work_are_done_at_once(typed, run):
    bad = "engine.scripted.refuse='question 7'"
    run(bad, "sampling.n_samples=2", "sampling.max_tokens=10")
    write(typed.here, 45)
    done = run("sampling.n_samples=3", "sampling.max_tokens=30", "continue_truncated=true",
               "retry_failed=true")  # fmt: skip
    assert done.code == 0
    frame = pd.read_parquet(typed.here / "x" / "output.parquet")
    assert frame["responses"].map(len).eq(3).all()
    assert frame["error"].isna().all()
    assert len(frame) == 45


def test_a_run_that_was_moved_or_copied_is_the_same_run(typed, run):
    import shutil

    run("sampling.n_samples=2")
    shutil.copytree(typed.here / "x", typed.here / "deep" / "y")
    assert "finished already" in run("sampling.n_samples=2", "run_dir=deep/y").out
    assert run("sampling.n_samples=3", "run_dir=deep/y").code == 0
    assert len(responses(typed.here, "deep/y")[0]) == 3


def test_on_error_fail_holds_for_rows_that_failed_before(typed, run):
    bad = "engine.scripted.refuse='question 7'"
    run(bad)
    done = run(bad, "data.on_error=fail")
    assert done.code == 2
    assert "row 7 failed in an earlier launch" in done.errors[0]
    assert run("data.on_error=fail", "retry_failed=true").code == 0


def test_samples_left_cut_off_are_told(typed, run):
    """Dropping continue_truncated half way left them short without a word."""
    words = "sampling.n_samples=2", "engine.max_num_seqs=4"
    run(*words, "sampling.max_tokens=10")
    run(*words, "sampling.max_tokens=20", "continue_truncated=true", "engine.max_restarts=0",
        "engine.scripted.die_after_steps=40")  # fmt: skip
    done = run(*words, "sampling.max_tokens=20")
    assert done.code == 0
    assert any("rows keep samples cut off" in note for note in done.notes)


def test_starting_over_does_not_replace_an_output_elsewhere(typed, run):
    """It did all the work first, and said that someone else had written the file."""
    run("sampling.n_samples=2", "output.path=there.parquet")
    done = run("sampling.n_samples=2", "output.path=there.parquet", "resume=fresh")
    assert done.code == 2
    assert "there.parquet exists already" in done.errors[0]
    assert not (typed.here / "x.old-1").exists()


def test_the_command_that_goes_on_holds_what_the_environment_said(typed, run, monkeypatch):
    monkeypatch.setenv("N_SAMPLES", "3")
    done = run("engine.scripted.die_after_steps=0")
    assert done.code == 1
    assert "sampling.n_samples=3" in done.errors[0].split("to go on:")[1]


def test_the_old_values_that_are_told_are_those_of_the_last_attempt(typed, run):
    run("sampling.n_samples=2")
    run("sampling.n_samples=3")
    done = run("sampling.n_samples=3", "sampling.temperature=0.5")
    assert "sampling.n_samples=3" in done.notes[-1]


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


def test_a_run_is_the_same_by_whatever_path_it_is_called(typed, run):
    run("sampling.n_samples=2")
    (typed.here / "link").symlink_to(typed.here / "x")
    for path in ("link", "./x", "x/../x"):
        assert "finished already" in run("sampling.n_samples=2", f"run_dir={path}").out


def test_other_columns_that_changed_are_published_anew(typed, run):
    run("sampling.n_samples=2")
    frame = pd.read_parquet(typed.here / "in.parquet")
    frame["id"] += 1000
    frame.to_parquet(typed.here / "in.parquet")
    done = run("sampling.n_samples=2", "engine.scripted.load_s=60")
    assert done.code == 0
    assert "published anew" in done.out
    assert pd.read_parquet(typed.here / "x" / "output.parquet")["id"][0] == 1000


def test_rows_that_were_given_up_are_told(typed, run):
    bad = "engine.scripted.refuse='question 7'"
    run(bad)
    done = run("retry_failed=true", "data.max_attempts=1")
    assert any("tried 1 times already; type data.max_attempts=2" in note for note in done.notes)


def test_the_output_may_move_there_and_back(typed, run):
    run("sampling.n_samples=2")
    assert run("sampling.n_samples=2", "output.path=o.parquet").code == 0
    assert run("sampling.n_samples=2").code == 0


def test_a_shard_with_another_shards_rows_is_never_published(typed, run):
    """It was published beside other prompts, with exit 0."""
    import shutil

    words = "sampling.n_samples=2", "sampling.max_tokens=1000000"  # 8 rows a shard
    run(*words)
    shards = typed.here / "x" / "shards"
    shutil.copy(shards / "00000000.parquet", shards / "00000001.parquet")
    done = run(*words, "output.path=o.parquet")
    assert done.code == 2
    assert "00000001.parquet" in done.errors[0] and "other rows than its own" in done.errors[0]
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


def test_numbers_are_no_secrets_and_count(typed, run):
    """sampling.extra.max_think_tokens was starred, so a change of it passed unseen."""
    run("sampling.n_samples=2", "+sampling.extra.max_think_tokens=1")
    done = run("sampling.n_samples=2", "+sampling.extra.max_think_tokens=5")
    assert done.code == 2
    assert "max_think_tokens" in "".join(done.notes)
    assert "***" not in "".join(done.notes)


def test_starting_over_that_was_killed_half_way_goes_on(typed, run):
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

"""What a launch owes: more samples, longer ones, added rows, and failed rows again."""

import pandas as pd
from resuming import SCRIPTED, responses, summary, write


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


def test_truncated_samples_are_continued_and_the_others_stay(typed, run):
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


def test_failed_rows_are_retried_up_to_max_attempts(typed, run):
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


def test_on_error_fail_holds_for_rows_that_failed_before(typed, run):
    bad = "engine.scripted.refuse='question 7'"
    run(bad)
    done = run(bad, "data.on_error=fail")
    assert done.code == 2
    assert "row 7 failed in an earlier launch" in done.errors[0]
    assert run("data.on_error=fail", "retry_failed=true").code == 0


def test_samples_left_cut_off_are_noted(typed, run):
    """Dropping continue_truncated half way silently left them short."""
    words = "sampling.n_samples=2", "engine.max_num_seqs=4"
    run(*words, "sampling.max_tokens=10")
    run(*words, "sampling.max_tokens=20", "continue_truncated=true", "engine.max_restarts=0",
        "engine.scripted.die_after_steps=40")  # fmt: skip
    done = run(*words, "sampling.max_tokens=20")
    assert done.code == 0
    assert any("rows keep samples cut off" in note for note in done.notes)


def test_rows_that_were_given_up_are_noted(typed, run):
    bad = "engine.scripted.refuse='question 7'"
    run(bad)
    done = run("retry_failed=true", "data.max_attempts=1")
    assert any("data.max_attempts=1; type data.max_attempts=2" in note for note in done.notes)

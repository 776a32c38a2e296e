"""Resuming a run as a user types it: what may change, what may not, and the messages."""

import json

import pytest
from resuming import SCRIPTED, responses, summary


def test_the_same_command_resumes_and_reports_the_progress(typed, begun):
    assert "data.input=in.parquet run_dir=x" in typed.errors[0].split("to resume:")[1]
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
    assert any("the old run is now in" in note for note in done.notes)
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
def test_how_it_is_run_and_reported_may_change(typed, begun, words):
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


def test_a_dry_run_reports_the_progress_and_changes_nothing(typed, begun):
    before = typed.files()
    done = begun("sampling.n_samples=2", "dry_run=true")
    assert "resume" in done.out and "rows done" in done.out
    assert typed.files() == before


def test_the_demo_typed_into_a_run_is_refused(typed, run):
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


def test_the_command_to_resume_has_the_settings_of_the_environment(typed, run, monkeypatch):
    monkeypatch.setenv("N_SAMPLES", "3")
    done = run("engine.scripted.die_after_steps=0")
    assert done.code == 1
    assert "sampling.n_samples=3" in done.errors[0].split("to resume:")[1]


def test_the_old_values_shown_are_those_of_the_last_attempt(typed, run):
    run("sampling.n_samples=2")
    run("sampling.n_samples=3")
    done = run("sampling.n_samples=3", "sampling.temperature=0.5")
    assert "sampling.n_samples=3" in done.notes[-1]


def test_numbers_are_not_secrets_and_count(typed, run):
    """sampling.extra.max_think_tokens was starred, so a change to it went unnoticed."""
    run("sampling.n_samples=2", "+sampling.extra.max_think_tokens=1")
    done = run("sampling.n_samples=2", "+sampling.extra.max_think_tokens=5")
    assert done.code == 2
    assert "max_think_tokens" in "".join(done.notes)
    assert "***" not in "".join(done.notes)

"""The state of a run, as its directory tells it while the run works and however it ended."""

import json
import signal
import threading
import time
from datetime import datetime

import pytest
from processes import start, wait_for
from resuming import SCRIPTED, write

from rollout.errors import UserError
from rollout.runs import state
from rollout.runs.state import state_of
from rollout.store.shards import Shards
from rollout.system import lock


def ended(here, attempt=1):
    return json.loads((here / "x/attempts" / str(attempt) / "ended.json").read_text())


def record(here, name="run.json"):
    return json.loads((here / "x" / name).read_text())


def test_a_run_is_running_until_it_is_killed_then_resumable_then_complete(typed):
    """After SIGKILL nothing but the lock's text and the rows is left to tell."""
    write(typed.here)
    slow = start(*SCRIPTED, "engine.max_num_seqs=1", "engine.scripted.step_s=0.005", cwd=typed.here)
    wait_for(lambda: list(typed.here.glob("x/shards/*.log")), 60)
    running = state_of(typed.here / "x")
    slow.send_signal(signal.SIGKILL)
    wait_for(lambda: state_of(typed.here / "x").name != "running")  # before it is reaped
    slow.communicate()
    killed = state_of(typed.here / "x")
    assert (running.name, killed.name) == ("running", "resumable")
    assert 0 < running.num_done <= killed.num_done < killed.num_rows == 40
    assert f"process {slow.pid}" in running.detail and "was killed, last active 20" in killed.detail
    assert typed(*SCRIPTED).code == 0
    assert state_of(typed.here / "x").name == "complete"
    assert state_of(typed.here / "x").num_done == 40


def test_a_launch_that_ends_with_an_error_leaves_it_in_one_line(typed, begun):
    found, left = state_of(typed.here / "x"), ended(typed.here)
    assert (found.name, found.num_rows) == ("failed", 40) and 0 < found.num_done < 40
    assert left["exit_code"] == 1 and "\n" not in left["error"]
    assert found.detail.startswith(left["error"])
    assert begun("sampling.n_samples=2").code == 0
    assert ended(typed.here, 2) | {"exit_code": 0, "error": None} == ended(typed.here, 2)


def test_an_interrupted_run_is_resumable(typed):
    write(typed.here)
    slow = start(*SCRIPTED, "engine.scripted.step_s=0.05", cwd=typed.here)
    wait_for(lambda: (typed.here / "x/attempts/1/metrics.jsonl").exists(), 60)
    slow.send_signal(signal.SIGINT)
    slow.communicate(timeout=60)
    assert ended(typed.here)["exit_code"] == 130
    found = state_of(typed.here / "x")
    assert found.name == "resumable" and "interrupted at 20" in found.detail


def test_more_rows_or_samples_to_come_are_counted_as_owed(typed, begun):
    assert begun("sampling.n_samples=2").code == 0
    done = begun("sampling.n_samples=4", "engine.max_restarts=0", "engine.max_num_seqs=4",
                 "engine.scripted.die_after_steps=60")  # fmt: skip
    assert done.code == 1
    found = state_of(typed.here / "x")
    assert found.name == "failed" and 0 < found.num_done < 40


def test_a_run_without_an_answer_is_failed(typed, run):
    assert run("engine.scripted.refuse=question").code == 1
    found = state_of(typed.here / "x")
    assert (found.name, found.num_failed, found.num_done) == ("failed", 40, 40)


def test_a_run_whose_output_is_gone_is_resumable(typed, run):
    run()
    (typed.here / "x/output.parquet").unlink()
    found = state_of(typed.here / "x")
    assert (found.name, found.num_done) == ("resumable", 40)
    assert "output.parquet is gone" in found.detail


DAMAGE = {
    "run.json": "{",
    "published.json": "[]",
    "shards/00000000.parquet": "not parquet",
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_record_is_a_state_that_names_it(typed, run, name):
    run()
    if name.startswith("shards"):
        (typed.here / "x/summary.json").unlink()
    (typed.here / "x" / name).write_text(DAMAGE[name])
    found = state_of(typed.here / "x")
    assert found.name == "failed" and name in found.detail and "\n" not in found.detail


@pytest.mark.parametrize("text", ["", "{", '{"at_s": 1.0}', '{"exit_code": "x", "error": 3}'])
def test_an_ending_that_does_not_say_how_leaves_the_run_resumable(typed, begun, text):
    """An older version recorded only when."""
    (typed.here / "x/attempts/1/ended.json").write_text(text)
    assert state_of(typed.here / "x").name == "resumable"


def test_a_directory_without_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no run"):
        state_of(tmp_path)


def test_a_shard_that_is_sealed_meanwhile_loses_no_row(typed, begun):
    """The look takes no lock, so a log may become a part between two of its reads."""
    shards, over = Shards(typed.here / "x/shards"), threading.Event()
    whole, before = shards.log(0).read_bytes(), state_of(typed.here / "x").num_done

    def seal_again_and_again():
        while not over.is_set():
            shards.seal(0)
            shards.log(0).write_bytes(whole)
            shards.part(0).unlink()
            over.wait(0.05)  # a run seals a shard once, and writes for seconds before

    sealing = threading.Thread(target=seal_again_and_again)
    sealing.start()
    try:
        seen = {state_of(typed.here / "x").num_done for _ in range(50)}
    finally:
        over.set()
        sealing.join()
    assert seen == {before}


def test_a_row_that_is_being_written_does_not_count_yet(typed, begun):
    log = Shards(typed.here / "x/shards").log(0)
    before = state_of(typed.here / "x").num_done
    log.write_bytes(log.read_bytes() + log.read_bytes()[:50])
    assert state_of(typed.here / "x").num_done == before


def test_a_look_changes_nothing(typed, begun):
    before = {path: path.stat().st_mtime_ns for path in typed.here.rglob("*")}
    state_of(typed.here / "x")
    assert {path: path.stat().st_mtime_ns for path in typed.here.rglob("*")} == before


def holder(here, **changed):
    (here / "x/.rollout.lock").write_text("")
    with lock.held(here / "x"):
        text = json.loads((here / "x/.rollout.lock").read_text())
    (here / "x/.rollout.lock").write_text(json.dumps(text | changed))
    return state_of(here / "x").name


def test_only_a_living_process_holds_a_lock(typed, begun):
    """The number of a dead one may have been given to another process since."""
    assert holder(typed.here) == "running"
    assert holder(typed.here, ticks="1") == "failed"
    assert holder(typed.here, pid=2**22 + 1) == "failed"


def test_a_launch_on_another_machine_counts_until_it_falls_silent(typed, begun, monkeypatch):
    assert holder(typed.here, host="elsewhere") == "running"
    later = time.time() + state.SILENCE_S + 60
    monkeypatch.setattr("time.time", lambda: later)
    assert holder(typed.here, host="elsewhere") == "failed"


def test_records_have_dates_with_a_zone(typed, run):
    run()
    texts = (
        record(typed.here)["created"],
        record(typed.here, "attempts/1/environment.json")["started"],
        record(typed.here, "attempts/1/ended.json")["ended"],
        record(typed.here, "summary.json")["finished"],
    )
    dates = [datetime.fromisoformat(text) for text in texts]
    assert dates[0] <= dates[1] <= dates[3] and all(date.tzinfo for date in dates)


def test_the_summary_says_what_was_run(typed, run):
    run("sampling.n_samples=3")
    found = record(typed.here, "summary.json")
    names = "model", "input", "n_samples", "scorer"
    assert [found[name] for name in names] == [None, "in.parquet", 3, None]


def test_the_record_follows_a_top_up_once_it_has_written_a_row(typed, run):
    """run.json said n=8 where every row had 12 samples."""
    run()
    first = record(typed.here)
    run("sampling.n_samples=12", "engine.scripted.die_after_steps=0", "engine.max_restarts=0")
    assert record(typed.here) == first  # no row yet
    assert run("sampling.n_samples=12", "sampling.top_p=0.5").code == 2
    assert record(typed.here) == first
    assert run("sampling.n_samples=12").code == 0
    now = record(typed.here)
    assert now["created"] == first["created"]
    assert now["config"]["sampling"]["n_samples"] == 12
    assert now["fingerprint"]["sampling.n_samples"] == 12
    assert "sampling.n_samples=12" in now["argv"]
    config = (typed.here / "x/attempts/1/config.yaml").read_text()
    assert "n_samples: 8" in config


def test_the_record_follows_a_longer_input_and_a_scorer(typed, run):
    run("data.limit=30")
    write(typed.here)
    assert run().code == 0
    assert record(typed.here)["input"]["num_rows"] == 40
    assert run("output.columns=[seed]").code == 0  # publishes again, and generates nothing
    assert record(typed.here)["config"]["output"]["columns"] == ["seed"]
    assert record(typed.here)["input"]["num_rows"] == 40


def test_a_kill_between_the_two_records_of_a_top_up_is_healed(typed, run):
    """attempts/N/fingerprint.json is written first, and decides what a launch may resume."""
    run()
    first = record(typed.here)
    run("sampling.n_samples=12")
    (typed.here / "x/run.json").write_text(json.dumps(first))
    assert run("sampling.n_samples=13").code == 0
    assert record(typed.here)["fingerprint"]["sampling.n_samples"] == 13


def test_a_record_without_a_date_of_creation_gets_none(typed, run):
    run()
    old = record(typed.here)
    del old["created"]
    (typed.here / "x/run.json").write_text(json.dumps(old))
    assert run("sampling.n_samples=12").code == 0
    assert record(typed.here)["created"] is None


def test_a_fresh_run_has_a_date_of_its_own(typed, run):
    run()
    old = record(typed.here) | {"created": "2001-01-01T00:00:00+00:00"}
    (typed.here / "x/run.json").write_text(json.dumps(old))
    assert run("resume=fresh").code == 0
    assert record(typed.here)["created"] > "2002"
    assert json.loads((typed.here / "x.old-1/run.json").read_text()) == old


def test_a_state_needs_no_permission_to_write(typed, run):
    run()
    (typed.here / "x").chmod(0o555)
    try:
        assert state_of(typed.here / "x").name == "complete"
    finally:
        (typed.here / "x").chmod(0o755)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("sampling.max_tokens=3", ("sampling.max_tokens=30", "continue_truncated=true")),
        ("engine.scripted.refuse=question", ("retry_failed=true", "data.max_attempts=9")),
    ],
)
def test_rows_that_a_launch_works_on_again_are_not_called_finished(typed, first, then):
    """All rows were 'finished' from the first second of a retry or a continuation."""
    write(typed.here)
    typed(*SCRIPTED, first)
    slow = start(
        *SCRIPTED, *then, "engine.scripted.step_s=0.3", "engine.max_num_seqs=1", cwd=typed.here
    )
    wait_for(lambda: (typed.here / "x/attempts/2/metrics.jsonl").exists(), 60)
    found = state_of(typed.here / "x")
    slow.kill()
    slow.communicate()
    assert found.name == "running" and found.num_done < 40

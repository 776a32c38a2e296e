"""Disturbances of a run: signals, dying engines, a changed input, closed streams."""

import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pyarrow.parquet as pq
import pytest
from processes import environment, rollout, start, wait_for
from prompt_files import write

WORDS = "data.input=in.parquet", "engine=scripted", "tracking=none", "run_dir=run"


@pytest.fixture
def many(tmp_path):
    """A directory with an input that takes minutes."""
    write(tmp_path / "in.parquet", [f"q {i}" for i in range(100_000)])
    return tmp_path


def begun(here, *words):
    """A run that has rows on disk."""
    process = start(*WORDS, "engine.scripted.step_s=0.002", *words, cwd=here)
    wait_for(lambda: list((here / "run" / "shards").glob("*")))
    return process


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_the_run_within_seconds_with_the_command_to_resume(many, number, code):
    process = begun(many)
    process.send_signal(number)
    _, errors = process.communicate(timeout=5)
    assert process.returncode == code
    last = errors.splitlines()[-1]
    assert "rows are finished and on disk" in last
    again = "-m rollout data.input=in.parquet engine=scripted tracking=none run_dir=run"
    assert "to resume: " in last and again in last
    assert "Traceback" not in errors


@pytest.mark.parametrize("where", ["engine.scripted.step_s=60", "engine.scripted.load_s=60"])
def test_a_run_that_hangs_ends_within_five_seconds_too(many, where):
    process = start(*WORDS, where, cwd=many)
    wait_for(lambda: (many / "run" / "attempts" / "1" / "engine.log").exists())
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=5)
    assert process.returncode == 143
    assert "-m rollout data.input=in.parquet" in errors.splitlines()[-1]


def test_a_second_signal_ends_at_once(many):
    process = start(*WORDS, "engine.scripted.step_s=60", cwd=many)
    wait_for(lambda: (many / "run" / "attempts" / "1" / "engine.log").exists())
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=1.5)
    assert process.returncode == 130


def test_sigusr1_prints_the_progress(many):
    process = begun(many)
    for _ in range(3):
        process.send_signal(signal.SIGUSR1)
        time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=5)
    lines = [line for line in errors.splitlines() if line.startswith("after 0:0")]
    assert len(lines) == 3
    assert "/100,000 rows  " in lines[0] and "ETA" in lines[0]


def test_an_engine_that_dies_now_and_then_costs_no_row(tmp_path):
    write(tmp_path / "in.parquet", [f"q {i}" for i in range(2000)])
    done = rollout(*WORDS, "engine.scripted.die_after_steps=200", cwd=tmp_path)
    assert done.returncode == 0
    assert "died at step 201, as scripted; loading it again" in done.stderr
    undisturbed = rollout(*WORDS, "run_dir=whole", cwd=tmp_path)
    assert undisturbed.returncode == 0
    one, two = (pq.read_table(tmp_path / n / "output.parquet") for n in ("run", "whole"))
    assert one.equals(two)


def test_an_engine_that_always_dies_ends_the_run_with_the_command_to_resume(tmp_path):
    write(tmp_path / "in.parquet", [f"q {i}" for i in range(50)])
    done = rollout(*WORDS, "engine.scripted.die_after_steps=0", cwd=tmp_path)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "died" in last and "engine.max_restarts=3" in last and "to resume:" in last


def test_a_poison_row_fails_alone(tmp_path):
    write(tmp_path / "in.parquet", [f"q {i}" for i in range(1000)])
    done = rollout(*WORDS, "engine.scripted.poison='q 77'", cwd=tmp_path)
    assert done.returncode == 0
    errors = pd.read_parquet(tmp_path / "run" / "output.parquet")["error"]
    assert list(errors.index[errors.notna()]) == [77, *range(770, 780)]


def test_an_input_that_changes_during_the_run_is_never_paired_with_other_answers(tmp_path):
    source = write(tmp_path / "in.parquet", [f"q {i}" for i in range(3000)])
    slow = "engine.scripted.step_s=0.002", "engine.scripted.response_tokens=30"
    process = start(f"data.input={source}", "engine=scripted", "tracking=none", *slow, cwd=tmp_path)
    wait_for(lambda: list(tmp_path.glob("outputs/*/*/shards/*")))
    write(source, [f"Q {i}" for i in range(3000)])
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "was changed during the run" in errors
    assert not list(tmp_path.glob("outputs/*/*/output.parquet"))


def test_an_input_that_is_touched_during_the_run_changes_nothing(tmp_path):
    source = write(tmp_path / "in.parquet", [f"q {i}" for i in range(3000)])
    words = f"data.input={source}", "engine=scripted", "tracking=none", "run_dir=run"
    words = *words, "engine.scripted.response_tokens=30"
    process = start(*words, "engine.scripted.step_s=0.002", cwd=tmp_path)
    wait_for(lambda: list(tmp_path.glob("run/shards/*")))
    os.utime(source, (1, 1))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "finished already" in rollout(*words, cwd=tmp_path).stdout


@pytest.mark.parametrize("shell", ["| true", ">/dev/full", ">&-", "2>&-", "</dev/null >&- 2>&-"])
def test_an_output_stream_that_is_gone_costs_no_run(tmp_path, shell):
    write(tmp_path / "in.parquet", ["a", "b"])
    words = "data.input=in.parquet engine=scripted tracking=none run_dir=run"
    done = subprocess.run(
        f"set -o pipefail; {sys.executable} -m rollout {words} {shell}",
        shell=True, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
        executable="/bin/bash",
    )  # fmt: skip
    assert (tmp_path / "run" / "summary.json").exists(), done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == 0


def test_a_terminal_of_another_encoding_costs_no_run(tmp_path):
    write(tmp_path / "in.parquet", ["é 你好"])
    words = "data.input=in.parquet", "engine=scripted", "tracking=none", "run_dir=run"
    done = rollout(*words, cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr

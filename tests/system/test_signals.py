"""A request to stop works at any time: within a library, while importing, at the end."""

import os
import pickle
import signal
import subprocess
import sys

import pytest
from processes import environment
from prompt_files import write

from rollout.errors import Interrupted

WORDS = ("data.input=in.parquet", "engine=scripted", "tracking=none", "run_dir=run")
# A library that is interrupted in the middle of its work, and swallows or changes the exception.
LIBRARY = """
import os, signal, sys
import {module} as library
was, calls = {owner}.{name}, []

def at_work(*args, **kwargs):
    calls.append(None)
    if len(calls) == {call}:
        try:
            os.kill(os.getpid(), signal.{signal})
        except {caught} as error:
            {then}
    return was(*args, **kwargs)

{owner}.{name} = staticmethod(at_work) if isinstance({owner}, type) else at_work
from rollout.{command}__main__ import main
main(sys.argv[1:])
"""
COMPOSES = {"module": "omegaconf", "owner": "library.OmegaConf", "name": "to_container", "call": 1}
READS = {"module": "pyarrow.parquet", "owner": "library", "name": "ParquetFile", "call": 1}


def run_with(here, command="", words=WORDS, **library):
    return subprocess.run(
        [sys.executable, "-c", LIBRARY.format(command=command, **library), *words],
        cwd=here, env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("where", [COMPOSES, READS])
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGHUP", 129)])
def test_a_library_that_makes_errors_of_its_own_of_exceptions_lets_a_signal_through(
    tmp_path, where, name, code
):
    """Interrupted was an Exception: omegaconf replaced it by its own, and the run ended with exit
    code 1 and "unsupported operand"."""
    write(tmp_path / "in.parquet", ["a", "b"])
    swallowing = {"caught": "Exception", "then": "raise type(error)('mine') from error"}
    done = run_with(tmp_path, signal=name, **where, **swallowing)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr and "interrupted" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("where", [COMPOSES, READS])
@pytest.mark.parametrize("then", ["pass", "raise RuntimeError('mine')"])
def test_a_request_that_a_library_swallows_stays_on_record(tmp_path, where, then):
    write(tmp_path / "in.parquet", ["a", "b"])
    done = run_with(tmp_path, signal="SIGTERM", **where, caught="BaseException", then=then)
    assert done.returncode == 143, done.stderr
    assert "Traceback" not in done.stderr and "interrupted" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("command", ["prepare.", "postprocess."])
def test_a_stage_that_is_stopped_at_its_end_does_not_say_that_nothing_was_written(
    tmp_path, command
):
    """Stopped after its file was renamed, it said so, and left out the figures."""
    write(tmp_path / "in.parquet", ["a"], answer=["a"], responses=[["a"]])
    words = {
        "prepare.": ("source=in.parquet", "prompt_column=prompt", "output.path=out.parquet"),
        "postprocess.": ("input=in.parquet", "scorer=exact", "output.path=out.parquet"),
    }[command]
    published = {"module": "os", "owner": "library", "name": "fsync", "call": 1}
    done = run_with(
        tmp_path, command, words, signal="SIGTERM", caught="ValueError", then="raise", **published
    )
    assert done.returncode == 143 and (tmp_path / "out.parquet").exists(), done.stderr
    assert "out.parquet is complete" in done.stderr.splitlines()[-1]
    assert command == "prepare." or (tmp_path / "out.json").exists()


def test_a_signal_is_no_error_that_a_library_may_handle():
    assert not issubclass(Interrupted, Exception)


def test_a_signal_in_a_worker_process_keeps_its_number():
    """A launcher's worker pickles its error, which lost the signal's number."""
    again = pickle.loads(pickle.dumps(Interrupted(signal.SIGTERM, "interrupted; so far")))
    assert again.exit_code == 143 and str(again) == "interrupted; so far"


@pytest.mark.parametrize("name", ["rollout", "rollout.plan", "rollout.prepare"])
@pytest.mark.parametrize("seen", ["rollout", "rollout.errors", "omegaconf"])
def test_ctrl_c_while_a_command_starts_prints_no_traceback_of_ours(tmp_path, name, seen):
    """Interrupted during its imports, a command printed a traceback."""
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", name, "data.input=none.parquet"],
        cwd=tmp_path, env=environment(), stdout=-3, stderr=-1, text=True,
    )  # fmt: skip
    for line in process.stderr:  # one imported module per line
        if line.rpartition("|")[2].strip() == seen:
            break
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode in (130, -signal.SIGINT, 2), errors
    assert "Traceback" not in errors

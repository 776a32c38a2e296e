"""The last line of defense: one line with the cause, and the traceback in a file."""

import errno
import re
import subprocess
import sys
from pathlib import Path

import pytest
from processes import environment
from prompt_files import write

from rollout.errors import RolloutError, UserError
from rollout.system.unexpected import HEAD, unexpected_errors_explained

FAULT = "a bug in rollout"
NOT_OURS = {
    "a full disk": (OSError(errno.ENOSPC, "No space left on device", "x.parquet"), 1),
    "a file that vanished": (FileNotFoundError(errno.ENOENT, "No such file", "gone.parquet"), 1),
    "too little memory": (MemoryError("malloc of size 8589934592 failed"), 1),
    "brackets in brackets": (RecursionError("maximum recursion depth exceeded"), 2),
    "a name that is not UTF-8": (UnicodeEncodeError("utf-8", "a\udc80", 1, 2, "surrogates"), 2),
    "a library that is not there": (ImportError("cannot import name 'x' from 'y'"), 1),
}
# A library raises an unexpected exception; for `python -c`, with the command's words after it.
BREAKS = """
import sys
import pyarrow.parquet as library
def broken(*args, **kwargs):
    raise ZeroDivisionError("the library broke")
library.ParquetFile = broken
from rollout.{module}__main__ import main
main(sys.argv[1:])
"""
COMMANDS = {
    "": ("data.input=in.parquet", "engine=scripted", "tracking=none", "run_dir=run"),
    "plan.": ("model=qwen3_4b", "data.input=in.parquet", "device=a100_80gb"),
    "prepare.": ("source=in.parquet", "template={{ prompt }}", "output.path=made.parquet"),
    "postprocess.": ("input=in.parquet", "scorer=exact", "output.path=scored.parquet"),
}


def told(error, run_dir):
    with pytest.raises(RolloutError) as ended, unexpected_errors_explained(run_dir):
        raise error
    return ended.value


@pytest.mark.parametrize("name", NOT_OURS)
def test_what_is_no_fault_of_rollout_is_not_called_one(tmp_path, name):
    error, code = NOT_OURS[name]
    failure = told(error, tmp_path)
    assert FAULT not in str(failure) and "\n" not in str(failure)
    assert failure.exit_code == code and isinstance(failure, UserError) is (code == 2)


def test_a_fault_of_ours_keeps_its_traceback_in_the_runs_directory(tmp_path):
    (tmp_path / "run.json").touch()
    for _ in range(2):
        assert f"{FAULT}; traceback: {tmp_path / 'error.log'}" in str(told(KeyError("x"), tmp_path))
    log = (tmp_path / "error.log").read_text()
    assert log.startswith(HEAD) and log.count("KeyError: 'x'") == 2


def test_no_directory_is_made_and_no_file_of_the_users_touched_for_a_traceback(tmp_path):
    """A refused setting left the run's directory behind, and error.log was overwritten."""
    failures = [told(KeyError("x"), tmp_path / "run")]
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "error.log").write_text("mine")
    (tmp_path / "run.json").touch()
    failures.append(told(KeyError("x"), tmp_path))
    assert (tmp_path / "error.log").read_text() == "mine"
    for failure in failures:
        kept = Path(re.search(r"traceback: (\S+)\)", str(failure))[1])
        assert kept.read_text().startswith(HEAD)
        kept.unlink()


@pytest.mark.parametrize("module", COMMANDS)
def test_every_command_ends_what_nobody_foresaw_with_one_line(tmp_path, module):
    """Only a run did so; the other commands ended with a traceback."""
    write(tmp_path / "in.parquet", ["a"], answer=["a"], responses=[["a"]])
    done = subprocess.run(
        [sys.executable, "-c", BREAKS.format(module=module), *COMMANDS[module]],
        cwd=tmp_path, env=environment(TMPDIR=str(tmp_path)),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (1, 2), done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("rollout")]
    assert len(lines) == 1 and "Traceback" not in done.stderr
    assert "the library broke" in lines[0] and not (tmp_path / "run").exists()

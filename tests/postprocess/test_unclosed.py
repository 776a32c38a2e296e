"""The commands close all they open, as Python's development mode checks."""

import subprocess
import sys

import pytest
from fuzz_signals import COMMANDS, put_files
from processes import environment


@pytest.mark.parametrize("name", ["scored run", "sweep", "plan", "prepare", "postprocess"])
def test_no_command_leaves_a_file_a_pipe_or_a_process_unclosed(tmp_path, name):
    """The streams for an engine's log were left to the garbage collector."""
    put_files(tmp_path)
    command = COMMANDS[name]
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-m", command.module, *command.words],
        cwd=tmp_path, env=environment(PYTHONWARNINGS="error::ResourceWarning"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "ResourceWarning" not in done.stderr and "Traceback" not in done.stderr

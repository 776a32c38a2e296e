"""Resolve a model setting in tests, in this process or a separate one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rollout.config.sections.model import Model
from rollout.errors import UserError
from rollout.inputs.models import resolve_model

ROOT = Path(__file__).resolve().parents[2]
RESOLVE = """
import sys
from rollout.config.sections.model import Model
from rollout.errors import UserError
from rollout.inputs.models import resolve_model
try:
    print(resolve_model(Model(model_path=sys.argv[1], revision=(sys.argv[2:] or [None])[0])))
except UserError as fault:
    print("refused:", fault)
"""


def refusal(path, **options) -> str:
    """Return the one line that a user reads when this model is refused."""
    with pytest.raises(UserError) as fault:
        resolve_model(Model(model_path=str(path)), **options)
    assert "\n" not in str(fault.value)
    return str(fault.value)


def run_python(code: str, *args: str, **env: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", code, *args]
    return subprocess.run(command, cwd=ROOT, env=os.environ | env, capture_output=True, text=True)


def start_resolve(*args: str, **env: str) -> subprocess.Popen:
    command = [sys.executable, "-c", RESOLVE, *args]
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ | env, stdout=subprocess.PIPE, text=True
    )

"""Launches of one disturbed run, and how they ended."""

import subprocess

from processes import start, wait_for

WORDS = (
    "data.input=in.parquet", "run_dir=run", "engine=scripted", "tracking=none",
    "sampling.n_samples=2", "sampling.max_tokens=262144", "engine.max_num_seqs=16",
)  # fmt: skip
SLOW = "engine.scripted.step_s=0.003"
ONE_SHARD = "sampling.max_tokens=2048"


def refused(done, code, *says):
    """Return the one line of a launch that ended early."""
    output = done.stderr + (done.stdout or "")
    assert done.returncode == code, output
    assert "Traceback" not in output
    lines = [line for line in done.stderr.splitlines() if line.startswith("rollout: ")]
    assert len(lines) == 1, output
    for word in says:
        assert word in lines[0]
    return lines[0]


def finished(process):
    """Wait for a started process; return it as `rollout` does."""
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def running(here, *words):
    """Start a run that has rows on disk and continues for a second or two."""
    process = start(*WORDS, SLOW, *words, cwd=here)
    wait_for(lambda: list((here / "run" / "shards").glob("*")))
    return process

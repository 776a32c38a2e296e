"""Runs to go on with."""

import pytest
from resuming import SCRIPTED, write


@pytest.fixture
def run(typed):
    """`run("sampling.seed=1")` launches the run in x with these words."""
    write(typed.here)
    return lambda *words: typed(*SCRIPTED, *words)


@pytest.fixture
def begun(run):
    """A run that ended early, with some of its rows on disk."""
    done = run("sampling.n_samples=2", "engine.max_num_seqs=8", "engine.max_restarts=0",
               "engine.scripted.die_after_steps=60")  # fmt: skip
    assert done.code == 1
    return run

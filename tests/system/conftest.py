"""A killed run, an undisturbed one, and a command that must end with the same output."""

import shutil
import signal

import pyarrow.parquet as pq
import pytest
from disturbed import WORDS
from drilled_run import Run, Story, write_input
from processes import rollout


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """An input, an undisturbed run of it, and one killed with sealed shards and one open."""
    directory = tmp_path_factory.mktemp("template")
    source = write_input(directory / "in.parquet")
    whole = Run(directory / "whole", Story("whole", WORDS[2:]), source)
    assert whole.launch().returncode == 0
    boundary = 1 + whole.boundaries().index("frame whole in 00000006.log")
    begun = Run(directory / "begun", Story("begun", WORDS[2:]), source)
    assert begun.launch(boundary=boundary).returncode == -signal.SIGKILL
    return directory


@pytest.fixture
def here(template, tmp_path):
    """A directory with only an input."""
    shutil.copy(template / "in.parquet", tmp_path)
    return tmp_path


@pytest.fixture
def begun(template, here):
    """A directory with a killed run."""
    shutil.copytree(template / "begun" / "run", here / "run")
    return here


@pytest.fixture
def finishes(template, here):
    """Repeat the command; the output must equal the undisturbed run's."""

    def finish(*words, output="run/output.parquet", num_added=0):
        done = rollout(*WORDS, *words, cwd=here)
        assert done.returncode == 0, done.stderr
        found = pq.read_table(here / output)
        wanted = pq.read_table(template / "whole" / "run" / "output.parquet")
        assert found.slice(0, wanted.num_rows).equals(wanted)
        assert found.num_rows == wanted.num_rows + num_added
        assert not [*here.rglob("*.tmp"), *here.glob("run/shards/*.log")]
        return done

    return finish

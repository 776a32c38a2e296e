"""The command to resume a run that was moved or copied: it names the directory where it is now."""

import json
import shlex
import shutil

import pytest
from reported import launch, questions, write_input

from rollout.report.page import Code, Note
from rollout.report.run.records import read_records
from rollout.report.run.settings import command_to_resume
from rollout.runs.command import command_in


@pytest.fixture
def here(typed):
    write_input(typed.here, questions(20))
    return typed.here


def blocks_of(run_dir):
    return command_to_resume(read_records(run_dir))


def words_of(run_dir):
    command = next(block for block in blocks_of(run_dir) if isinstance(block, Code))
    return shlex.split(command.text)[3:]


@pytest.mark.parametrize("move", [shutil.move, shutil.copytree])
def test_a_moved_run_is_resumed_where_it_is_from_any_directory(typed, here, monkeypatch, move):
    """The page named the old directory, where the command began a new run from zero."""
    launch(typed)
    move(here / "x", here / "it's moved")
    shutil.rmtree(here / "x", ignore_errors=True)
    (here / "else").mkdir()
    monkeypatch.chdir(here / "else")
    done = typed(*words_of(here / "it's moved"))
    assert done.code == 0
    assert not (here / "x").exists() and not list((here / "else").iterdir())
    assert len(list((here / "it's moved/attempts").iterdir())) == 1


def test_a_moved_run_whose_input_is_gone_says_which(typed, here):
    launch(typed)
    shutil.move(here / "x", here / "y")
    (here / "in.parquet").unlink()
    (note,) = (block for block in blocks_of(here / "y") if isinstance(block, Note))
    assert f"{here}/in.parquet is not there" in note.text


def test_a_secret_of_a_moved_run_has_to_be_typed_again(typed, here):
    launch(typed, "engine.extra.api_key=hunter2x")
    shutil.move(here / "x", here / "y")
    assert words_of(here / "y") == [f"run_dir={here}/y", "engine.extra.api_key=***"]


def test_a_moved_run_with_a_damaged_record_has_the_typed_words(typed, here):
    launch(typed)
    shutil.move(here / "x", here / "y")
    (here / "y/attempts/1/config.yaml").write_text(f"run_dir: {here}/x\n")
    words = words_of(here / "y")
    assert "data.input=in.parquet" in words and words[-1] == f"run_dir={here}/y"


def test_a_point_of_a_moved_sweep_resumes_the_sweep_and_one_moved_alone_itself(typed, here):
    typed("-m", "engine=scripted", "tracking=none", "data.input=in.parquet", "run_dir=s",
          "sampling.n_samples=1,2")  # fmt: skip
    shutil.move(here / "s", here / "moved")
    assert words_of(here / "moved/n_samples=1")[-1] == f"run_dir={here}/moved"
    shutil.move(here / "moved/n_samples=1", here / "alone")
    assert words_of(here / "alone") == [f"run_dir={here}/alone"]
    assert "without its sweep" in blocks_of(here / "alone")[0].label


def test_a_run_that_stays_keeps_the_directory_as_it_was_typed(typed, here):
    launch(typed)
    assert "run_dir=x" in words_of(here / "x")


def test_a_directory_that_is_gone_is_called_so(typed, here):
    launch(typed)
    path = here / "x/run.json"
    record = json.loads(path.read_text()) | {"cwd": "/no/such"}
    path.write_text(json.dumps(record))
    (command,) = blocks_of(here / "x")
    assert "/no/such, which is not there now" in command.label
    assert words_of(here / "x")[-1] == f"run_dir={here}/x"


@pytest.mark.parametrize(
    ("typed_word", "expected"),
    [
        ("run_dir=a", "run_dir=a"),
        ("+run_dir='a'", "+run_dir='a'"),
        ("run_dir=${oc.env:A}", "run_dir=/w/a"),
        ("hydra.run.dir=b", "run_dir=/w/a"),
        ("run_dir=s3://bucket/a", "run_dir=/w/a"),
    ],
)
def test_a_typed_directory_is_kept_only_if_it_names_the_runs(tmp_path, typed_word, expected):
    found = command_in([typed_word], (tmp_path / "a"), tmp_path)
    assert shlex.split(found)[3:] == [expected.replace("/w", str(tmp_path))]

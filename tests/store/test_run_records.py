"""Damaged records of a run's directory are refused by name, and nothing is lost."""

import json
import os
import shutil

import pytest
from processes import rollout
from prompt_files import write

WORDS = ("data.input=in.parquet", "engine=scripted", "tracking=none", "run_dir=run")


AGAIN = (*WORDS, "sampling.n_samples=3")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the directory of a finished run of two launches."""
    here = tmp_path_factory.mktemp("finished")
    write(here / "in.parquet", ["a", "b", "c"])
    for n in (2, 3):
        assert rollout(*WORDS, f"sampling.n_samples={n}", cwd=here).returncode == 0
    return here


@pytest.fixture
def done(finished, typed):
    shutil.copytree(finished, typed.here, dirs_exist_ok=True)
    return typed


def refusal(typed, *words):
    typed(*words)
    assert typed.code == 2 and len(typed.errors) == 1, (typed.errors, typed.out)
    return typed.errors[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("attempts/2/fingerprint.json", "[]"),
        ("attempts/2/fingerprint.json", '{"fingerprint": 3}'),
        ("run.json", "null"),
        ("run.json", '{"rollout": "0.1.0"}'),
    ],
)
@pytest.mark.parametrize("words", [AGAIN, ("run_dir=run",)])
def test_a_damaged_decisive_record_is_refused_by_name(done, name, text, words):
    """A damaged fingerprint.json was treated as missing, and the previous one was used."""
    path = done.here / "run" / name
    path.write_text(text)
    assert str(path) in refusal(done, *words)


def test_a_run_with_truncated_settings_is_not_resumed(done):
    """The rest of config.yaml is still YAML: the run was resumed with fewer settings."""
    path = done.here / "run" / "attempts" / "2" / "config.yaml"
    text = path.read_text()
    path.write_text(text[: text.index("\npostprocess:") + 1])
    assert f"{path} is damaged" in refusal(done, "run_dir=run")


@pytest.mark.parametrize("name", ["shards/00000000.parquet", "shards/00000000.log"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("nowhere")])
def test_a_shard_that_is_not_a_file_is_refused_without_blocking(done, name, make):
    path = done.here / "run" / name
    path.unlink(missing_ok=True)
    make(path)
    assert f"{path} is not a file" in refusal(done, *AGAIN)


@pytest.mark.parametrize("text", ["null", '{"num_rows": "3"}', "[" * 9999])
def test_a_damaged_summary_is_made_again(done, text):
    path, output = done.here / "run" / "summary.json", done.here / "run" / "output.parquet"
    before = output.read_bytes()
    path.write_text(text)
    assert done(*AGAIN).code == 0
    assert json.loads(path.read_text())["num_rows"] == 3 and output.read_bytes() == before


def test_a_damaged_table_of_a_sweep_is_not_overwritten(typed):
    """The points of earlier commands were lost."""
    write(typed.here / "in.parquet", ["a"])
    assert typed("-m", *WORDS, "sampling.temperature=0.5,0.6").code == 0
    path = typed.here / "run" / "sweep.json"
    path.write_text(path.read_text()[:-20])
    assert f"{path} is damaged" in refusal(typed, "-m", *WORDS, "sampling.temperature=0.7,0.8")
    path.unlink()
    assert typed("-m", *WORDS, "sampling.temperature=0.7,0.8").code == 0

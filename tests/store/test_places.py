"""Where files may be written: no foreign file is overwritten, whichever setting names it."""

import fcntl
import os
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from processes import rollout

SMALL = ("engine=scripted", "tracking=none", "sampling.n_samples=2", "data.input=in.parquet")
SCORED = ("postprocess.scorer=python", "postprocess.python.function=scorer.py:score")
EXPORTED = (*SCORED, "postprocess.export.format=sft", "postprocess.select.min_pass_rate=0")
SCORER = """
from pathlib import Path


def score(response, row):
    return float(len(response) % 2)


def meddle(response, row):
    Path("mine.parquet").write_bytes(b"mine")
    return 1.0
"""


@pytest.fixture
def here(typed):
    """Return the command's directory, with an input and a scorer."""
    table = pa.table({"prompt": [f"question {i}" for i in range(6)], "answer": list("abcdef")})
    pq.write_table(table, typed.here / "in.parquet")
    (typed.here / "scorer.py").write_text(SCORER)
    return typed.here


def names_of(path, here):
    """Return names by which a file may be typed."""
    (here / "linked").symlink_to(path.parent)
    (here / "link.parquet").symlink_to(path)
    os.link(path, here / "hard.parquet")
    inside = path.relative_to(here)
    linked = f"linked/{path.name}"
    return [inside, path, f"linked/../{path.parent.name}/{path.name}", linked, "link.parquet",
            "hard.parquet"]  # fmt: skip


@pytest.mark.parametrize("key", ["postprocess.output.path", "postprocess.export.path"])
def test_scores_and_exports_never_replace_the_input_under_any_name(typed, here, key):
    """postprocess.export.path=in.parquet with overwrite=true destroyed the run's own input."""
    before = (here / "in.parquet").read_bytes()
    overwrite = f"{key.removesuffix('path')}overwrite=true"
    for name in names_of(here / "in.parquet", here):
        error = typed.refused(*SMALL, *EXPORTED, f"{key}={name}", overwrite, "run_dir=run")
        assert f"{key}=" in error and "is the input itself" in error
    assert (here / "in.parquet").read_bytes() == before


@pytest.mark.parametrize(
    "key", ["output.path", "postprocess.output.path", "postprocess.export.path"]
)
@pytest.mark.parametrize("overwrites", [False, True])
def test_nothing_is_written_among_the_records_of_a_run(typed, here, key, overwrites):
    """postprocess.output.path=RUN/shards/00000000.parquet destroyed a finished shard."""
    for run in ("run", "other"):
        typed(*SMALL, f"run_dir={run}")
    shards = [here / run / "shards/00000000.parquet" for run in ("run", "other")]
    before = [shard.read_bytes() for shard in shards]
    words = [f"{key.removesuffix('path')}overwrite=true"] * overwrites
    for shard in shards:
        error = typed.refused(*SMALL, *EXPORTED, f"{key}={shard}", *words, "run_dir=run")
        assert "own files" in error
    assert [shard.read_bytes() for shard in shards] == before


@pytest.mark.parametrize("name", ["scored.parquet", "scored.json", "train.parquet"])
def test_a_file_that_replaced_an_earlier_score_stays(typed, here, name):
    """Only the path was recorded, so the next launch replaced the user's own file."""
    typed(*SMALL, *EXPORTED, "run_dir=run")
    shutil.copy(here / "in.parquet", here / "run" / name)
    typed(*SMALL, *EXPORTED, "run_dir=run", "sampling.n_samples=3")
    assert typed.code == 2 and name in typed.errors[0]
    assert (here / "run" / name).read_bytes() == (here / "in.parquet").read_bytes()


@pytest.mark.parametrize("key", ["postprocess.output.path", "postprocess.export.path"])
def test_a_file_that_appears_while_responses_are_scored_stays(typed, here, key):
    """It was replaced, and the exit code was 0."""
    words = (*SMALL, *EXPORTED, "postprocess.python.function=scorer.py:meddle")
    typed(*words, f"{key}=mine.parquet", "run_dir=run")
    assert typed.code == 1 and f"another {key}=" in typed.errors[0]
    assert (here / "mine.parquet").read_bytes() == b"mine"
    assert pq.read_table(here / "run/output.parquet").num_rows == 6
    typed(*words, f"{key}=other.parquet", "run_dir=run")
    assert typed.code == 0, typed.errors


def test_points_of_a_sweep_that_share_a_file_through_a_link_are_refused(typed, here):
    """Both points succeeded, and one output was lost."""
    (here / "a").mkdir()
    (here / "b").symlink_to("a")
    paths = "output.path=a/o.parquet,b/o.parquet"
    typed(*SMALL, paths, "run_dir=s", "-m")
    assert typed.code == 2 and "is the same for the points" in typed.errors[0]
    assert typed.left in ([], ["s"])


@pytest.mark.parametrize("name", ["summary.json", "published.json", "written.json"])
def test_a_run_refuses_a_directory_with_a_foreign_record(typed, here, name):
    (here / "project").mkdir()
    (here / "project" / name).write_text('{"mine": 1}')
    assert name in typed.refused(*SMALL, "run_dir=project")
    assert (here / "project" / name).read_text() == '{"mine": 1}'


def test_a_sweep_does_not_overwrite_a_foreign_table(typed, here):
    (here / "project").mkdir()
    (here / "project/sweep.csv").write_text("mine\n")
    typed(*SMALL, "run_dir=project", "-m", "sampling.temperature=0.5,1.0")
    assert typed.code != 0 and any("sweep.csv" in line for line in typed.errors)
    assert (here / "project/sweep.csv").read_text() == "mine\n"


def test_overwrite_applies_only_to_parquet_files(typed, here):
    (here / "notes.txt").write_text("mine")
    error = typed.refused(*SMALL, "output.path=notes.txt", "output.overwrite=true", "run_dir=run")
    assert "not a parquet file" in error and (here / "notes.txt").read_text() == "mine"
    (here / "old.parquet").write_text("")
    typed(*SMALL, "output.path=old.parquet", "output.overwrite=true", "run_dir=run")
    assert typed.code == 0 and pq.read_table(here / "old.parquet").num_rows == 6


def test_scores_are_not_written_among_the_input_files(typed, here):
    """The second launch then read the scored file as input, and failed."""
    (here / "many").mkdir()
    for name in ("a", "b"):
        shutil.copy(here / "in.parquet", here / f"many/{name}.parquet")
    for given in ("many", "many/*.parquet"):
        words = (*SMALL[:3], f"data.input={given}", *SCORED, "run_dir=run")
        error = typed.refused(*words, "postprocess.output.path=many/scored.parquet")
        assert "would read it as input" in error


@pytest.mark.parametrize("command", ["rollout.postprocess", "rollout.prepare"])
def test_the_next_command_removes_leftovers_of_a_kill_unless_they_are_in_use(here, command):
    """SIGKILL left .NAME.PID.tmp forever."""
    import importlib

    main = importlib.import_module(f"{command}.__main__").main
    table = pq.read_table(here / "in.parquet")
    answers = pa.array([["one", "two"]] * 6)
    pq.write_table(table.append_column("responses", answers), here / "r.parquet")
    dead, held = (here / f".out.parquet.{tag}.tmp" for tag in ("0123abcd", "4567"))
    dead.write_text("half")
    with held.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        more = ["input=r.parquet", "scorer=exact"]
        if command == "rollout.prepare":
            more = ["source=in.parquet", "prompt_column=answer"]
        with pytest.raises(SystemExit) as ended:
            main([*more, "output.path=out.parquet"])
        assert ended.value.code == 0
        assert held.exists() and not dead.exists()


def test_an_output_whose_link_changed_meanwhile_is_not_followed(here):
    """A symbolic link may be changed to another directory while a run generates."""
    for name in ("a", "b"):
        (here / name).mkdir()
    (here / "to").symlink_to("a")
    done = rollout(*SMALL, "output.path=to/o.parquet", "run_dir=run", cwd=here)
    assert done.returncode == 0 and (here / "a/o.parquet").exists()
    (here / "to").unlink()
    (here / "to").symlink_to("b")
    shutil.copy(here / "in.parquet", here / "b/o.parquet")
    done = rollout(*SMALL, "output.path=to/o.parquet", "run_dir=run", cwd=here)
    assert done.returncode == 2 and "already exists" in done.stderr


@pytest.mark.parametrize("name", ["n.json", "n.errors.jsonl"])
@pytest.mark.parametrize("command", ["rollout", "rollout.postprocess"])
def test_the_companions_of_scores_never_overwrite_a_foreign_file(typed, here, name, command):
    """A JSON file with a key `groups` counted as our own, and was replaced."""
    import importlib

    mine = '{"groups": [], "row": 0, "sample": 0, "verdict": "", "error": "", "trace": ""}'
    typed(*SMALL, "run_dir=run")
    (here / name).write_text(mine)
    words = ["input=run", "scorer=exact", "output.path=n.parquet"]
    if command == "rollout":
        words = [*SMALL, "run_dir=run", *(f"postprocess.{word}" for word in words[1:])]
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"{command}.__main__").main(list(words))
    assert ended.value.code == 2 and (here / name).read_text() == mine
    assert not (here / "n.parquet").exists()


def test_a_sweeps_table_that_the_user_replaced_is_not_overwritten(typed, here):
    sweep = (*SMALL, "run_dir=s", "-m")
    typed(*sweep, "sampling.temperature=0.5,1.0")
    assert typed.code == 0, typed.errors
    typed(*sweep, "sampling.temperature=0.5,0.7")
    assert typed.code == 0, typed.errors
    (here / "s/sweep.csv").write_text("mine")
    typed(*sweep, "sampling.temperature=0.9,1.1")
    assert typed.code == 2 and (here / "s/sweep.csv").read_text() == "mine"


@pytest.mark.parametrize("name", ["engine.log", "written.json", "sweep.json", "sweep.html"])
def test_a_new_sweep_refuses_a_directory_with_a_file_of_its_names(typed, here, name):
    """A sweep appended to a user's engine.log, and failed at their written.json in the end."""
    (here / "s").mkdir()
    (here / "s" / name).write_text("mine")
    error = typed.refused(*SMALL, "run_dir=s", "-m", "sampling.temperature=0.5,1.0")
    assert name in error and (here / "s" / name).read_text() == "mine"
    assert {path.name for path in (here / "s").iterdir()} <= {name, ".rollout.lock"}


def test_a_copied_run_does_not_own_the_files_outside_but_a_moved_one_does(typed, here):
    """The copy replaced the original's output."""
    (here / "project").mkdir()
    words = (*SMALL, "output.path=project/out.parquet")
    typed(*words, "run_dir=project/run")
    shutil.copytree(here / "project/run", here / "copy")
    typed(*words, "run_dir=copy", "sampling.n_samples=3")
    assert typed.code == 2 and "already exists" in typed.errors[0]
    (here / "project").rename(here / "moved")
    typed(*SMALL, "output.path=moved/out.parquet", "run_dir=moved/run")
    assert typed.code == 0 and "finished already" in typed.out


@pytest.mark.parametrize("source", ["many", "many/*.parquet"])
def test_prompts_are_not_written_among_their_sources(typed, here, source):
    """The second launch read them as a source."""
    (here / "many").mkdir()
    shutil.copy(here / "in.parquet", here / "many/a.parquet")
    words = (f"prepare.source={source}", "prepare.prompt_column=prompt", "run_dir=run")
    error = typed.refused(*SMALL[:3], *words, "prepare.output.path=many/p.parquet")
    assert "would read it as input" in error


def test_an_input_that_would_find_the_runs_own_shards_is_refused(typed, here):
    words = ("data.input=**/*.parquet", "run_dir=runs/a", "output.path=/tmp/nowhere.parquet")
    assert "the run's own files" in typed.refused(*SMALL[:3], *words)

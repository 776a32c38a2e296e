"""Where things may be written: nobody's file is written over, whoever names it for whatever."""

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
    """The directory of the command, with an input and a scorer."""
    table = pa.table({"prompt": [f"question {i}" for i in range(6)], "answer": list("abcdef")})
    pq.write_table(table, typed.here / "in.parquet")
    (typed.here / "scorer.py").write_text(SCORER)
    return typed.here


def names_of(path, here):
    """Names under which a file may be typed."""
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
        said = typed.refused(*SMALL, *EXPORTED, f"{key}={name}", overwrite, "run_dir=run")
        assert f"{key}=" in said and "is the input itself" in said
    assert (here / "in.parquet").read_bytes() == before


@pytest.mark.parametrize(
    "key", ["output.path", "postprocess.output.path", "postprocess.export.path"]
)
@pytest.mark.parametrize("overwrites", [False, True])
def test_nothing_is_written_into_the_record_of_a_run(typed, here, key, overwrites):
    """postprocess.output.path=RUN/shards/00000000.parquet destroyed a finished shard."""
    for run in ("run", "other"):
        typed(*SMALL, f"run_dir={run}")
    shards = [here / run / "shards/00000000.parquet" for run in ("run", "other")]
    before = [shard.read_bytes() for shard in shards]
    words = [f"{key.removesuffix('path')}overwrite=true"] * overwrites
    for shard in shards:
        said = typed.refused(*SMALL, *EXPORTED, f"{key}={shard}", *words, "run_dir=run")
        assert "record" in said
    assert [shard.read_bytes() for shard in shards] == before


@pytest.mark.parametrize("name", ["scored.parquet", "scored.json", "train.parquet"])
def test_a_file_that_took_the_place_of_an_earlier_score_stays(typed, here, name):
    """Only the path was remembered, so the next launch replaced the user's own file."""
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
    """Both ended done, and one output was gone."""
    (here / "a").mkdir()
    (here / "b").symlink_to("a")
    paths = "output.path=a/o.parquet,b/o.parquet"
    typed(*SMALL, paths, "run_dir=s", "-m")
    assert typed.code == 2 and "is the same for the points" in typed.errors[0]
    assert typed.left in ([], ["s"])


@pytest.mark.parametrize("name", ["summary.json", "published.json", "written.json"])
def test_a_run_does_not_take_a_directory_that_holds_somebody_elses_record(typed, here, name):
    (here / "project").mkdir()
    (here / "project" / name).write_text('{"mine": 1}')
    assert name in typed.refused(*SMALL, "run_dir=project")
    assert (here / "project" / name).read_text() == '{"mine": 1}'


def test_a_sweep_does_not_write_over_somebody_elses_table(typed, here):
    (here / "project").mkdir()
    (here / "project/sweep.csv").write_text("mine\n")
    typed(*SMALL, "run_dir=project", "-m", "sampling.temperature=0.5,1.0")
    assert typed.code != 0 and any("sweep.csv" in line for line in typed.errors)
    assert (here / "project/sweep.csv").read_text() == "mine\n"


def test_overwrite_reaches_parquet_files_alone(typed, here):
    (here / "notes.txt").write_text("mine")
    said = typed.refused(*SMALL, "output.path=notes.txt", "output.overwrite=true", "run_dir=run")
    assert "no parquet file" in said and (here / "notes.txt").read_text() == "mine"
    (here / "old.parquet").write_text("")
    typed(*SMALL, "output.path=old.parquet", "output.overwrite=true", "run_dir=run")
    assert typed.code == 0 and pq.read_table(here / "old.parquet").num_rows == 6


def test_scores_are_not_written_among_the_files_that_are_read(typed, here):
    """The second launch then took the scored file for input, and failed."""
    (here / "many").mkdir()
    for name in ("a", "b"):
        shutil.copy(here / "in.parquet", here / f"many/{name}.parquet")
    for given in ("many", "many/*.parquet"):
        words = (*SMALL[:3], f"data.input={given}", *SCORED, "run_dir=run")
        said = typed.refused(*words, "postprocess.output.path=many/scored.parquet")
        assert "would read it as input" in said


@pytest.mark.parametrize("command", ["rollout.postprocess", "rollout.prepare"])
def test_what_a_killed_command_left_goes_with_the_next_and_what_is_held_stays(here, command):
    """SIGKILL left .NAME.PID.tmp for good."""
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


def test_an_output_that_leads_elsewhere_by_the_end_is_not_followed(here):
    """A symlinked directory may be turned around while a run generates."""
    for name in ("a", "b"):
        (here / name).mkdir()
    (here / "to").symlink_to("a")
    done = rollout(*SMALL, "output.path=to/o.parquet", "run_dir=run", cwd=here)
    assert done.returncode == 0 and (here / "a/o.parquet").exists()
    (here / "to").unlink()
    (here / "to").symlink_to("b")
    shutil.copy(here / "in.parquet", here / "b/o.parquet")
    done = rollout(*SMALL, "output.path=to/o.parquet", "run_dir=run", cwd=here)
    assert done.returncode == 2 and "exists already" in done.stderr


@pytest.mark.parametrize("name", ["n.json", "n.errors.jsonl"])
@pytest.mark.parametrize("command", ["rollout", "rollout.postprocess"])
def test_what_goes_with_scores_is_never_written_over_unasked(typed, here, name, command):
    """A JSON file with a key `groups` counted as a scoring's own, and was replaced."""
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


def test_a_tables_place_in_a_sweep_is_its_users_once_he_puts_a_file_there(typed, here):
    sweep = (*SMALL, "run_dir=s", "-m")
    typed(*sweep, "sampling.temperature=0.5,1.0")
    assert typed.code == 0, typed.errors
    typed(*sweep, "sampling.temperature=0.5,0.7")
    assert typed.code == 0, typed.errors
    (here / "s/sweep.csv").write_text("mine")
    typed(*sweep, "sampling.temperature=0.9,1.1")
    assert typed.code == 2 and (here / "s/sweep.csv").read_text() == "mine"


@pytest.mark.parametrize("name", ["engine.log", "written.json", "sweep.json", "sweep.html"])
def test_a_new_sweep_begins_nothing_where_a_file_of_its_names_stands(typed, here, name):
    """A sweep added to a user's engine.log, and met their written.json once all was done."""
    (here / "s").mkdir()
    (here / "s" / name).write_text("mine")
    said = typed.refused(*SMALL, "run_dir=s", "-m", "sampling.temperature=0.5,1.0")
    assert name in said and (here / "s" / name).read_text() == "mine"
    assert {path.name for path in (here / "s").iterdir()} <= {name, ".rollout.lock"}


def test_a_copied_run_does_not_own_what_lies_outside_of_it_and_a_moved_one_does(typed, here):
    """The copy replaced the original's output, which then was not as the original wrote it."""
    (here / "project").mkdir()
    words = (*SMALL, "output.path=project/out.parquet")
    typed(*words, "run_dir=project/run")
    shutil.copytree(here / "project/run", here / "copy")
    typed(*words, "run_dir=copy", "sampling.n_samples=3")
    assert typed.code == 2 and "exists already" in typed.errors[0]
    (here / "project").rename(here / "moved")
    typed(*SMALL, "output.path=moved/out.parquet", "run_dir=moved/run")
    assert typed.code == 0 and "finished already" in typed.out


@pytest.mark.parametrize("source", ["many", "many/*.parquet"])
def test_prompts_are_not_written_among_what_they_are_made_of(typed, here, source):
    """The second launch took them for a source."""
    (here / "many").mkdir()
    shutil.copy(here / "in.parquet", here / "many/a.parquet")
    words = (f"prepare.source={source}", "prepare.prompt_column=prompt", "run_dir=run")
    said = typed.refused(*SMALL[:3], *words, "prepare.output.path=many/p.parquet")
    assert "would read it as input" in said


def test_an_input_that_would_find_the_runs_own_shards_is_refused(typed, here):
    words = ("data.input=**/*.parquet", "run_dir=runs/a", "output.path=/tmp/nowhere.parquet")
    assert "the run's own files" in typed.refused(*SMALL[:3], *words)

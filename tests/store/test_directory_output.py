"""A published directory: complete or absent, with no foreign files, and readable by all tools."""

import shutil
import signal

import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from drilled_run import Run, Story, write_input

from rollout.store import directory_output as partition
from rollout.store.directory_output import directory_written_whole
from rollout.system.disk import atomic_write, file_of, remove_leftovers

SCRIPTED = ("engine=scripted", "tracking=none", "data.input=in.parquet", "run_dir=x")
TEN = "output.partition_rows=10"
NO_ENGINE = "engine.scripted.load_s=60"


@pytest.fixture
def run(typed):
    prompts = [f"question {i}" for i in range(35)]
    pq.write_table(pa.table({"prompt": prompts, "id": range(35)}), typed.here / "in.parquet")
    return lambda *words: typed(*SCRIPTED, "sampling.n_samples=2", *words)


def sizes(directory):
    """Return the rows of each file by name; fails if the directory holds anything else."""
    return {path.name: pq.read_metadata(path).num_rows for path in sorted(directory.iterdir())}


def leftovers(here):
    return [*here.rglob(".*.tmp")]


def test_a_directory_of_files_holds_the_rows_of_the_one_file_in_order(typed, run):
    run()
    done = run(TEN, NO_ENGINE)
    output = typed.here / "x" / "output"
    assert done.code == 0 and f"output  {output}\n" in done.out
    assert sizes(output) == {f"part-0000{i}.parquet": n for i, n in enumerate((10, 10, 10, 5))}
    assert pq.read_table(output).equals(pq.read_table(typed.here / "x" / "output.parquet"))
    assert run(TEN).out.startswith("finished already")


def test_partition_rows_counts_the_rows_of_the_layout(typed, run):
    assert run(TEN, "output.layout=per_sample", "output.path=there").code == 0
    assert list(sizes(typed.here / "there").values()) == [10] * 7


def test_all_readers_can_read_the_directory(typed, run):
    datasets = pytest.importorskip("datasets")
    run(TEN)
    output = typed.here / "x" / "output"
    ids = list(range(35))
    assert pyarrow.dataset.dataset(output).to_table()["id"].to_pylist() == ids
    assert list(pd.read_parquet(output)["id"]) == ids
    loaded = datasets.load_dataset(str(output), split="train", cache_dir=str(typed.here / "cache"))
    assert loaded["id"][:] == ids
    done = typed("engine=scripted", "tracking=none", "data.input=x/output", "run_dir=y",
                 "output.prefix=new_")  # fmt: skip
    assert done.code == 0
    assert pq.read_table(typed.here / "y" / "output.parquet")["id"].to_pylist() == ids


def test_rows_added_later_replace_the_directory(typed, run):
    run(TEN, "data.limit=35", "sampling.n_samples=1")
    done = typed(*SCRIPTED, TEN, "data.limit=12", "run_dir=y")
    assert list(sizes(typed.here / "y" / "output").values()) == [10, 2]
    done = typed(*SCRIPTED, TEN, "run_dir=y")
    assert done.code == 0
    assert list(sizes(typed.here / "y" / "output").values()) == [10, 10, 10, 5]
    assert leftovers(typed.here) == []


def test_no_rows_at_all_are_one_file_with_the_columns(typed, run):
    run(TEN, "engine.scripted.refuse=question", "data.on_error=skip")
    output = typed.here / "x" / "output"
    assert sizes(output) == {"part-00000.parquet": 0}
    assert "responses" in pq.read_schema(output / "part-00000.parquet").names


def test_an_empty_directory_counts_as_absent(typed, run):
    (typed.here / "there").mkdir()
    assert run(TEN, "output.path=there/").code == 0
    assert len(sizes(typed.here / "there")) == 4


def test_a_foreign_file_is_named_and_nothing_is_replaced(typed, run):
    run(TEN)
    output = typed.here / "x" / "output"
    (output / "notes.txt").write_text("mine")
    before = sizes_with_text(output)
    for words in (("output.partition_rows=20",), (TEN, "output.overwrite=true")):
        assert "holds notes.txt, which is not part of a published" in run(*words).errors[0]
    assert sizes_with_text(output) == before
    (output / "notes.txt").unlink()
    assert run("output.partition_rows=20", NO_ENGINE).code == 0
    assert list(sizes(output).values()) == [20, 15]


def sizes_with_text(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize("tamper", ["cut", "add", "remove"])
def test_a_directory_that_was_changed_is_replaced_only_with_overwrite(typed, run, tamper):
    run(TEN)
    output = typed.here / "x" / "output"
    first = output / "part-00000.parquet"
    if tamper == "cut":
        first.write_bytes(first.read_bytes()[:-50])
    elif tamper == "add":
        (output / "part-00009.parquet").write_bytes(first.read_bytes())
    else:
        first.unlink()
    assert "already exists" in run("output.partition_rows=20").errors[0]
    assert run("output.partition_rows=20", "output.overwrite=true").code == 0
    assert list(sizes(output).values()) == [20, 15]


def test_starting_over_moves_the_directory_aside(typed, run):
    run(TEN)
    assert run(TEN, "sampling.seed=1", "resume=fresh").code == 0
    assert sizes(typed.here / "x.old-1" / "output") == sizes(typed.here / "x" / "output")


def test_starting_over_leaves_an_output_directory_that_is_the_users(typed, run):
    run()
    (typed.here / "x" / "output").mkdir()
    (typed.here / "x" / "output" / "notes.txt").write_text("mine")
    assert "holds notes.txt" in run(TEN, "resume=fresh").errors[0]
    assert run("resume=fresh").code == 0
    assert (typed.here / "x" / "output" / "notes.txt").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("output.path=in.parquet", "output.overwrite=true"), "is a file"),
        (("output.path=.",), "where the run keeps its own files"),
        (("output.path=x/shards",), "where the run keeps its own files"),
        (("output.path=d", "output.overwrite=true", "data.input=d"), "is the input itself"),
        (("output.path=e/out", "data.input='e/**/*.parquet'"), "lies among the input files"),
        (("output.path=there.csv",), "rollout writes parquet"),
        (("output.partition_rows=0",), "output.partition_rows=0"),
    ],
)
def test_an_unusable_place_for_a_directory_is_refused_before_work(typed, run, words, says):
    for name in ("d/part-00000.parquet", "e/in.parquet"):
        (typed.here / name).parent.mkdir()
        (typed.here / name).write_bytes((typed.here / "in.parquet").read_bytes())
    words = words if "output.partition_rows=0" in words else (TEN, *words)
    assert says in typed.refused(*SCRIPTED, *words)


def test_a_file_in_place_of_a_directory_is_refused_with_both_remedies(typed, run):
    run(TEN, "output.path=there")
    line = run("output.path=there").errors[0]
    assert "output.path=there/output.parquet" in line and "output.partition_rows=N" in line


def test_more_files_than_five_digits_can_number_are_refused_with_a_size_that_works(typed, run):
    words = "output.partition_rows=1", "output.layout=per_sample", "sampling.n_samples=16000"
    line = typed.refused(*SCRIPTED, *words)
    assert "would make 560,000 files of 560,000 rows; type output.partition_rows=6 or more" in line


def test_a_dry_run_says_what_would_be_written(typed, run):
    out = run(TEN, "output.layout=per_sample", "dry_run=true").out
    words = (
        f"output {typed.here / 'x' / 'output'}, files of at most 10 rows (a row for each sample)"
    )
    assert words in " ".join(out.split())


def test_a_sweep_shows_the_responses_of_any_layout(typed, run):
    write_input(typed.here / "in.parquet")
    swept = "-m", "data.limit=20", "sampling.n_samples=1,2", "output.layout=per_sample"
    done = run(*swept, TEN)
    assert done.code == 0, done.errors
    tables = pq.read_table(typed.here / "x" / "sweep.parquet")["responses"].to_pylist()
    assert [[len(row["responses"]) for row in rows[:6]] for rows in tables] == [
        [1, 1, 1, 1, 1, 0], [2, 2, 2, 2, 2, 0],
    ]  # fmt: skip
    assert [len(rows) for rows in tables] == [20, 20]


# Writing the directory.


def written(path, *texts, replace=True):
    with directory_written_whole(path, "0123abcd", replace) as temporary:
        for number, text in enumerate(texts):
            file_of(temporary, number).write_text(text)


def texts_in(path):
    return [file.read_text() for file in sorted(path.iterdir())]


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_new_directory_replaces_the_old_one(tmp_path, monkeypatch, can_exchange):
    if not can_exchange:  # another system, or a file system that does not support it
        monkeypatch.setattr(partition, "exchanged", lambda *names: False)
    written(tmp_path / "out", "old", "older")
    written(tmp_path / "out", "new")
    assert texts_in(tmp_path / "out") == ["new"] and [*tmp_path.iterdir()] == [tmp_path / "out"]


@pytest.mark.parametrize(("name", "replace"), [("part-00007.parquet", False), ("mine.txt", True)])
def test_files_that_appeared_meanwhile_are_left_unchanged(tmp_path, name, replace):
    path = tmp_path / "out"
    with (
        pytest.raises(FileExistsError),
        directory_written_whole(path, "0123abcd", replace) as temporary,
    ):
        file_of(temporary, 0).write_text("new")
        path.mkdir()
        (path / name).write_text("mine")
    assert texts_in(path) == ["mine"] and leftovers(tmp_path) == []


def test_leftovers_of_a_kill_are_removed_but_not_a_foreign_file_among_them(tmp_path):
    left = tmp_path / ".out.new.0123abcd.tmp"
    left.mkdir()
    file_of(left, 0).write_text("half")
    written(tmp_path / "out", "new")
    assert not left.exists()
    left.mkdir()
    (left / "notes.txt").write_text("mine")
    with pytest.raises(OSError, match=r"0123abcd"):
        remove_leftovers(tmp_path)
    assert texts_in(left) == ["mine"] and texts_in(tmp_path / "out") == ["new"]


def test_leftovers_of_a_directory_do_not_block_a_file_nor_the_reverse(tmp_path):
    (tmp_path / ".out.0123abcd.tmp").write_text("half")
    written(tmp_path / "out", "new")
    (tmp_path / "out").rename(tmp_path / ".out.new.0123abcd.tmp")
    with atomic_write(tmp_path / "out", "0123abcd") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "out").read_text() == "new"


def test_a_file_that_can_not_be_written_leaves_the_old_directory(tmp_path):
    written(tmp_path / "out", "old")
    with (
        pytest.raises(OSError, match="No space"),
        directory_written_whole(tmp_path / "out", "0123abcd") as temporary,
    ):
        file_of(temporary, 0).write_text("half")
        raise OSError(28, "No space left on device")
    assert texts_in(tmp_path / "out") == ["old"] and leftovers(tmp_path) == []


def test_a_kill_while_publishing_leaves_the_old_or_the_new_directory(tmp_path):
    words = "engine=scripted", "engine.scripted.instant=true", "output.partition_rows=150"
    story = Story("replaced", (*words, "sampling.n_samples=2"), output="run/output")
    source = write_input(tmp_path / "in.parquet")
    base = Run(tmp_path / "base", story, source)
    assert base.launch((*words, "sampling.n_samples=1")).returncode == 0
    old = pq.read_table(base.output)

    def copied(name):
        run = Run(tmp_path / name, story, source)
        shutil.copytree(base.directory / "run", run.directory / "run")
        return run

    whole = copied("whole")
    assert whole.launch().returncode == 0
    new, whats = pq.read_table(whole.output), whole.boundaries()
    number = {what: i for i, what in enumerate(whats, 1)}
    (temporary,) = {what.split()[1] for what in whats if what.startswith("rmdir run/.output.new.")}
    for what in ("open {}/part-00001.parquet", "remove {}/part-00001.parquet"):
        stop = number[what.format(temporary)]
        run = copied(str(stop))
        assert run.launch(boundary=stop).returncode == -signal.SIGKILL, what
        there = old if what.startswith("open") else new
        assert pq.read_table(run.output).equals(there), what
        assert run.launch().returncode == 0, run.said()
        assert pq.read_table(run.output).equals(new) and run.leftovers() == []

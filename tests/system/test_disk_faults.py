"""Files that fail, vanish or are tampered with: one line that helps, and no row the worse for it.

Every test ends with the same command, which must finish with the output of an undisturbed run.
"""

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drilled_run import Run, Story, write_input
from processes import command, environment, rollout, start, wait_for

from rollout.system.disk import written_whole

WORDS = (
    "data.input=in.parquet", "run_dir=run", "engine=scripted", "tracking=none",
    "sampling.n_samples=2", "sampling.max_tokens=262144", "engine.max_num_seqs=16",
)  # fmt: skip
SLOW = "engine.scripted.step_s=0.003"
ONE_SHARD = "sampling.max_tokens=2048"
ELSEWHERE = "output.path=out/there.parquet"


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """An input, an undisturbed run of it, and one killed with some shards sealed, one begun."""
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
    """A directory with an input and nothing else."""
    shutil.copy(template / "in.parquet", tmp_path)
    return tmp_path


@pytest.fixture
def begun(template, here):
    """A directory with a killed run."""
    shutil.copytree(template / "begun" / "run", here / "run")
    return here


@pytest.fixture
def finishes(template, here):
    """Type the command again; the output must be the undisturbed run's."""

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


def refused(done, code, *says):
    """The one line of a launch that ended early."""
    output = done.stderr + (done.stdout or "")
    assert done.returncode == code, output
    assert "Traceback" not in output
    lines = [line for line in done.stderr.splitlines() if line.startswith("rollout: ")]
    assert len(lines) == 1, output
    for word in says:
        assert word in lines[0]
    return lines[0]


def finished(process):
    """A started process, at its end, as `rollout` returns it."""
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def running(here, *words):
    """A run with rows on disk that goes on for a second or two."""
    process = start(*WORDS, SLOW, *words, cwd=here)
    wait_for(lambda: list((here / "run" / "shards").glob("*")))
    return process


def limited(here, file_bytes, *words):
    """A launch that can write no file larger than this."""
    return subprocess.run(
        command(*WORDS, *words),
        cwd=here,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes)),
    )


# Writes that fail.


def test_a_log_that_can_not_be_appended_to_ends_the_run_and_keeps_what_is_there(here, finishes):
    line = refused(limited(here, 50_000, ONE_SHARD), 1, "could not write", "File too large")
    assert "to go on" in line or "to go on: " in line
    done = finishes(ONE_SHARD)
    assert int(re.search(r"resuming: (\d+) of 400 rows done", done.stderr)[1]) > 50


def test_an_output_that_can_not_be_written_leaves_no_half_and_is_published_later(here, finishes):
    refused(limited(here, 30_000), 1, "could not write", "to go on: ")
    assert not list((here / "run").glob("*output*"))
    assert "resuming: 400 of 400 rows done, 0 owed" in finishes().stderr


def test_a_disk_full_from_the_start_is_refused_before_work(here, finishes):
    refused(limited(here, 300), 2, "can't write", "File too large")
    finishes()


@pytest.fixture
def small_disk(here):
    """A file system of its own in run/, of 150 kB; `resize` mounts it anew."""

    def mount(*options):
        return subprocess.run(
            ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", here / "run"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    (here / "run").mkdir()
    try:
        done = mount("size=150k")
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"this machine mounts nothing: {done.stderr.strip()}")
    yield lambda *options: mount("remount", *options)
    subprocess.run(["umount", "-l", here / "run"], check=True)


def test_a_disk_that_fills_up_costs_no_finished_row(here, small_disk, finishes):
    refused(rollout(*WORDS, ONE_SHARD, cwd=here), 1, "could not write", "No space left")
    assert small_disk("size=50m").returncode == 0
    assert re.search(r"resuming: [1-9]\d* of 400 rows done", finishes(ONE_SHARD).stderr)


def test_wherever_a_full_disk_stops_a_launch_the_line_says_so(here, small_disk, finishes):
    """Closing the log failed too, and then a fault of the program was reported."""
    for num_free_pages in (0, 1, 2, 4, 8, 12):
        filler, page = here / "run" / "filler", b"\0" * 4096
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(page)
        os.truncate(filler, max(0, filler.stat().st_size // 4096 - num_free_pages) * 4096)
        done = rollout(*WORDS, cwd=here)
        line = refused(done, done.returncode, "No space left", "write", "make room")
        assert done.returncode in (1, 2) and "fault of rollout" not in line
    filler.unlink()
    assert small_disk("size=50m").returncode == 0
    finishes()


def test_a_directory_that_became_read_only_is_refused(here, small_disk, finishes):
    assert small_disk("size=50m,ro").returncode == 0
    refused(rollout(*WORDS, cwd=here), 2, "can't write", "another run_dir=")
    assert small_disk("size=50m,rw").returncode == 0
    finishes()


@pytest.mark.parametrize("run_dir", ["file", "file/run"])
def test_a_file_in_place_of_the_directory_is_refused(here, finishes, run_dir):
    (here / "file").write_text("mine")
    refused(rollout(*WORDS, f"run_dir={run_dir}", cwd=here), 2, "another run_dir=")
    assert (here / "file").read_text() == "mine"
    finishes()


def test_a_file_in_place_of_the_shards_is_refused(begun, finishes):
    shutil.rmtree(begun / "run" / "shards")
    (begun / "run" / "shards").write_text("mine")
    refused(rollout(*WORDS, cwd=begun), 2, "run_dir=")
    (begun / "run" / "shards").unlink()
    finishes()


# Directories that go while it runs.


def test_an_output_directory_removed_during_the_run_is_made_again(here, finishes):
    (here / "out").mkdir()
    process = running(here, ELSEWHERE)
    (here / "out").rmdir()
    assert finished(process).returncode == 0
    assert "finished already" in finishes(ELSEWHERE, output="out/there.parquet").stdout


def test_an_output_directory_that_became_a_file_ends_the_run_and_costs_no_row(here, finishes):
    (here / "out").mkdir()
    process = running(here, ELSEWHERE)
    (here / "out").rmdir()
    (here / "out").write_text("mine")
    refused(finished(process), 1, "could not write", "to go on: ")
    assert (here / "out").read_text() == "mine"
    (here / "out").unlink()
    done = finishes(ELSEWHERE, output="out/there.parquet")
    assert "400 of 400 rows done, 0 owed" in done.stderr


def test_a_run_directory_moved_away_during_the_run_ends_it(here, finishes):
    process = running(here)
    (here / "run").rename(here / "moved")
    refused(finished(process), 1, "could not write")
    if (here / "run").exists():  # nothing in it is half
        assert not list((here / "run").glob("*output*"))
        shutil.rmtree(here / "run")
    (here / "moved").rename(here / "run")
    assert re.search(r"resuming: [1-9]\d* of 400 rows done", finishes().stderr)


def test_a_lock_file_removed_during_the_run_harms_nothing(here, finishes):
    process = running(here)
    (here / "run" / ".rollout.lock").unlink()
    assert finished(process).returncode == 0
    assert "finished already" in finishes().stdout


def test_what_a_kill_left_linked_to_the_output_is_never_written_through(tmp_path):
    """A kill between os.link and the removal of the temporary name leaves one file of two names;
    the next launch wrote to it in place."""
    path = tmp_path / "there.parquet"
    path.write_text("published")
    with written_whole(path, "tag") as temporary:
        name = temporary
        temporary.write_text("published")
    os.link(path, name)
    with written_whole(path, "tag") as temporary:
        temporary.write_text("half")
        assert path.read_text() == "published"


# The input.


def rewrite(path):
    table = pq.read_table(path)
    prompts = [p and f"{p} Or so?" for p in table["prompt"].to_pylist()]
    pq.write_table(table.set_column(0, "prompt", pa.array(prompts)), path)


def append_rows(path):
    prompts, answers = ["one more", "and another"], ["this", "that"]
    more = pa.table({"prompt": prompts, "id": [1000, 1001], "answer": answers})
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, more.cast(table.schema)]), path)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def delete(path):
    path.unlink()


@pytest.mark.parametrize("tamper", [delete, rewrite, append_rows, truncate])
def test_an_input_changed_during_the_run_publishes_nothing_until_it_is_back(
    here, template, finishes, tamper
):
    process = running(here)
    tamper(here / "in.parquet")
    refused(finished(process), 1, "in.parquet", "the same command")
    assert not list((here / "run").glob("*output*"))
    shutil.copy(template / "in.parquet", here)
    assert "400 of 400 rows done, 0 owed" in finishes().stderr


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        (delete, "does not exist"),
        (rewrite, "has another prompt now"),
        (truncate, "is not a parquet file"),
    ],
)
def test_an_input_changed_between_launches_is_refused_until_it_is_back(
    begun, template, finishes, tamper, says
):
    tamper(begun / "in.parquet")
    refused(rollout(*WORDS, cwd=begun), 2, "in.parquet", says)
    shutil.copy(template / "in.parquet", begun)
    finishes()


def test_rows_appended_to_the_input_between_launches_are_answered_too(begun, finishes):
    append_rows(begun / "in.parquet")
    assert " of 402 rows done" in finishes(num_added=2).stderr


# The shards.


def cut_off(part):
    part.write_bytes(part.read_bytes()[:-30])


def flip_a_bit(part):
    """In a page of responses: nothing that decides what is owed."""
    columns = pq.ParquetFile(part).metadata.row_group(0)
    chunks = [columns.column(i) for i in range(columns.num_columns)]
    chunk = next(c for c in chunks if c.path_in_schema.startswith("responses."))
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    at = start + chunk.total_compressed_size // 2
    data = bytearray(part.read_bytes())
    data[at] ^= 4
    part.write_bytes(data)


def replace_by_text(part):
    part.write_text("not a part")


@pytest.mark.parametrize("tamper", [cut_off, flip_a_bit, replace_by_text])
def test_a_damaged_part_is_named_with_the_command_that_mends_it(begun, finishes, tamper):
    part = begun / "run" / "shards" / "00000002.parquet"
    tamper(part)
    line = refused(rollout(*WORDS, cwd=begun), 2, str(part), "is damaged")
    assert not (begun / "run" / "output.parquet").exists()
    typed = re.search(r"type: (rm .*?) and the same command", line)[1]
    subprocess.run(typed, shell=True, check=True)
    finishes()


def test_a_deleted_part_is_generated_again(begun, finishes):
    (begun / "run" / "shards" / "00000002.parquet").unlink()
    finishes()


def test_a_finished_run_that_lost_a_part_generates_it_again(here, finishes):
    finishes()
    (here / "run" / "shards" / "00000002.parquet").unlink()
    assert "368 of 400 rows done, 32 owed" in finishes().stderr


def test_a_log_damaged_in_its_middle_is_told_of_and_its_rows_asked_again(here, finishes):
    process = running(here, ONE_SHARD)
    log = here / "run" / "shards" / "00000000.log"
    wait_for(lambda: log.stat().st_size > 60_000)
    process.kill()
    finished(process)
    data = bytearray(log.read_bytes())
    data[20_000:20_100] = b"\xff" * 100
    log.write_bytes(data)
    done = finishes(ONE_SHARD)
    assert f"{log} is damaged in its middle" in done.stderr


# The run's own papers.


@pytest.mark.parametrize("text", ["", '{"rollout": "0.1', '{"name": "of another tool"}', "[1]"])
def test_a_run_json_that_is_broken_or_foreign_is_refused_and_left(begun, finishes, text):
    path = begun / "run" / "run.json"
    saved = path.read_text()
    path.write_text(text)
    refused(rollout(*WORDS, cwd=begun), 2, "run.json", "run_dir=")
    assert path.read_text() == text
    path.write_text(saved)
    finishes()


def test_rows_without_the_run_json_that_says_what_they_are_are_never_mixed_in(begun, finishes):
    """The directory counted as free, and a later launch took the old rows for its own."""
    path = begun / "run" / "run.json"
    saved = path.read_text()
    path.unlink()
    refused(rollout(*WORDS, "sampling.seed=7", cwd=begun), 2, "run.json", "run_dir=")
    path.write_text(saved)
    finishes()


def test_attempts_that_were_deleted_are_not_needed(begun, finishes):
    shutil.rmtree(begun / "run" / "attempts")
    done = finishes()
    assert "resuming: " in done.stderr


def test_an_output_damaged_after_it_was_published_is_written_again_as_told(here, finishes):
    finishes()
    cut_off(here / "run" / "output.parquet")
    refused(rollout(*WORDS, cwd=here), 2, "output.overwrite=true")
    finishes("output.overwrite=true")


# Two launches.


def test_of_two_launches_at_once_one_goes_on_and_the_other_names_it(here, finishes):
    two = [start(*WORDS, SLOW, cwd=here) for _ in range(2)]
    done = sorted(map(finished, two), key=lambda d: d.returncode)
    assert done[0].returncode == 0, done[0].stderr
    winner = next(p.pid for p in two if p.returncode == 0)
    refused(done[1], 2, f"in use by another launch (process {winner} on")
    assert "finished already" in finishes().stdout


def test_a_lock_left_by_a_killed_process_is_taken_over(begun, finishes):
    assert "pid" in json.loads((begun / "run" / ".rollout.lock").read_text())
    finishes()

"""Failing writes and vanishing directories: one helpful line, and no row is lost.

Every test ends with the same command, which must finish with the output of an undisturbed run.
"""

import contextlib
import os
import re
import resource
import shutil
import subprocess

import pytest
from disturbed import ONE_SHARD, WORDS, finished, refused, running
from processes import command, environment, rollout

from rollout.system.disk import atomic_write

ELSEWHERE = "output.path=out/there.parquet"


def limited(here, file_bytes, *words):
    """A launch that can't write files larger than this."""
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
    assert "to resume: " in line
    done = finishes(ONE_SHARD)
    assert int(re.search(r"resuming: (\d+) of 400 rows done", done.stderr)[1]) > 50


def test_an_output_that_can_not_be_written_leaves_no_half_and_is_published_later(here, finishes):
    refused(limited(here, 30_000), 1, "could not write", "to resume: ")
    assert not list((here / "run").glob("*output*"))
    assert "resuming: 400 of 400 rows done, 0 owed" in finishes().stderr


def test_a_disk_full_from_the_start_is_refused_before_work(here, finishes):
    refused(limited(here, 300), 2, "can't write", "File too large")
    finishes()


@pytest.fixture
def small_disk(here):
    """A separate file system of 150 kB in run/; `resize` remounts it."""

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
    """Closing the log failed, too, which was reported as a bug in rollout."""
    for num_free_pages in (0, 1, 2, 4, 8, 12):
        filler, page = here / "run" / "filler", b"\0" * 4096
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(page)
        os.truncate(filler, max(0, filler.stat().st_size // 4096 - num_free_pages) * 4096)
        done = rollout(*WORDS, cwd=here)
        line = refused(done, done.returncode, "No space left", "write", "make room")
        assert done.returncode in (1, 2) and "bug in rollout" not in line
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


# Directories that vanish during a run.


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
    refused(finished(process), 1, "could not write", "to resume: ")
    assert (here / "out").read_text() == "mine"
    (here / "out").unlink()
    done = finishes(ELSEWHERE, output="out/there.parquet")
    assert "400 of 400 rows done, 0 owed" in done.stderr


def test_a_run_directory_moved_away_during_the_run_ends_it(here, finishes):
    process = running(here)
    (here / "run").rename(here / "moved")
    refused(finished(process), 1, "could not write")
    if (here / "run").exists():  # nothing in it is incomplete
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
    """A kill between os.link and the removal of the temporary name leaves one file with two
    names; the next launch wrote to it in place."""
    path = tmp_path / "there.parquet"
    path.write_text("published")
    with atomic_write(path, "tag") as temporary:
        name = temporary
        temporary.write_text("published")
    os.link(path, name)
    with atomic_write(path, "tag") as temporary:
        temporary.write_text("half")
        assert path.read_text() == "published"

"""Input, shards and records that change or vanish: one helpful line, and no row is lost.

Every test ends with the same command, which must finish with the output of an undisturbed run.
"""

import re
import shutil
import subprocess

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from disturbed import ONE_SHARD, WORDS, finished, refused, running
from processes import rollout, wait_for

from rollout.store import frames

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
    """In a page of responses, which does not decide what is owed."""
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


@pytest.mark.parametrize("span", [slice(20_000, 20_100), slice(20_000, 20_001), slice(-50, -49)])
def test_a_damaged_log_is_reported_and_its_rows_are_generated_again(here, finishes, span):
    process = running(here, ONE_SHARD)
    log = here / "run" / "shards" / "00000000.log"
    wait_for(lambda: log.stat().st_size > 60_000)
    process.kill()
    finished(process)
    frames.cut(log, frames.read_frames(log)[1])  # the kill may have torn the last frame
    data = bytearray(log.read_bytes())
    data[span] = bytes(byte ^ 4 for byte in data[span])
    log.write_bytes(data)
    done = finishes(ONE_SHARD)
    assert f"{log} is damaged (" in done.stderr.replace("\n    ", " ")


# The run's records.


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
    """The directory counted as free, and a later launch used the old rows."""
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

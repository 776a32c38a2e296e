"""python -m rollout.prepare: every kind of source gives the same rows; bad rows are named."""

import gzip
import json

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from preparing import ROWS, lines, made, prompts, refusal

from rollout.config.sections.prepare import FileFormat, OnBadRow, Prepare
from rollout.prepare.prepare import prepare
from rollout.prepare.sources.source import Tally
from rollout.system.console import Console


def as_files():
    table = pa.Table.from_pylist(ROWS)
    lines(ROWS)
    with gzip.open("in.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in ROWS)
    with pa.CompressedOutputStream("in.jsonl.zst", "zstd") as file:
        file.write("\n".join(map(json.dumps, ROWS)).encode())
    with open("in.json", "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump(ROWS, file, indent=2)
    pcsv.write_csv(table, "in.csv")
    pq.write_table(table, "in.parquet")
    pyarrow.feather.write_feather(table, "in.feather")
    with pa.ipc.new_stream("in.arrow", table.schema) as writer:
        writer.write_table(table)
    return ["in.jsonl", "in.jsonl.gz", "in.jsonl.zst", "in.json", "in.csv", "in.parquet",
            "in.feather", "in.arrow"]  # fmt: skip


def test_every_format_gives_the_same_rows(here):
    for name in as_files():
        found = made(here, name, prompt_column="question")
        (here / "out.parquet").unlink()
        wanted = [{"prompt": [{"role": "user", "content": row["question"]}], **row} for row in ROWS]
        assert found == wanted, name


def test_a_glob_and_a_directory_read_all_files_in_order(here):
    (here / "d").mkdir()
    for name, row in zip(("b", "a", "c"), ROWS, strict=True):
        lines([row], f"d/{name}.jsonl")
    for source in ("d", "d/*.jsonl"):
        found = prompts(here, source, template="{{ level }}")
        (here / "out.parquet").unlink()
        assert found == ["5", "1", "3"]


def test_a_saved_dataset_is_read_with_its_splits_and_its_order(here):
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_list(ROWS)
    datasets.DatasetDict({"train": rows.select([2, 0]), "test": rows}).save_to_disk("saved")
    train = prompts(here, "saved", split="train", prompt_column="answer")
    assert train == ["x", "2"]
    (here / "out.parquet").unlink()
    assert "splits train, test. Did you mean 'train'?" in refusal(
        here, "saved", split="trian", prompt_column="answer"
    )


def test_a_hub_dataset_is_streamed(here, monkeypatch):
    datasets = pytest.importorskip("datasets")
    asked = {}

    def load_dataset(*words, **more):
        asked.update(more)
        rows = datasets.Dataset.from_list(ROWS).to_iterable_dataset()
        return datasets.IterableDatasetDict({"train": rows})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    found = made(here, "org/name", prompt_column="question", revision="v1", limit=2)
    assert asked == {"split": None, "revision": "v1", "streaming": True}
    assert [row["level"] for row in found] == [1, 5]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"q": "a"}\n\n{"q": \n', "in.jsonl, line 3: this line is not JSON"),
        ('{"q": "a"}\n[1]', "line 2: a row must be a JSON object, not [1]"),
        ('{"q": "a"}\n3', "line 2: a row must be a JSON object, not 3"),
        ('{"q": "\\ud83d"}', "line 1: this line's JSON escapes half a surrogate pair"),
        ("", "has no rows"),
        ("\n\n", "has no rows"),
    ],
)
def test_a_bad_line_is_named(here, text, wanted):
    (here / "in.jsonl").write_text(text)
    assert wanted in refusal(here, "in.jsonl", prompt_column="q")


def test_bad_rows_are_skipped_and_counted(here):
    (here / "in.jsonl").write_text('{"q": "a"}\n{"q":\n{"q": null}\n{"q": "b"}\n')
    settings = Prepare(source="in.jsonl", prompt_column="q", on_error=OnBadRow.skip)
    result = prepare(settings, here / "out.parquet", Console(quiet=True), here)
    assert (result.tally.num_read, result.tally.num_bad, result.tally.num_written) == (4, 2, 2)
    assert "bad, skipped         2" in str(result)


def test_a_missing_source_is_refused_with_a_suggestion(here):
    lines(ROWS)
    assert "Did you mean 'in.jsonl'?" in refusal(here, "im.jsonl")
    (here / "in.txt").write_text("x")
    assert "its format is unknown" in refusal(here, "in.txt")
    assert "is not a parquet file" in refusal(here, "in.jsonl", format=FileFormat.parquet)
    (here / "d").mkdir()
    assert "a directory without any of" in refusal(here, "d")


def test_a_list_in_json_is_read_piece_by_piece(here):
    import io

    from rollout.prepare.sources.json_rows import items

    rows = [{"q": '[{,]}\\" ' * 300, "i": i} for i in range(2000)]
    text = json.dumps(rows)
    assert len(text) > 3 << 20
    assert [row[2] for row in items(io.StringIO(text))] == rows
    (here / "in.json").write_text(text[:-2] + ", nonsense]")
    assert "in.json, line 1" in refusal(here, "in.json", prompt_column="q")


def test_the_tally_keeps_a_bounded_number_of_reasons():
    tally = Tally(skips=True)
    for number in range(2000):
        tally.bad("x", f"fault {number}")
    assert tally.num_bad == 2000 and len(tally.faults) == 1000


@pytest.mark.parametrize(
    "text",
    [
        '[{"question": "a"}][{"question": "b"}]',
        '[{"question": "a"}] garbage',
        '[{"question": "a"} {"question": "b"}]',
        '[{"question": "a"},]',
        '[,{"question": "a"}]',
    ],
)
def test_a_malformed_list_is_refused(here, text):
    """Text after the closing bracket was silently dropped, with exit code 0."""
    (here / "p.json").write_text(text)
    assert "p.json, line 1: " in refusal(here, "p.json", prompt_column="question")

"""python -m rollout.prepare: values stay exact or are errors of their row; splits all or none."""

import gzip
import json
import os

import pytest
from preparing import ROWS, lines, made, prompts, refusal

from rollout.config.sections.prepare import FileFormat, OnBadRow, Prepare
from rollout.errors import RolloutError, UserError
from rollout.prepare import output
from rollout.prepare.prepare import prepare
from rollout.prepare.sources.row_files import open_rows
from rollout.prepare.sources.source import Tally
from rollout.system.console import Console

MIXED = (1, 0.5, True, {"a": 1}, [1], ["x"], [[]], None, "")


@pytest.mark.parametrize("value", MIXED)
def test_a_prompt_of_another_type_among_texts_is_an_error_of_its_row(here, value):
    """A number among texts raised a traceback, even with on_error=skip."""
    source = lines([{"q": "a"}, {"q": value}, {"q": "b"}])
    message = refusal(here, source, prompt_column="q")
    assert "in.jsonl, line 2: " in message and message.endswith(
        "type on_error=skip to skip such rows"
    )
    found = made(here, source, prompt_column="q", on_error=OnBadRow.skip, deduplicate=True)
    assert [row["q"] for row in found] == ["a", "b"]


INEXACT = {
    '"q": "b"': "has the key 'q' twice",
    '"x": {"k": 1, "k": 2}': "has the key 'k' twice",
    '"x": 1e400': "holds 1e400, which is beyond a 64-bit float",
    '"x": [-1e999]': "holds -1e999",
    '"x": 1e-999': "would change to 0.0",
    '"x": 12345678901234567890.0': "would change to 1.2345678901234567e+19",
    '"x": NaN': "holds NaN",
    '"x": -Infinity': "holds -Infinity",
    '"x": "\\udc00"': "half a surrogate pair",
    '"x": 1' + "0" * 5000: "a number of 5,001 digits",
    '"x": "\udcff"': "not UTF-8 text: byte 0xff",
    '"x": "\1"': "nvalid control character",
}


@pytest.mark.parametrize("name", ["in.jsonl", "in.json"])
@pytest.mark.parametrize(("member", "reason"), INEXACT.items())
def test_a_value_that_can_not_be_kept_is_an_error_of_its_row(here, name, member, reason):
    """Python silently keeps the last of equal keys, reads 1e400 as inf, and rounds."""
    rows = ['{"q": "a"}', f'{{"q": "c", {member}}}', '{"q": "b"}']
    text = "[" + ",\n".join(rows) + "]" if name == "in.json" else "\n".join(rows)
    (here / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    message = refusal(here, name, prompt_column="q")
    assert f"{name}, line 2: " in message and reason in message
    found = made(here, name, prompt_column="q", on_error=OnBadRow.skip)
    assert [row["q"] for row in found] == ["a", "b"]


def test_numbers_and_texts_that_can_be_kept_are_kept_to_the_last_digit(here):
    kept = ["0.1", "1e22", "5e-324", "0.30000000000000004441", "-0.0", "0.10000000000000000000"]
    (here / "in.jsonl").write_text("".join(f'{{"q": "\\u0000", "x": {x}}}\n' for x in kept))
    found = made(here, "in.jsonl", prompt_column="q")
    assert [repr(row["x"]) for row in found] == [repr(float(x)) for x in kept]
    assert {row["q"] for row in found} == {"\0"}


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [x], lambda x: {"k": [x]}])
def test_true_beside_a_fraction_is_not_one(here, wrap):
    """Arrow silently made 1.0 of it, even with the fraction in another file."""
    (here / "d").mkdir()
    lines([{"q": "a", "x": wrap(0.5)}, {"q": "b", "x": wrap(True)}], "d/1.jsonl")
    lines([{"q": "c", "x": wrap(False)}], "d/2.jsonl")
    found = made(here, "d", prompt_column="q")
    assert [json.loads(row["x"]) for row in found] == [wrap(0.5), wrap(True), wrap(False)]


def test_line_ends_and_byte_order_marks_are_no_errors(here):
    text = '\ufeff{"q": "\u2028"}\r\n\r\n\ufeff{"q":\r"b\\r"}\r\n'
    (here / "in.jsonl").write_bytes(text.encode())
    assert prompts(here, "in.jsonl", prompt_column="q") == ["\u2028", "b\r"]


@pytest.mark.parametrize("name", ["in.jsonl", "in.json", "in.csv", "in.jsonl.gz", "in.csv.gz"])
@pytest.mark.parametrize("bad", [0, 1500, 2999])
def test_a_byte_that_is_not_text_is_an_error_of_its_row_only(here, name, bad):
    """It ended the job even with on_error=skip, and the message had a byte offset for the line."""
    texts = [f"é{i}" + "\udcff" * (i == bad) for i in range(3000)]
    if "csv" in name:
        text = "q\n" + "\n".join(texts)
    else:
        rows = [f'{{"q": "{text}"}}' for text in texts]
        text = "[" + ",\n".join(rows) + "]" if "jsonl" not in name else "\n".join(rows)
    data = text.encode("utf-8", "surrogateescape")
    (here / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    message = refusal(here, name, prompt_column="q")
    assert f"{name}, line {bad + 1 + ('csv' in name)}: not UTF-8 text: byte 0xff" in message
    found = made(here, name, prompt_column="q", on_error=OnBadRow.skip)
    assert [row["q"] for row in found] == [text for i, text in enumerate(texts) if i != bad]


def test_a_byte_between_the_items_of_a_list_is_an_error_of_one_of_them(here):
    text = b'[{"q": "a"}\xff,\n{"q": "b"},\n\xfe {"q": "c"}, {"q"\xfd: "d"}, {"q": "e"}]'
    (here / "in.json").write_bytes(text)
    assert "line 1: not UTF-8 text: byte 0xff between" in refusal(here, "in.json")
    found = made(here, "in.json", prompt_column="q", on_error=OnBadRow.skip)
    assert [row["q"] for row in found] == ["b", "e"]


def test_a_line_that_is_not_csv_costs_no_other_row(here):
    """An unclosed quote ended the job at the end of the file."""
    text = 'q,n\na,1\nb,"2\nc,3\nd,4,5\ne\n"f"g,1\n"h\ni",2\nj\0,3\n'
    (here / "in.csv").write_text(text)
    found = made(here, "in.csv", prompt_column="q", on_error=OnBadRow.skip)
    assert [row["q"] for row in found] == ["a", "c", "h\ni", "j\0"]
    (here / "out.parquet").unlink()
    assert "in.csv, line 3: not CSV" in refusal(here, "in.csv", prompt_column="q")
    (here / "in.csv").write_text("q,q\na,b\n")
    assert "line 1: two columns named 'q'" in refusal(here, "in.csv", on_error=OnBadRow.skip)


@pytest.mark.parametrize(
    "names",
    [["a/b", "c"], [".."], ["."], [""], [" "], ["a\0b"], ["a\tb"], ["x" * 300], ["train.parquet"],
     ["Train", "train"], ["STRASSE", "straße"], ["\udc80"]],
)  # fmt: skip
def test_a_split_that_no_file_can_be_named_after_is_refused_before_any_work(here, names):
    splits = {name: 1 / len(names) for name in names}
    message = refusal(here, "there is no such source", splits=splits)
    assert message.startswith("splits: ")


def test_of_the_splits_all_appear_or_none(here, monkeypatch):
    """The first stayed when the second could not be renamed."""
    write_parquet = output.write_parquet
    source = lines([{"q": str(i)} for i in range(9)])
    settings = Prepare(
        source=source, prompt_column="q", splits={"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}
    )

    def appear(path, *rest):
        if path.name.startswith(".out-c"):  # the last one
            (here / "out-a.parquet").write_text("mine")
        return write_parquet(path, *rest)

    monkeypatch.setattr(output, "write_parquet", appear)
    with pytest.raises(UserError, match=r"out-a.parquet has appeared meanwhile"):
        prepare(settings, here / "out.parquet", Console(quiet=True), here)
    assert [path.name for path in here.glob("*out*")] == ["out-a.parquet"]
    assert (here / "out-a.parquet").read_text() == "mine"


def test_a_few_shot_file_is_read_as_exactly_as_the_source(here):
    (here / "shots.jsonl").write_text('{"question": "a", "answer": 1, "answer": 2}')
    message = refusal(here, lines(ROWS), prompt_column="question", few_shot="shots.jsonl")
    assert "shots.jsonl, line 1: this line's JSON has the key 'answer' twice" in message
    assert "on_error" not in message


def test_a_source_that_is_touched_between_its_two_readings_has_not_changed(tmp_path):
    """A new mtime or inode alone ended it with `was changed meanwhile`."""
    path = tmp_path / "in.jsonl"
    path.write_text('{"q": "one"}\n')
    source = open_rows([path], FileFormat.jsonl, Tally())
    os.utime(path, (1, 1))
    assert [chunk.batch.to_pylist() for chunk in source.chunks()] == [[{"q": "one"}]]
    path.write_text('{"q": "two"}\n')
    with pytest.raises(RolloutError, match="was changed meanwhile"):
        list(source.chunks())

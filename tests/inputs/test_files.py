"""data.input: all ways to name files, and all kinds of files that are not parquet."""

from pathlib import Path

import pytest
from prompt_files import TEXTS, contents, refusal, write

from rollout.config.sections.data import Data
from rollout.errors import UserError
from rollout.inputs.files import reading, seal
from rollout.inputs.prompts import open_prompts

BAD_FILES = {
    b"": "it is empty",
    b"a,b\n1,2\n": "looks like CSV; convert it: pandas.read_csv('bad.x').to_parquet('bad.parquet')",
    b"a\tb\n1\t2\n": "CSV",
    b'{"prompt": "Hi"}\n': "looks like JSON lines; convert it: pandas.read_json",
    b'\n [{"prompt": "Hi"}]\n': "looks like JSON;",
    b"\x1f\x8b\x08aaaaaaaaaaa": "gzip",
    b"PK\3\4aaaaaaaaaaa": "zip",
    b"version https://git-lfs.github.com/spec/v1\n": "git lfs pull",
    b"<html></html>": "web page",
    b"PAR1" + b"x" * 99: "cut off",
    b"\0\1\2\3": "it starts with",
}


@pytest.mark.parametrize("data", BAD_FILES)
def test_a_file_that_is_not_parquet_is_refused_with_what_it_looks_like(tmp_path, data):
    path = tmp_path / "bad.x"
    path.write_bytes(data)
    assert f"{path} is not a parquet file" in refusal(path)
    assert BAD_FILES[data] in refusal(path)


@pytest.mark.parametrize("keep", [0.3, 0.99])
def test_a_parquet_file_cut_short_is_refused(tmp_path, keep):
    path = Path(write(tmp_path / "in.parquet", TEXTS))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    assert "is cut off (no footer)" in refusal(path)


def test_a_damaged_footer_is_refused(tmp_path):
    path = Path(write(tmp_path / "in.parquet", TEXTS))
    data = path.read_bytes()
    path.write_bytes(data[:-60] + b"\xff" * 52 + data[-8:])
    assert f"{path} can't be read: it is damaged" in refusal(path)


def test_an_error_of_the_system_is_reported_with_its_reason(tmp_path):
    with pytest.raises(UserError) as caught, reading(tmp_path, UserError):
        seal(tmp_path)
    assert str(caught.value) == f"{tmp_path} can't be read: Is a directory"


def test_an_input_that_is_not_set_says_what_to_type():
    assert "type data.input=FILE.parquet" in refusal(None)


def test_a_missing_file_is_refused_with_the_likely_one(tmp_path):
    write(tmp_path / "prompts.parquet", TEXTS)
    assert "Did you mean 'prompts.parquet'?" in refusal(tmp_path / "promts.parquet")
    assert "Its directory has: prompts.parquet" in refusal(tmp_path / "zzz")
    assert f"the directory {tmp_path / 'no'}" in refusal(tmp_path / "no" / "x.parquet")


def test_other_places_without_parquet_are_refused(tmp_path):
    assert "holds no *.parquet file" in refusal(tmp_path)
    assert "matches no file" in refusal(tmp_path / "*.parquet")
    assert "foo:// is not known" in refusal("foo://x/y.parquet")
    assert "no Python package 'nowhere'" in refusal("pkg://nowhere/x.parquet")
    assert "not a regular file" in refusal("/dev/null")
    assert "File name too long" in refusal("x" * 5000)


def test_a_directory_is_read_in_order_of_names_without_leftovers(tmp_path):
    for name in ["b.parquet", "a.parquet", "_old.parquet", ".part.parquet", "c/d.parquet", "x.csv"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, [name])
    (tmp_path / "_temporary").mkdir()
    write(tmp_path / "_temporary" / "e.parquet", ["e"])
    assert contents(tmp_path) == ["a.parquet", "b.parquet"]
    assert contents(tmp_path / "**" / "*d.parquet") == ["_old.parquet", "c/d.parquet"]
    assert contents(tmp_path / "[c]") == ["c/d.parquet"]


def test_a_path_is_relative_to_the_start_directory_or_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    tmp_path = tmp_path / "a [b]"
    tmp_path.mkdir()
    path = Path(write(tmp_path / "in[1].parquet", TEXTS))
    for text, start in [("in[1].parquet", tmp_path), ("*.parquet", tmp_path), ("~/a*/in*", None)]:
        assert open_prompts(Data(input=text), start).files == [path]


def test_a_directory_of_directories_says_how_to_read_them(tmp_path):
    (tmp_path / "2024").mkdir()
    write(tmp_path / "2024" / "a.parquet", ["a"])
    assert "/**/*.parquet'" in refusal(tmp_path)

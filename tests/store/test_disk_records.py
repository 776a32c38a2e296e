"""Damaged records of a run directory are refused by name, or made again."""

import json
import os
import sys

import pytest

from rollout.errors import UserError
from rollout.system.disk import read_json, read_record

REMEDY = "type resume=fresh"
DAMAGES = {
    "empty": lambda path: path.write_text(""),
    "torn": lambda path: path.write_text('{"rows": 3, "na'),
    "a list": lambda path: path.write_text("[1, 2]"),
    "null": lambda path: path.write_text("null"),
    "not UTF-8": lambda path: path.write_bytes(b"\xff\xfe{}"),
    "deep": lambda path: path.write_text("[" * 100_000),
    "a huge number": lambda path: path.write_text('{"rows": ' + "9" * 5000 + "}"),
    "a directory": lambda path: path.mkdir(),
    "a loop": lambda path: path.symlink_to(path.name),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a pipe": os.mkfifo,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_is_refused_by_name_and_never_treated_as_missing(tmp_path, damage):
    """A damaged fingerprint.json was treated as missing, so rows of two kinds could be mixed.
    A pipe in place of a record blocked forever."""
    path = tmp_path / "record.json"
    DAMAGES[damage](path)
    with pytest.raises(UserError) as refused:
        read_record(path, REMEDY)
    assert str(path) in str(refused.value) and str(refused.value).endswith(REMEDY)
    assert read_json(path) is None


def test_a_member_of_the_wrong_type_or_a_missing_one_is_damage(tmp_path):
    path = tmp_path / "record.json"
    path.write_text(json.dumps({"rows": True, "names": None}))
    with pytest.raises(UserError, match="'rows' can't be true"):
        read_record(path, REMEDY, rows=int)
    with pytest.raises(UserError, match="it has no 'cwd'"):
        read_record(path, REMEDY, {"cwd": str})
    assert read_record(path, REMEDY, names=(list, type(None)), other=str) is not None


def test_only_a_missing_file_counts_as_missing(tmp_path):
    (tmp_path / "file").write_text("")
    assert read_record(tmp_path / "record.json", REMEDY) is None
    assert read_record(tmp_path / "file" / "record.json", REMEDY) is None


def test_a_huge_number_is_damage_even_if_python_would_read_it(tmp_path):
    """`scorer=code` lifts Python's limit, for tests with integers of any length."""
    path = tmp_path / "record.json"
    DAMAGES["a huge number"](path)
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        with pytest.raises(UserError, match="JSON can't be read"):
            read_record(path, REMEDY)
    finally:
        sys.set_int_max_str_digits(limit)

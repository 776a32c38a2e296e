"""python -m rollout.prepare: a column's type for values of any kind; no number is rounded."""

import json

import pyarrow as pa
import pyarrow.feather
import pytest
from preparing import lines, made

from rollout.prepare.spool import Spool


def test_the_spool_gives_rows_of_every_type_in_any_order(here):
    columns = {
        "n": pa.array([1, 2, None]),
        "s": pa.array(["a", None, "ccc"], pa.string_view()),
        "d": pa.array(["x", "y", "x"]).dictionary_encode(),
        "l": pa.array([[{"a": 1}], [], None]),
    }
    batch = pa.RecordBatch.from_pydict(columns)
    with Spool(batch.schema, here) as spool:
        spool.fill(iter([batch, batch]))
        found = pa.Table.from_batches(spool.take([5, 0, 4, 1, 3, 2])).to_pylist()
    rows = batch.to_pylist() * 2
    assert found == [rows[i] for i in (5, 0, 4, 1, 3, 2)]
    assert not list(here.iterdir())


def test_ragged_rows_keep_every_value(here):
    rows = [{"q": "a", "x": 1, "m": {"k": 1}}] * 2000
    rows += [{"q": "b", "x": "one", "m": {"k": 2, "new": "v"}, "late": [1.5]}, {"q": "c", "e": {}}]
    found = made(here, lines(rows), prompt_column="q", keep=["x", "m", "late", "e"])
    assert [row["x"] for row in found[-3:]] == ["1", "one", None]
    assert found[-2]["m"] == {"k": 2, "new": "v"} and found[-2]["late"] == [1.5]
    assert found[-1]["e"] == "{}" and found[0]["e"] is None


def test_values_that_parquet_can_not_hold_become_json_text(here):
    deep = json.loads("[" * 200 + "1" + "]" * 200)
    wide = [{"q": "a", "wide": {f"k{i}": i}, "deep": deep} for i in range(300)]
    found = made(here, lines(wide), prompt_column="q")
    assert [json.loads(row["wide"]) for row in found] == [row["wide"] for row in wide]
    assert json.loads(found[0]["deep"]) == deep


def test_large_integers_are_never_rounded(here):
    numbers = [2**60 + 1, 0.5, 2**70]
    found = made(here, lines([{"q": "a", "n": n} for n in numbers]), prompt_column="q")
    assert [json.loads(row["n"]) for row in found] == numbers


def test_cells_of_csv_become_numbers_only_where_that_loses_nothing(here):
    (here / "in.csv").write_text("q,a,b,c\nx,1,0.5,007\ny,,1.5,8\n")
    found = made(here, "in.csv", prompt_column="q", keep=["a", "b", "c"])
    assert [(r["a"], r["b"], r["c"]) for r in found] == [(1, 0.5, "007"), (None, 1.5, "8")]


@pytest.mark.parametrize("cells", [["1", "0.5"], ["0.5", "1"]])
def test_a_column_of_csv_has_one_type_in_any_order(here, cells):
    (here / "p.csv").write_text("question,x\n" + "".join(f"q{c},{c}\n" for c in cells))
    assert sorted(row["x"] for row in made(here, "p.csv", prompt_column="question")) == [0.5, 1.0]


@pytest.mark.parametrize("cells", [["9007199254740993", "0.5"], ["0.5", "9007199254740993"]])
def test_an_integer_of_csv_that_a_fraction_would_round_stays_text(here, cells):
    (here / "p.csv").write_text("question,x\n" + "".join(f"q{c},{c}\n" for c in cells))
    assert sorted(row["x"] for row in made(here, "p.csv", prompt_column="question")) == sorted(
        cells
    )


def test_a_nested_integer_beside_fractions_in_another_file_is_not_rounded(here):
    (here / "d").mkdir()
    for name, number in (("1", "9007199254740993"), ("2", "1.5")):
        row = f'{{"question": "q", "x": {{"a": 9007199254740993, "b": {number}}}}}'
        (here / f"d/{name}.jsonl").write_text(row)
    assert "9007199254740993" in str(made(here, "d", prompt_column="question")[0]["x"])

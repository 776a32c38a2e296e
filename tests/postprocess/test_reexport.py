"""A scored file is exported in other formats without scoring it again."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rollout.postprocess.__main__ import main

ROW = {
    "prompt": "2 + 2?", "answer": "It is 4.\n#### 4", "responses": ["4", "5", "x"],
    "finish_reason": ["stop"] * 3, "scores": [1.0, 0.0, None],
    "verdicts": ["right", "wrong", "error"], "score_errors": [None, None, "too slow"],
    "extracted": ["4", "5", None], "compared_with": "4", "pass_rate": 0.5,
}  # fmt: skip


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Run the command over a scored file; return its exit code and output."""
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.Table.from_pylist([ROW] * 2), "scored.parquet")

    def typed(*words, source="scored.parquet"):
        with pytest.raises(SystemExit) as end:
            main([f"input={source}", *words])
        shown = capsys.readouterr()
        return end.value.code or 0, shown.out + shown.err

    return typed


@pytest.mark.parametrize(
    ("format", "found"),
    [
        ("sft", {"text": "2 + 2?4", "score": 1.0}),
        ("prompt_completion", {"prompt": "2 + 2?", "completion": "4", "score": 1.0}),
        ("grpo", {"prompt": "2 + 2?", "answer": "4"}),
        (
            "dpo",
            {"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}
            | {"score_chosen": 1.0, "score_rejected": 0.0},
        ),
    ],
)
def test_a_scored_file_is_exported_in_any_format_without_a_scorer(command, format, found):
    code, output = command(f"export.format={format}", "export.path=train.parquet")
    assert code == 0 and "pass@1" in output and "2 rows" in output
    assert pq.read_table("train.parquet").to_pylist() == [found] * 2


def test_the_estimates_of_a_scored_file_are_made_again(command, tmp_path):
    code, output = command("estimate.k=[2]")
    assert code == 0 and "pass@2" in output
    assert [path.name for path in tmp_path.iterdir()] == ["scored.parquet"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["output.path=x.parquet"], "output.path=x.parquet has no effect without scorer="),
        (["timeout_s=3"], "timeout_s=3.0 has no effect without scorer="),
        (["exact.ignore_case=true"], "exact.ignore_case=true has no effect"),
        (["prefix=second_"], "type prefix=''"),
        (["export.format=sft"], "export.path is not set"),
        (["export.format=sft", "export.path=scored.parquet", "export.overwrite=true"], "itself"),
        (["export.path=t.parquet"], "export.format=none"),
    ],
)
def test_settings_that_are_wrong_or_have_no_effect_are_refused(command, words, message):
    code, output = command(*words)
    assert code == 2 and message in output


def test_a_second_scoring_is_chosen_by_its_prefix(command):
    own = ("scores", "verdicts", "score_errors", "extracted", "compared_with", "pass_rate")
    second = {f"second_{name}": ROW[name] for name in own}
    second["second_verdicts"] = ["wrong", "right", "wrong"]
    second["second_scores"] = [0.0, 1.0, 0.0]
    pq.write_table(pa.Table.from_pylist([ROW | second]), "twice.parquet")
    words = ["export.format=sft", "export.path=train.parquet", "prefix=second_"]
    code, _ = command(*words, source="twice.parquet")
    assert code == 0 and pq.read_table("train.parquet")["text"].to_pylist() == ["2 + 2?5"]


def test_a_file_that_is_not_scored_is_refused_with_what_to_type(command):
    bare = {name: ROW[name] for name in ("prompt", "answer", "responses")}
    pq.write_table(pa.Table.from_pylist([bare]), "output.parquet")
    code, output = command("export.format=sft", "export.path=t.parquet", source="output.parquet")
    assert code == 2 and "type scorer=NAME" in output


def test_a_file_in_which_nothing_was_judged_is_counted_and_ends_with_1(command):
    none = {"scores": [None] * 3, "verdicts": ["error"] * 3, "pass_rate": None}
    pq.write_table(pa.Table.from_pylist([ROW | none]), "none.parquet")
    code, output = command(source="none.parquet")
    assert code == 1 and "all rows" in output and "judged right or wrong" in output


def test_an_empty_export_shows_the_table_and_says_what_dropped_the_rows(command, tmp_path):
    code, output = command("export.format=sft", "export.path=t.parquet", "select.min_chars=9")
    assert code == 2 and "pass@1" in output and "below select.min_chars=9" in output
    assert not (tmp_path / "t.parquet").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"verdicts": None}, "'verdicts' is null, but there are 3 responses"),
        ({"scores": None}, "'scores' is null"),
        ({"extracted": None}, "'extracted' is null"),
        ({"verdicts": ["right", "wrong"]}, "'verdicts' has 2 values, but there are 3"),
        ({"extracted": ["4", "5"]}, "'extracted' has 2 values"),
        ({"scores": [1.0, 0.0, None, 1.0]}, "'scores' has 4 values"),
        ({"responses": ["4", "5"]}, "'scores' has 3 values, but there are 2 responses"),
        ({"responses": None}, "there are 0 responses"),
        ({"verdicts": ["right", "rong", "error"]}, "'rong' for sample 1, which is not one of"),
        ({"verdicts": ["right", None, "error"]}, "null for sample 1"),
        ({"scores": [None, 0.0, None]}, "'scores' is null for sample 0, whose verdict is right"),
        ({"pass_rate": 50.0}, "'pass_rate' is 50.0"),
    ],
)
def test_a_row_whose_scored_columns_do_not_agree_is_refused_by_row_and_column(
    command, tmp_path, changed, message
):
    pq.write_table(pa.Table.from_pylist([ROW, ROW | changed]), "odd.parquet")
    code, output = command("export.format=sft", "export.path=t.parquet", source="odd.parquet")
    assert code == 2 and "row 1 of the scored rows" in output and message in output
    assert "score it again with scorer=" in output and "Traceback" not in output
    assert not (tmp_path / "t.parquet").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"scores": ["1", "0", "0"]}, "'scores' of scored.parquet holds list<element: string>"),
        ({"scores": 1.0}, "'scores' of scored.parquet holds double"),
        ({"verdicts": "right"}, "'verdicts' of scored.parquet holds string"),
        ({"verdicts": [1, 0, 0]}, "holds list<element: int64>, but a scoring writes a list of"),
        ({"extracted": [4.0, 5.0, None]}, "'extracted'"),
        ({"pass_rate": "0.5"}, "'pass_rate' of scored.parquet holds string"),
        ({"compared_with": 4}, "'compared_with'"),
        ({"responses": "4"}, "responses_key=responses"),
    ],
)
def test_scored_columns_of_other_types_are_refused_by_name_and_type(command, changed, message):
    pq.write_table(pa.Table.from_pylist([ROW | changed]), "scored.parquet")
    code, output = command()
    output = output.replace(f"{Path.cwd()}/", "")
    assert code == 2 and message in output and "Traceback" not in output


@pytest.mark.parametrize("nothing", [None, []])
def test_a_row_without_responses_is_accepted(command, nothing):
    names = ("responses", "finish_reason", "scores", "verdicts", "score_errors", "extracted")
    empty = ROW | dict.fromkeys(names, nothing) | {"compared_with": None, "pass_rate": None}
    pq.write_table(pa.Table.from_pylist([ROW, empty]), "some.parquet")
    code, output = command("export.format=sft", "export.path=t.parquet", source="some.parquet")
    assert code == 0 and pq.read_metadata("t.parquet").num_rows == 1
    pq.write_table(pa.Table.from_pylist([empty]), "none.parquet")
    code, output = command(source="none.parquet")
    assert code in (1, 2) and "Traceback" not in output


def test_scores_of_an_older_version_are_not_taken_for_what_was_compared(command):
    old = {name: value for name, value in ROW.items() if name != "compared_with"}
    pq.write_table(pa.Table.from_pylist([old]), "old.parquet")
    words = ["export.format=verl", "export.path=t.parquet"]
    code, output = command(*words, source="old.parquet")
    assert code == 2 and "export.answer_key=COLUMN" in output

"""The same prompts across points: matched by their text, with verdicts, within a size."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scored_sweep import scored_sweep
from sweep_points import answered, point

from rollout.report.script_json import script_json
from rollout.report.sweep.record import recorded_points
from rollout.report.sweep.side_by_side import (
    MAX_BYTES,
    MAX_POINTS,
    MAX_PROMPTS,
    MAX_RESPONSES,
    OTHER_ROWS,
    cut,
    side_by_side,
)


@pytest.fixture
def sweep_of_templates(typed):
    """The points of a sweep over two templates, and the column of responses in its table."""
    rows = {"context": ["CTX"] * 2, "question": ["q0", "q1"]}
    pq.write_table(pa.table(rows), typed.here / "in.parquet")
    typed("engine=scripted", "tracking=none", "data.input=in.parquet", "run_dir=s", "-m",
          "data.apply_chat_template=always", "data.system_prompt='Be kind.'",
          "data.template='Briefly: {{context}} {{question}}',"
          "'At length: {{context}} {{question}}'")  # fmt: skip
    assert typed.code == 0
    table = pq.read_table(typed.here / "s/sweep.parquet")
    return list(recorded_points(typed.here / "s").values()), table["responses"].to_pylist()


def texts(found, number, source=0):
    samples = found.prompts[number].samples[source]
    return None if samples is None else [sample.text for sample in samples]


def test_each_prompt_has_the_first_responses_of_each_point(tmp_path):
    prompts, replies = (
        [f"p{i}" for i in range(80)],
        [[f"{i}-{j}" for j in range(6)] for i in range(80)],
    )
    found = side_by_side([answered(tmp_path / n, prompts, replies, name=n) for n in "xy"], [])
    assert list(found.sources) == ["x", "y"] and len(found.prompts) == MAX_PROMPTS
    assert texts(found, 7, 1) == [f"7-{j}" for j in range(MAX_RESPONSES)]
    assert found.prompts[7].messages == [("", "p7")] and found.prompts[7].number == 7


def test_prompts_are_matched_by_text_and_equal_ones_by_their_order(tmp_path):
    one = answered(tmp_path / "a", ["p", "q", "q"], [["to p"], ["to q"], ["to q again"]])
    two = answered(tmp_path / "b", ["q", "q"], [["2 to q"], ["2 to q again"]])
    found = side_by_side([one, two], [])
    pairs = [(texts(found, i, 0), texts(found, i, 1)) for i in range(3)]
    assert pairs == [(["to q"], ["2 to q"]), (["to q again"], ["2 to q again"]), (["to p"], None)]


def test_rows_of_a_template_are_told_apart_by_all_its_columns(tmp_path):
    """By its first column alone, a left-out row shifted the answers of all rows after it."""
    questions = ["q0", "q1", "q2"]
    rows = {"context": ["CTX"] * 3, "question": questions}
    points = []
    for name, kept in (("a", [0, 1, 2]), ("b", [1, 2])):
        table = pa.table({k: [v[i] for i in kept] for k, v in rows.items()})
        answers = pa.array([[f"{name} to {questions[i]}"] for i in kept])
        pq.write_table(table.append_column("responses", answers), tmp_path / name)
        figures = {"output_path": str(tmp_path / name)}
        points.append(point(figures=figures, prompt_keys=["context", "question"]))
    found = side_by_side(points, [])
    assert [(texts(found, i, 0), texts(found, i, 1)) for i in range(3)] == [
        (["a to q1"], ["b to q1"]), (["a to q2"], ["b to q2"]), (["a to q0"], None)
    ]  # fmt: skip


def test_a_prompt_is_shown_as_each_point_asked_it(sweep_of_templates):
    """Sweep pages showed the template's first column, and one prompt for all points."""
    points, table = sweep_of_templates
    prompt = side_by_side(points, []).prompts[0]
    assert prompt.messages == [("system", "Be kind."), ("user", "Briefly: CTX q0")]
    assert prompt.others == (None, [("system", "Be kind."), ("user", "At length: CTX q0")])
    assert prompt.num_prompt_tokens is None  # they differ
    assert [p[0]["prompt"].split("user: ")[1] for p in table] == [
        "Briefly: CTX q0", "At length: CTX q0"
    ]  # fmt: skip


def test_responses_are_marked_against_the_reference_and_reasoning_is_apart(tmp_path):
    points = scored_sweep(tmp_path, [{"sampling.temperature": t} for t in ("0.2", "1.0")])
    found = side_by_side(points, [])
    prompt = found.prompts[3]
    assert prompt.reference == "6" and prompt.num_prompt_tokens == 31
    assert [role for role, _ in prompt.messages] == ["system", "user", "assistant", "user"]
    for sample in (s for mine in prompt.samples for s in mine):
        assert sample.verdict == ("right" if sample.extracted == "6" else "wrong")
        assert (sample.score == 1.0) == (sample.verdict == "right")
        assert sample.text.startswith("3 + 3 = ") and "step by step" in sample.reasoning
        assert sample.finish_reason in ("stop", "length") and sample.num_tokens >= 20


def test_a_run_s_own_tags_split_the_reasoning(tmp_path, monkeypatch):
    """They were only known of runs that publish a column made with them."""
    monkeypatch.chdir(tmp_path)
    one = answered(tmp_path / "a", ["p"], [["[why] so"]])
    one.run_dir.mkdir(parents=True)
    record = {"config": {"model": {"reasoning_tags": ["[", "]"]}}}
    (one.run_dir / "run.json").write_text(json.dumps(record))
    sample = side_by_side([one], []).prompts[0].samples[0][0]
    assert (sample.reasoning, sample.text) == ("why", " so")


def test_reasoning_that_the_prompt_opened_and_the_run_split_is_apart(tmp_path):
    rows = {"prompt": ["p"], "responses": [["never ended", "why / so"]],
            "is_reasoning_closed": [[False, True]], "reasoning": [[None, "why"]],
            "final_response": [[None, "so"]]}  # fmt: skip
    pq.write_table(pa.table(rows), tmp_path / "a")
    one = point(figures={"output_path": str(tmp_path / "a")})
    first, second = side_by_side([one], []).prompts[0].samples[0]
    assert (first.reasoning, first.text) == ("never ended", "")
    assert (second.reasoning, second.text) == ("why", "so")


def test_both_layouts_and_directories_show_the_same(tmp_path):
    wide = answered(tmp_path / "a", ["p", "q", "r"], [["1", "2"], [], ["3"]], prefix="my_")
    rows = {"prompt": ["p", "p", "q", "r"], "my_row": [4, 4, 5, 6],
            "my_sample_index": [0, 1, None, 0], "my_response": ["1", "2", None, "3"],
            "my_finish_reason": ["stop", "length", None, "stop"],
            "my_error": [None, None, "too long", None]}  # fmt: skip
    (tmp_path / "b").mkdir()
    pq.write_table(pa.table(rows).slice(0, 3), tmp_path / "b" / "1.parquet")
    pq.write_table(pa.table(rows).slice(3), tmp_path / "b" / "2.parquet")
    long = point(figures={"output_path": str(tmp_path / "b")}, prefix="my_")
    found = side_by_side([wide, long], [])
    assert [texts(found, i, 0) for i in range(3)] == [["1", "2"], [], ["3"]]
    assert [texts(found, i, 1) for i in range(3)] == [["1", "2"], [], ["3"]]
    assert [s.finish_reason for s in found.prompts[0].samples[1]] == ["stop", "length"]
    assert found.prompts[1].errors[1] == "too long"


def test_at_most_twelve_points_are_shown_and_the_best_is_one_of_them(tmp_path):
    points = [answered(tmp_path / f"{i}", ["p"], [[f"reply {i}"]], name=f"n{i}") for i in range(15)]
    found = side_by_side(points, [points[14], points[0]])
    assert list(found.sources) == [f"n{i}" for i in range(MAX_POINTS - 1)] + ["n14"]
    assert (
        texts(found, 0, MAX_POINTS - 1) == ["reply 14"] and "3 more points are left" in found.note
    )


def test_a_point_whose_file_can_not_be_read_is_named(tmp_path):
    fine, broken = (answered(tmp_path / n, ["p"], [["r"]], name=n) for n in "ab")
    Path(broken.figures["output_path"]).write_bytes(b"PAR1 and no more")
    found = side_by_side([fine, broken], [])
    assert list(found.sources) == ["a"] and "Not readable: b." in found.note
    assert side_by_side([broken, point(status="waiting")], []) is None


def test_without_its_scored_file_a_point_shows_its_output(tmp_path):
    points = scored_sweep(tmp_path, [{"sampling.temperature": "0.2"}])
    (points[0].run_dir / "scored.parquet").unlink()
    found = side_by_side(points, [])
    assert found.prompts[0].samples[0][0].verdict == "" and found.prompts[0].reference is None


def test_long_and_hostile_texts_are_cut_until_all_fit(tmp_path):
    evil = "<\u4e2d\u202e\x00</script>" * 4000
    points = [answered(tmp_path / f"{i}", [f"{i} {evil}" for i in range(60)],
              [[evil] * 4] * 60, name=f"n{i}") for i in range(MAX_POINTS)]  # fmt: skip
    found = side_by_side(points, [])
    assert len(script_json(found).encode()) < MAX_BYTES * 1.3
    assert "characters are cut in the middle" in found.note and len(found.prompts) > 1


def test_a_cut_keeps_the_beginning_and_the_end_and_says_how_much_is_gone():
    text = "a" * 900 + "b" * 900
    assert cut(text, 300) == "a" * 200 + "\n… 1,500 characters left out …\n" + "b" * 100
    assert cut("short", 300) == "short"


def test_a_text_that_is_cut_is_marked_so_that_its_copy_button_says_so(tmp_path):
    long = "x" * 1_000_000
    found = side_by_side([answered(tmp_path / "a", [long, "q"], [["short", long], ["r"]])], [])
    first, second = found.prompts
    assert (first.is_cut, second.is_cut) == (True, False)
    assert [sample.is_cut for sample in first.samples[0]] == [False, True]


def test_points_over_other_inputs_have_numbers_of_their_own_and_it_is_said(tmp_path):
    """Two prompts had the number 0, so a link opened the wrong one."""
    one = answered(tmp_path / "a", ["p", "q"], [["1"], ["2"]])
    two = answered(tmp_path / "b", ["r", "s", "q"], [["3"], ["4"], ["5"]])
    found = side_by_side([one, two], [])
    assert [prompt.number for prompt in found.prompts] == [0, 1, 2, 3]
    assert OTHER_ROWS in found.note and found.num_rows >= 4
    same = side_by_side([one, answered(tmp_path / "c", ["p", "q"], [["6"], ["7"]])], [])
    assert OTHER_ROWS not in same.note


def test_odd_prompts_and_scores_stop_nothing(tmp_path):
    bad = pa.array([b"\xff\xfe", b"[]", b'[{"role": "user"}]']).view(pa.string())
    done = answered(tmp_path / "a", bad, [["1"], None, [None]])
    found = side_by_side([done], [])
    json.loads(script_json(found))
    assert [p.messages for p in found.prompts] == [[], [("", "[]")], [("", '[{"role": "user"}]')]]

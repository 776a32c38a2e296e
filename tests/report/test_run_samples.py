"""The sample browser of a run: finished, interrupted, moved, or without its input."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rollout.errors import UserError
from rollout.report.page import PromptView
from rollout.report.run.page import page_of
from rollout.report.samples import browser_of_run

WORDS = ("engine=scripted", "tracking=none", "data.input=in.parquet", "sampling.n_samples=2")


def plain(answer: str) -> dict:
    return {"answer": answer}


def in_verls_layout(answer: str) -> dict:
    return {"reward_model": {"style": "rule", "ground_truth": answer}}


def with_gym_entry(answer: str) -> dict:
    entry = {"answer": answer, "metadata": {"source_dataset": "chain_sum"}}
    return {"reasoning_gym_entry": json.dumps(entry)}


def ran(typed, *words, num_rows=6, layout=plain) -> Path:
    """Run over questions 0, 1, ... with answers 0, 1, ... and return the run's directory."""
    rows = [{"prompt": f"question {i}"} | layout(f"{i}") for i in range(num_rows)]
    pq.write_table(pa.Table.from_pylist(rows), "in.parquet")
    typed(*WORDS, "run_dir=run", *words)
    return Path("run").absolute()


def unfinished(run_dir: Path) -> Path:
    """Make a run look as if it had been killed before it published."""
    for name in ("summary.json", "published.json", "output.parquet"):
        (run_dir / name).unlink()
    return run_dir


def views(run_dir: Path, *must_have: int) -> list[PromptView]:
    return browser_of_run(run_dir, must_have).prompts


@pytest.mark.parametrize("layout", [plain, in_verls_layout, with_gym_entry])
def test_an_unfinished_run_shows_what_its_output_would(typed, layout):
    run_dir = ran(typed, layout=layout)
    finished = views(run_dir)
    assert len(finished) == 6 and finished[3].reference == "3"
    assert views(unfinished(run_dir)) == finished


@pytest.mark.parametrize("is_finished", [True, False])
def test_rows_are_numbered_as_in_the_input(typed, is_finished):
    run_dir = ran(typed, "data.offset=2", "data.limit=3")
    found = views(run_dir if is_finished else unfinished(run_dir))
    assert [view.number for view in found] == [2, 3, 4]
    assert [view.messages for view in found] == [[("", f"question {i}")] for i in (2, 3, 4)]


@pytest.mark.parametrize("layout", ["per_prompt", "per_sample"])
def test_failed_rows_are_here_with_their_reason_or_left_out_as_in_the_output(typed, layout):
    words = ("engine.scripted.refuse='question 1'", f"output.layout={layout}")
    shown = views(ran(typed, *words))
    assert "refuses" in shown[1].errors[0] and shown[1].samples == [[]]
    shutil.rmtree("run")
    skipped = views(ran(typed, *words, "data.on_error=skip"))
    assert [view.number for view in skipped] == [0, 2, 3, 4, 5]


@pytest.mark.parametrize("is_finished", [True, False])
def test_prompts_are_shown_as_the_run_asked_them(typed, is_finished):
    run_dir = ran(typed, "data.template='Q: {{ answer }}'", "data.system_prompt='Be brief.'")
    found = views(run_dir if is_finished else unfinished(run_dir))
    assert found[4].messages == [("system", "Be brief."), ("user", "Q: 4")]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda path: path.unlink(), "in.parquet does not exist"),
        (lambda path: pq.write_table(pa.table({"prompt": ["new"] * 6}), path), "has changed"),
        (lambda path: path.write_text("no"), "not a parquet file"),
    ],
)
def test_without_the_input_an_unfinished_run_says_why_there_are_no_prompts(typed, change, reason):
    run_dir = unfinished(ran(typed))
    change(Path("in.parquet"))
    text = views(run_dir)[0].messages[0][1]
    assert text.startswith("(not readable: ") and reason in text
    assert len(views(run_dir)[0].samples[0]) == 2


def test_an_output_that_was_replaced_is_not_taken_for_the_run_s(typed):
    run_dir = ran(typed)
    finished = views(run_dir)
    pq.write_table(pa.table({"other": [1]}), run_dir / "output.parquet")
    assert views(run_dir) == finished
    assert "has no such column" in browser_of_run(run_dir).note


def test_a_moved_run_shows_its_rows(typed):
    finished = views(ran(typed))
    Path("run").rename("elsewhere")
    assert views(Path("elsewhere").absolute()) == finished


def test_the_run_s_tags_split_the_reasoning(typed):
    run_dir = ran(typed, "model.reasoning_tags=['0','1']")
    assert any(sample.reasoning for view in views(run_dir) for sample in view.samples[0])


def test_a_scored_run_shows_verdicts_and_sections_with_the_input_s_numbers(typed):
    words = ("postprocess.scorer=exact", "postprocess.workers=1", "data.offset=2")
    run_dir = ran(typed, *words)
    assert {sample.verdict for view in views(run_dir) for sample in view.samples[0]} == {"wrong"}
    section = next(s for s in page_of(run_dir).sections if s.title == "Length and score")
    points = section.blocks[0]
    assert sorted(points.series[0].labels) == ["row 2", "row 3", "row 4", "row 5"]


def test_a_run_s_page_stays_whole_whatever_its_scored_file_and_figures_hold(typed, monkeypatch):
    run_dir = ran(typed, "postprocess.scorer=exact", "postprocess.workers=1")
    figures = json.loads((run_dir / "scored.json").read_text())
    figures["groups"][0]["solved"] = "x"
    (run_dir / "scored.json").write_text(json.dumps(figures))
    scores = next(s for s in page_of(run_dir).sections if s.title == "Scores")
    assert "counted anew" in scores.blocks[0].text

    monkeypatch.setattr("rollout.report.run.page.sections_from", lambda scores: 1 / 0)
    scores = next(s for s in page_of(run_dir).sections if s.title == "Scores")
    assert scores.blocks[0].text.startswith(
        "They can't be read: unexpected error, by a damaged record or"
    )


def test_a_run_without_scores_has_no_sections_of_scores(typed):
    titles = {section.title for section in page_of(ran(typed)).sections}
    assert not titles & {"Scores", "Verdicts"}


def test_a_directory_without_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no run"):
        browser_of_run(tmp_path)


def test_a_run_without_any_row_shows_none(typed):
    run_dir = unfinished(ran(typed))
    shutil.rmtree(run_dir / "shards")
    assert browser_of_run(run_dir).prompts == []


def test_the_input_s_own_responses_do_not_hide_the_scores_of_a_run(typed):
    """The page said that the scores can't be read, since there were two columns of responses."""
    columns = {"prompt": ["q"], "answer": ["a"], "old_responses": [["a"]]}
    pq.write_table(pa.table(columns), "in.parquet")
    scoring = ("postprocess.scorer=exact", "postprocess.workers=1")
    typed(*WORDS, "run_dir=run", "output.prefix=new_", *scoring)
    sections = {section.title: section for section in page_of(Path("run")).sections}
    assert "Verdicts" in sections

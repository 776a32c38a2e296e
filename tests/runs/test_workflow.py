"""Prepare, generate, score: as three commands and as one run, scripted and on real vLLM."""

import json

import pandas as pd
import pytest
from processes import run_module

GYM = ["source=reasoning_gym", "task=chain_sum", "size=6", "seed=1"]
IN_RUN = [f"prepare.{word}" for word in GYM]
SCORED = [
    "postprocess.scorer=regex", "postprocess.regex.pattern=(stone|river)",
    "postprocess.regex.match_only=true",
]  # fmt: skip
SMALL = ["engine=scripted", "tracking=none", "sampling.n_samples=4"]


def table(path):
    return pd.read_parquet(path)


def test_one_run_prepares_answers_and_scores(typed):
    typed(*SMALL, *IN_RUN, *SCORED, "run_dir=r")
    assert typed.code == 0, (typed.errors, typed.notes)
    run = typed.here / "r"
    assert len(table(run / "prompts.parquet")) == 6
    scored = table(run / "scored.parquet")
    hits = [["stone" in t or "river" in t for t in row] for row in scored["responses"]]
    assert [[bool(s) for s in row] for row in scored["scores"]] == hits
    scores = json.loads((run / "summary.json").read_text())["scores"]
    assert scores["pass@1"] == pytest.approx(sum(map(sum, hits)) / 24)


def test_a_scored_run_typed_again_is_finished_and_another_scorer_needs_no_engine(typed):
    typed(*SMALL, *IN_RUN, *SCORED, "run_dir=r")
    typed(*SMALL, *IN_RUN, *SCORED, "run_dir=r")
    assert "no engine was started" in typed.out and "pass@1" in typed.out
    typed(*SMALL, *IN_RUN, "postprocess.scorer=exact", "run_dir=r")
    assert typed.code == 0 and "published again" in typed.out
    assert "chosen" not in typed.out and typed.here.joinpath("r/scored.json").exists()


def test_a_scored_file_that_is_gone_is_made_again(typed):
    typed(*SMALL, *IN_RUN, *SCORED, "run_dir=r")
    (typed.here / "r/scored.parquet").unlink()
    typed(*SMALL, *IN_RUN, *SCORED, "run_dir=r")
    assert (typed.here / "r/scored.parquet").exists()


def test_more_problems_are_appended_to_the_run_that_answered_fewer(typed):
    typed(*SMALL, *IN_RUN, "run_dir=r")
    before = table(typed.here / "r/output.parquet")
    typed(*SMALL, *IN_RUN, "prepare.size=9", "run_dir=r")
    assert typed.code == 0, typed.errors
    after = table(typed.here / "r/output.parquet")
    assert len(after) == 9
    assert after["responses"][:6].map(list).equals(before["responses"].map(list))


def test_other_problems_are_refused_and_the_first_ones_stay(typed):
    typed(*SMALL, *IN_RUN, "run_dir=r")
    before = (typed.here / "r/prompts.parquet").read_bytes()
    typed(*SMALL, *IN_RUN, "prepare.seed=2", "run_dir=r")
    assert typed.code == 2 and "another prompt" in typed.errors[-1]
    assert (typed.here / "r/prompts.parquet").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["postprocess.scorer=maths"], "Did you mean 'math'"),
        (["postprocess.scorer=exact", "postprocess.answer_key=anwser"], "Did you mean 'answer'"),
        (["postprocess.scorer=regex", "postprocess.regex.pattern=("], "regex.pattern"),
        ([*SCORED, "output.layout=per_sample"], "output.layout"),
        (["prepare.task=chain_sums"], "chain_sum"),
        (["data.input=x.parquet"], "leave one out"),
        (["postprocess.input=x.parquet"], "python -m rollout.postprocess input=x.parquet"),
    ],
)
def test_what_can_not_be_prepared_or_scored_is_refused_before_any_work(typed, words, message):
    typed(*SMALL, *IN_RUN, *words, "run_dir=r")
    assert typed.code == 2 and message in typed.errors[-1]
    assert not (typed.here / "r" / "run.json").exists()


def test_a_mistyped_answer_column_is_refused_with_the_runs_key_and_the_inputs_columns(typed):
    typed(*SMALL, *IN_RUN, "postprocess.scorer=exact", "postprocess.answer_key=zzz", "run_dir=r")
    error = typed.errors[-1]
    assert "postprocess.answer_key=zzz" in error and "Type postprocess.answer_key=COLUMN" in error
    assert "answer" in error and "responses" not in error and "finish_reason" not in error


def test_an_impossible_threshold_is_refused_with_the_runs_key(typed):
    typed(*SMALL, *IN_RUN, "postprocess.scorer=exact", "postprocess.pass_threshold=7", "run_dir=r")
    assert typed.code == 2 and "postprocess.pass_threshold=1" in typed.errors[-1]


def test_a_sweep_prepares_once_and_its_table_has_the_scores(typed):
    typed(*SMALL, *IN_RUN, *SCORED, "run_dir=s", "-m", "sampling.temperature=0.5,1.0")
    assert typed.code == 0, (typed.errors, typed.notes)
    assert len(list((typed.here / "s/prompts").glob("*.parquet"))) == 1
    points = table(typed.here / "s/sweep.parquet")
    assert points["pass@1"].between(0, 1).all() and points["pass@4"].notna().all()
    assert points["objective"].equals(points["pass@1"])


def test_a_dry_run_prepares_nowhere(typed):
    typed(*SMALL, *IN_RUN, *SCORED, "run_dir=r", "dry_run=true")
    assert typed.code == 0 and "6 rows x 4 samples" in typed.out
    assert typed.files() == set()


def test_an_empty_export_is_reported_when_all_else_is_done(typed):
    never = [*SCORED, "postprocess.regex.pattern=never there"]
    typed(*SMALL, *IN_RUN, *never, "postprocess.export.format=sft", "run_dir=r")
    assert typed.code == 1 and "would be empty" in typed.errors[-1]
    assert "loosen postprocess.select.*" in typed.errors[-1]
    assert (typed.here / "r/summary.json").exists() and (typed.here / "r/scored.parquet").exists()


@pytest.mark.vllm
def test_three_commands_lead_from_problems_to_training_data(tmp_path, tiny_model):
    """The workflow as separate commands with parquet files between them."""
    import datasets

    run_module("rollout.prepare", *GYM, "output.path=prompts.parquet", cwd=tmp_path)
    model = ["model=custom", f"model.model_path={tiny_model}", "engine=cpu"]
    few = ["engine.kv_cache_gib=0.5", "sampling.n_samples=4", "sampling.max_tokens=16"]
    where = ["data.input=prompts.parquet", "output.path=output.parquet", "run_dir=r"]
    run_module("rollout", *model, *few, *where, "tracking=none", cwd=tmp_path)
    score = ["input=output.parquet", "scorer=python", "python.function=score.py:vowels"]
    (tmp_path / "score.py").write_text(
        "def vowels(response, row):\n    return any(c in 'aeiou' for c in response)\n"
    )
    export = ["export.format=sft", "export.path=train.parquet", "select.finished=false"]
    where = ["output.path=scored.parquet"]
    done = run_module("rollout.postprocess", *score, *export, *where, cwd=tmp_path)
    assert "pass@4" in done.stdout
    train = datasets.load_dataset("parquet", data_files=str(tmp_path / "train.parquet"))["train"]
    assert {m["role"] for m in train[0]["messages"]} == {"user", "assistant"}
    scored = table(tmp_path / "scored.parquet")
    assert len(train) <= sum(map(sum, scored["scores"])) and len(scored) == 6


def test_scores_never_replace_a_file_of_another(typed):
    theirs = typed.here / "theirs.parquet"
    theirs.write_bytes(b"theirs")
    where = f"postprocess.output.path={theirs}"
    typed(*SMALL, *IN_RUN, *SCORED, where, "run_dir=r")
    assert typed.code == 2 and "already exists" in typed.errors[-1]
    assert theirs.read_bytes() == b"theirs" and not (typed.here / "r/run.json").exists()


def test_scores_elsewhere_are_made_again_by_the_run_that_made_them(typed):
    where = "postprocess.output.path=mine.parquet"
    typed(*SMALL, *IN_RUN, *SCORED, where, "run_dir=r")
    typed(*SMALL, *IN_RUN, *SCORED, where, "run_dir=r", "prepare.size=9")
    assert typed.code == 0, typed.errors
    assert len(table(typed.here / "mine.parquet")) == 9


def test_two_points_never_score_into_one_file(typed):
    where = "postprocess.output.path=mine.parquet"
    typed(*SMALL, *IN_RUN, *SCORED, where, "run_dir=s", "-m", "sampling.temperature=0.5,1.0")
    assert typed.code == 2 and "is the same for the points" in typed.errors[-1]


ASK_SO = ["data.template=Q: {{ question }}", "data.system_prompt=Add."]
ANY = ["postprocess.scorer=python", "postprocess.python.function=any.py:right"]


def test_an_export_of_a_run_and_of_its_directory_holds_the_prompts_that_were_asked(typed):
    (typed.here / "any.py").write_text("def right(response, row):\n    return 1\n")
    export = ["postprocess.export.format=sft", "postprocess.select.finished=false"]
    typed(*SMALL, *IN_RUN, *ASK_SO, *ANY, *export, "run_dir=r")
    assert typed.code == 0, (typed.errors, typed.notes)
    row = table(typed.here / "r/scored.parquet").iloc[0]
    asked = [("system", "Add."), ("user", f"Q: {row['question']}")]
    where = ["output.path=again.parquet", "export.path=again-sft.parquet"]
    words = ["input=r", "scorer=python", "python.function=any.py:right", "export.format=sft"]
    run_module("rollout.postprocess", *words, *where, "select.finished=false", cwd=typed.here)
    for path in ("r/train.parquet", "again-sft.parquet"):
        messages = table(typed.here / path)["messages"][0]
        assert [(m["role"], m["content"]) for m in messages[:-1]] == asked


def test_an_output_that_pandas_wrote_again_is_exported_as_its_run_asked(typed):
    """pandas drops the schema's metadata, but the run's record is next to the file."""
    (typed.here / "any.py").write_text("def right(response, row):\n    return 1\n")
    system = "Add both numbers, with care, and then say in one word what they come to. " * 2
    typed(*SMALL, *IN_RUN, f"data.system_prompt={system.strip()}", "run_dir=r")
    table(typed.here / "r/output.parquet").to_parquet(typed.here / "r/output.parquet")
    words = ["input=r", "scorer=python", "python.function=any.py:right", "output.path=s.parquet"]
    export = ["export.format=sft", "export.path=t.parquet", "select.finished=false"]
    run_module("rollout.postprocess", *words, *export, cwd=typed.here)
    assert table(typed.here / "t.parquet")["messages"][0][0]["content"] == system.strip()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["postprocess.export.format=sft", "postprocess.export.max_pairs=2"], "only on dpo"),
        (["postprocess.select.passed=false"], "type postprocess.export.format=sft"),
        (["postprocess.export.format=sft", "postprocess.export.keep=[nothing]"], "'nothing'"),
        (["postprocess.export.format=sft", "postprocess.export.few_shot=true"], "no effect"),
        (["postprocess.export.path=x.parquet"], "export.format=none"),
    ],
)
def test_an_impossible_export_is_refused_before_anything_is_generated(typed, words, message):
    typed(*SMALL, *IN_RUN, *SCORED, *words, "run_dir=r")
    assert typed.code == 2 and message in typed.errors[-1]
    assert not (typed.here / "r" / "run.json").exists()

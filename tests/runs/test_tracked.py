"""What whole runs and sweeps leave with wandb, on the scripted engine; read with wandb's tool."""

import json

import pandas as pd
import pytest
from wandb_runs import artifact_of, history_of, records_of, runs_under, summary_of, table_of

from rollout import vllm_rollout
from rollout.errors import UserError
from rollout.runs.attempt import Attempt

pytestmark = pytest.mark.usefixtures("home")
MATCHES = {
    "postprocess.scorer": "regex",
    "postprocess.regex.pattern": "(stone|river)",
    "postprocess.regex.match_only": True,
}


def answered(run_dir, **more):
    given = {"data": "example", "engine": "scripted", "n_samples": 3, "quiet": True} | more
    return vllm_rollout(run_dir=run_dir, **given)


def test_a_whole_run_leaves_its_config_throughput_lengths_and_table(tmp_path):
    summary = answered(tmp_path / "run")
    (run,) = runs_under(tmp_path / "run")
    seen = summary_of(run)
    assert seen["config"]["sampling"]["n_samples"] == 3
    num_tokens = summary.figures["num_output_tokens"]
    assert seen["summary"]["speed/num_output_tokens"] == num_tokens
    assert history_of(run, "speed/output_tokens_per_s")
    lengths = seen["summary"]["quality/response_tokens"]
    assert sum(lengths["values"]) == 8 * 3 and len(lengths["bins"]) == len(lengths["values"]) + 1
    table = table_of(run)
    assert len(table["data"]) == 8 * 3 and "score" not in table["columns"]
    assert seen["tags"] == ["engine=scripted", "n=3", "input=prompts.parquet"]
    assert not [a for a in records_of(run, "artifact") if a["type"] == "responses"]


def test_a_scored_run_shows_each_sample_with_its_score_and_reference(tmp_path):
    rows = {"prompt": ["one", "two"], "answer": ["stone", "\x00\u202e"]}
    pd.DataFrame(rows).to_parquet(tmp_path / "in.parquet")
    answered(
        tmp_path / "run", data="default", input_parquet=tmp_path / "in.parquet",
        **{"postprocess.scorer": "exact", "postprocess.answer_key": "answer",
           "postprocess.prefix": "my_", "engine.scripted.text": "stone", "output.prefix": "o_"},
    )  # fmt: skip
    (run,) = runs_under(tmp_path / "run")
    table = table_of(run)
    found = pd.DataFrame(table["data"], columns=table["columns"])
    assert list(found["score"]) == [1.0] * 3 + [0.0] * 3
    assert list(found["verdict"]) == ["right"] * 3 + ["wrong"] * 3
    assert found["extracted"].notna().all() and list(found["reference"])[3:] == ["\x00\u202e"] * 3
    assert summary_of(run)["summary"]["scores/pass@1"] == 0.5


def test_rows_left_out_of_the_output_do_not_shift_the_scores(tmp_path):
    """Failed rows that on_error=skip leaves out are in no scored file; their scores are empty."""
    rows = {"prompt": ["one", "poison", "two"], "answer": ["x", "x", "stone"]}
    pd.DataFrame(rows).to_parquet(tmp_path / "in.parquet")
    answered(
        tmp_path / "run", data="default", input_parquet=tmp_path / "in.parquet",
        **{"postprocess.scorer": "exact", "postprocess.answer_key": "answer",
           "data.on_error": "skip", "engine.scripted.refuse": "poison",
           "engine.scripted.text": "stone"},
    )  # fmt: skip
    (run,) = runs_under(tmp_path / "run")
    table = table_of(run)
    found = pd.DataFrame(table["data"], columns=table["columns"])
    assert list(found["row"]) == [0] * 3 + [2] * 3
    assert list(found["score"]) == [0.0] * 3 + [1.0] * 3


def test_an_artifact_holds_the_output_its_scores_and_the_summary(tmp_path):
    answered(
        tmp_path / "run",
        **MATCHES,
        **{"tracking.artifact": True, "output.path": tmp_path / "a.parquet"},
    )
    (run,) = runs_under(tmp_path / "run")
    files = artifact_of(run)["files"]
    assert files.keys() == {"output.parquet", "scored.parquet", "scored.json", "summary.json"}
    assert len(pd.read_parquet(files["output.parquet"].open("rb"))) == 8
    assert json.loads(files["summary.json"].read_text())["scores"]["num_judged"] == 24


def test_an_artifact_holds_each_file_of_a_directory(tmp_path):
    answered(tmp_path / "run", **{"tracking.artifact": True, "output.partition_rows": 5})
    (run,) = runs_under(tmp_path / "run")
    names = artifact_of(run)["files"].keys()
    assert len([name for name in names if name.endswith(".parquet")]) == 2
    assert all(name.startswith("output/") for name in names - {"summary.json"})


def test_an_output_on_a_store_is_refused_as_an_artifact(tmp_path):
    given = {"output.path": "s3://bucket/a.parquet", "tracking.artifact": True}
    with pytest.raises(UserError, match=r"output.path=s3://bucket/a.parquet is on a store"):
        answered(tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()


def test_a_finished_run_says_that_it_sends_no_artifact(typed):
    words = ["data=example", "engine=scripted", "sampling.n_samples=1", "run_dir=x"]
    typed(*words)
    done = typed(*words, "tracking.artifact=true")
    assert done.code == 0 and len(runs_under(typed.here / "x")) == 1
    command = "wandb artifact put --type responses --name rollout/x "
    assert any(command in note for note in done.notes), done.notes


def test_figures_are_sent_after_publishing_and_before_the_end(tmp_path, monkeypatch):
    from PIL import Image

    Image.new("RGB", (8, 4)).save(tmp_path / "one.png")
    publish = Attempt.publish

    def and_draw(attempt, stop):
        summary = publish(attempt, stop)
        attempt.track_images({"throughput": tmp_path / "one.png"})
        return summary

    monkeypatch.setattr(Attempt, "publish", and_draw)
    answered(tmp_path / "run")
    (run,) = runs_under(tmp_path / "run")
    seen = summary_of(run)
    assert seen["summary"]["figures/throughput"]["_type"] == "image-file"
    assert seen["summary"]["speed/num_rows"] == 8 and seen["exit_code"] == 0


def test_a_run_that_fails_ends_in_wandb_with_its_error(typed):
    done = typed("data=example", "engine=scripted", "run_dir=x", "data.on_error=fail",
                 "engine.scripted.refuse=colours")  # fmt: skip
    assert done.code == 1
    (run,) = runs_under(typed.here / "x")
    seen = summary_of(run)
    assert seen["exit_code"] == 1 and "colours" in seen["summary"]["run/error"]


def test_an_export_that_fails_after_publishing_keeps_the_runs_figures(typed):
    done = typed("data=example", "engine=scripted", "run_dir=x", "postprocess.scorer=regex",
                 "postprocess.regex.pattern=zzzz", "postprocess.regex.match_only=true",
                 "postprocess.export.format=sft")  # fmt: skip
    assert done.code == 1, done.errors
    seen = summary_of(runs_under(typed.here / "x")[0])["summary"]
    assert seen["speed/num_rows"] == 8 and "run/error" not in seen


def test_the_runs_of_a_sweep_share_a_group_and_differ_in_config_and_name(typed):
    done = typed("data=example", "engine=scripted", "run_dir=s", "sampling.n_samples=1", "-m",
                 "sampling.temperature=0.5,1.0")  # fmt: skip
    assert done.code == 0, done.errors
    seen = {}
    for value in (0.5, 1.0):
        (run,) = runs_under(typed.here / f"s/temperature={value}")
        (record,) = records_of(run, "run")
        read = summary_of(run)
        assert (record["run_group"], record["job_type"]) == ("s", "rollout")
        seen[read["name"]] = read["config"]["sampling"]["temperature"]
    assert seen == {"temperature=0.5": 0.5, "temperature=1.0": 1.0}

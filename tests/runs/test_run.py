"""The whole path on the scripted engine: files in, files out."""

import json
import os

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from processes import rollout

from rollout import vllm_rollout
from rollout.errors import RolloutError, UserError

SCRIPTED = {"engine": "scripted", "tracking": "none", "quiet": True}


def write(path, prompts, **columns):
    pd.DataFrame({"prompt": prompts, **columns}).to_parquet(path)
    return path


def run(tmp_path, prompts, **settings):
    source = write(tmp_path / "in.parquet", prompts, id=range(len(prompts)))
    settings = SCRIPTED | settings
    return vllm_rollout(input_parquet=source, run_dir=tmp_path / "run", **settings)


def test_the_output_is_the_input_with_n_responses_a_row(tmp_path):
    summary = run(tmp_path, [f"question {i}" for i in range(500)], n_samples=3)
    frame = pd.read_parquet(summary.output_path)
    assert list(frame["id"]) == list(range(500))
    assert frame["responses"].map(len).eq(3).all()
    assert frame["error"].isna().all()
    assert (summary.num_rows, summary.num_failed, summary.num_samples) == (500, 0, 1500)


def test_every_original_column_keeps_its_type_and_the_schema_its_metadata(tmp_path):
    table = pa.table(
        {
            "prompt": pa.array(["a", "b"], pa.large_string()),
            "kind": pa.array(["x", "y"]).dictionary_encode(),
            "when": pa.array([1, 2], pa.timestamp("us", "UTC")),
            "tags": pa.array([["p"], None], pa.list_(pa.string())),
        }
    ).replace_schema_metadata({"made by": "me"})
    pq.write_table(table, tmp_path / "in.parquet")
    out = vllm_rollout(input_parquet=tmp_path / "in.parquet", run_dir=tmp_path / "run", **SCRIPTED)
    back = pq.read_table(out.output_path)
    assert back.select(table.column_names).equals(table)
    assert back.schema.metadata[b"made by"] == b"me"


def test_bad_rows_say_why_and_harm_no_neighbour(tmp_path):
    prompts = ["good", "", None, "too " * 5000, "good too"]
    frame = pd.read_parquet(run(tmp_path, prompts, n_samples=2).output_path)
    assert list(frame["error"].notna()) == [False, True, True, True, False]
    assert list(frame["responses"].map(len)) == [2, 0, 0, 0, 2]
    assert "null" in frame["error"][2]
    assert "max_model_len" in frame["error"][3]


def test_bad_rows_can_be_left_out(tmp_path):
    out = run(tmp_path, ["a", None, "b"], on_error="skip").output_path
    assert list(pd.read_parquet(out)["id"]) == [0, 2]


def test_a_bad_row_can_end_the_run_and_is_named(tmp_path):
    with pytest.raises(RolloutError, match=r"row 1 failed: .*null.*data.on_error=record"):
        run(tmp_path, ["a", None, "b"], on_error="fail")


def test_a_run_whose_rows_all_fail_does_not_count_as_done(tmp_path):
    assert run(tmp_path, ["", None]).exit_code == 1


def test_the_same_seed_gives_the_same_responses_and_another_seed_others(tmp_path):
    texts = []
    for name, seed in (("a", 42), ("b", 42), ("c", 7)):
        (tmp_path / name).mkdir()
        summary = run(tmp_path / name, ["one", "two", "one"], seed=seed)
        texts.append([list(r) for r in pd.read_parquet(summary.output_path)["responses"]])
    assert texts[0] == texts[1] != texts[2]
    assert texts[0][0] != texts[0][2]  # equal prompts, different rows


def test_a_single_row_gets_the_responses_it_has_in_the_whole_file(tmp_path):
    source = write(tmp_path / "in.parquet", [f"q {i}" for i in range(100)])
    whole, alone = (
        pd.read_parquet(
            vllm_rollout(
                input_parquet=source, run_dir=tmp_path / name, **more, **SCRIPTED
            ).output_path
        )
        for name, more in (("whole", {}), ("alone", {"offset": 41, "limit": 1}))
    )
    assert list(alone["responses"][0]) == list(whole["responses"][41])


def test_a_random_subset_keeps_the_order_of_the_input(tmp_path):
    prompts = [f"q {i}" for i in range(200)]
    ids = list(pd.read_parquet(run(tmp_path, prompts, limit=20, shuffle_seed=1).output_path)["id"])
    assert ids == sorted(ids) != list(range(20))
    assert len(set(ids)) == 20


def test_without_a_seed_each_run_differs(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    a, b = (run(tmp_path / d, ["one"] * 5, seed=None, columns=["seed"]) for d in "ab")
    a, b = pd.read_parquet(a.output_path), pd.read_parquet(b.output_path)
    assert list(a["responses"][0]) != list(b["responses"][0])
    assert pd.isna(a["seed"][0][0])


def test_the_run_directory_records_what_ran_and_how_fast(tmp_path):
    summary = run(tmp_path, ["a"] * 300)
    record = json.loads((summary.run_dir / "run.json").read_text())
    figures = json.loads((summary.run_dir / "summary.json").read_text())
    lines = (summary.run_dir / "attempts/1/metrics.jsonl").read_text().splitlines()
    assert record["fingerprint"]["sampling.temperature"] == 1.0
    assert record["input"]["num_rows"] == 300
    assert figures["num_samples"] == 2400
    assert figures["output_tokens_per_s"] > 0
    assert json.loads(lines[-1])["num_rows"] == 300


def test_starting_over_moves_the_old_run_aside(tmp_path):
    run(tmp_path, ["a"])
    run(tmp_path, ["b"], resume="fresh")
    assert (tmp_path / "run.old-1" / "output.parquet").exists()


@pytest.mark.parametrize("where", ["there.parquet", "in.parquet", "."])
def test_an_output_path_in_use_is_refused_before_work(tmp_path, where):
    (tmp_path / "there.parquet").write_text("precious")
    with pytest.raises(UserError, match=r"output\.path"):
        run(tmp_path, ["a"], output_parquet=tmp_path / where)
    assert (tmp_path / "there.parquet").read_text() == "precious"


def test_the_input_is_never_overwritten_even_with_overwrite(tmp_path):
    with pytest.raises(UserError, match="input itself"):
        run(tmp_path, ["a"], output_parquet=tmp_path / "in.parquet", overwrite=True)


def test_an_output_among_the_inputs_is_refused_since_the_next_run_would_read_it(tmp_path):
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / "a.parquet", ["a"])
    for where in (tmp_path / "data", tmp_path / "data" / "*.parquet"):
        write(tmp_path / "data" / "b.parquet", ["b"])
        with pytest.raises(UserError, match="lies among the input files"):
            out = tmp_path / "data" / "out.parquet"
            vllm_rollout(input_parquet=where, output_parquet=out, **SCRIPTED)


def test_an_output_can_be_rolled_out_again_under_a_prefix(tmp_path):
    first = run(tmp_path, ["a", "b"]).output_path
    again = {"input_parquet": first, "run_dir": tmp_path / "again"}
    with pytest.raises(UserError, match=r"output\.prefix"):
        vllm_rollout(**again, **SCRIPTED)
    second = vllm_rollout(**again, prefix="second_", **SCRIPTED).output_path
    assert {"responses", "second_responses"} <= set(pd.read_parquet(second).columns)


def test_every_output_column_that_exists_can_be_chosen(tmp_path):
    from rollout.rows.columns import COLUMNS

    frame = pd.read_parquet(run(tmp_path, ["a", None], columns=[*COLUMNS]).output_path)
    assert set(COLUMNS) <= set(frame.columns)


def test_a_prompt_that_is_not_utf8_fails_alone(tmp_path):
    import numpy as np

    bad = pa.StringArray.from_buffers(
        2, pa.py_buffer(np.array([0, 1, 2], np.int32)), pa.py_buffer(b"a\xff")
    )
    pq.write_table(pa.table({"prompt": bad}), tmp_path / "in.parquet")
    out = vllm_rollout(
        input_parquet=tmp_path / "in.parquet", run_dir=tmp_path / "run", **SCRIPTED
    ).output_path
    assert [e is None for e in pq.read_table(out)["error"].to_pylist()] == [True, False]


def test_secrets_in_free_settings_are_written_nowhere(tmp_path):
    write(tmp_path / "in.parquet", ["a"])
    words = (
        "engine.extra={hf_token:SEKRET}", "model.chat_template_kwargs.api_key=SEKRET",
        "sampling.extra={a:{password:SEKRET}}", "engine.extra.access-token=SEKRET",
        "engine.extra.headers.authorization=SEKRET", "engine.extra.tokens=[SEKRET]",
        "data.input=in.parquet", "engine=scripted", "tracking=wandb", "run_dir=run",
    )  # fmt: skip
    done = rollout(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    files = [f for f in (tmp_path / "run").rglob("*") if f.is_file()]
    assert not [f for f in files if b"SEKRET" in f.read_bytes()]


def test_calls_from_threads_wait_for_each_other(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    source = write(tmp_path / "in.parquet", ["a", "b"])

    def one(name):
        return vllm_rollout(input_parquet=source, run_dir=tmp_path / name, **SCRIPTED).num_rows

    with ThreadPoolExecutor() as pool:
        assert list(pool.map(one, "abc")) == [2, 2, 2]


@pytest.mark.parametrize("name", ["out.csv", "pipe", "n" * 240])
def test_an_output_that_can_not_be_a_parquet_file_is_refused_before_work(tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match=r"output\.path"):
        run(tmp_path, ["a"], output_parquet=tmp_path / name, overwrite=True)


def test_starting_over_refuses_to_move_its_own_input_aside(tmp_path):
    first = run(tmp_path, ["a"]).output_path
    again = {"input_parquet": first, "run_dir": tmp_path / "run", "prefix": "x_"}
    with pytest.raises(UserError, match="aside with the old run"):
        vllm_rollout(**again, resume="fresh", output_parquet=tmp_path / "o.parquet", **SCRIPTED)
    assert first.exists()


def test_model_output_can_not_steer_the_terminal(tmp_path):
    write(tmp_path / "in.parquet", ["\x1b[31mred \x1b]0;title\x07 \u202e"])
    done = rollout("data.input=in.parquet", "engine=scripted", "tracking=none", cwd=tmp_path)
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout

"""Whole runs on real vLLM."""

import json
import signal

import numpy as np
import pandas as pd
import psutil
import pytest
from processes import rollout, start, wait_for
from tiny_model import words

pytestmark = pytest.mark.vllm
N = 2


def string_rows():
    prompts = [f"Frage {i}: was ist {i} plus {i}? 你好 🙂" for i in range(100)]
    prompts[17], prompts[42], prompts[99] = "", None, "far too long " * 500
    return pd.DataFrame({"prompt": prompts, "answer": [2 * i for i in range(100)]})


def chat_rows():
    def turns(i):
        chat = [{"role": "system", "content": "Be brief."}] * (i % 2)
        chat += [{"role": "user", "content": f"Hello {i}"}]
        chat += [{"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "Go"}] * (
            i % 3
        )
        return np.array(chat, dtype=object)

    prompts = [turns(i) for i in range(100)]
    prompts[3], prompts[50] = np.array([], dtype=object), None
    prompts[98] = np.array([{"role": "user", "content": "long " * 500}], dtype=object)
    return pd.DataFrame({"prompt": prompts, "weight": np.linspace(0, 1, 100)})


@pytest.mark.parametrize(("rows", "bad"), [(string_rows, [17, 42, 99]), (chat_rows, [3, 50, 98])])
def test_a_file_from_pandas_keeps_its_rows_and_bad_ones_say_why(typed, tiny_model, rows, bad):
    frame = rows()
    frame.to_parquet(typed.here / "in.parquet")
    typed("data.input=in.parquet", "run_dir=run", *words(tiny_model))
    assert typed.code == 0, typed.errors
    before = pd.read_parquet(typed.here / "in.parquet")
    after = pd.read_parquet(typed.here / "run" / "output.parquet")
    assert list(after.columns[: len(frame.columns)]) == list(frame.columns)
    for column in frame.columns:
        assert after[column].map(str).equals(before[column].map(str))
    assert list(after.index[after["error"].notna()]) == bad
    assert [len(r) for r in after["responses"]] == [0 if i in bad else N for i in range(100)]
    assert "max_model_len" in after["error"][bad[2]]


def test_one_process_can_run_twice_and_repeats_itself(typed, tiny_model):
    string_rows().head(20).to_parquet(typed.here / "in.parquet")
    again = "engine.max_num_batched_tokens=1024,2048"  # two engines, one after the other
    sweep = "-m", "data.input=in.parquet", "run_dir=runs", again
    assert typed(*sweep, *words(tiny_model)).code == 0, typed.errors
    points = (typed.here / f"runs/max_num_batched_tokens={n}" for n in (1024, 2048))
    one, two = (pd.read_parquet(point / "output.parquet") for point in points)
    assert one["responses"].map(list).equals(two["responses"].map(list))


def test_sigterm_ends_a_real_run_in_seconds_and_leaves_no_process(tmp_path, tiny_model):
    pd.DataFrame({"prompt": [f"q {i}" for i in range(20_000)]}).to_parquet(tmp_path / "in.parquet")
    process = start("data.input=in.parquet", "run_dir=run", *words(tiny_model), cwd=tmp_path)
    wait_for(lambda: list((tmp_path / "run" / "shards").glob("*")), timeout_s=180)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 143
    assert "rows are finished and on disk" in errors
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def broken(tiny_model, directory, **config):
    import shutil

    shutil.copytree(tiny_model, directory)
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return directory


REMOTE = {
    "model_type": "mine",
    "architectures": ["Mine"],
    "auto_map": {"AutoConfig": "configuration_mine.Mine"},
}


@pytest.mark.parametrize(
    ("config", "more", "message"),
    [
        (REMOTE, {}, "model.trust_remote_code=true"),
        ({"architectures": ["MartianForCausalLM"]}, {}, "MartianForCausalLM"),
        ({"hidden_size": 96}, {}, "don't fit config.json"),
        ({}, {"engine.max_model_len": 5000}, "engine.max_model_len=512"),
        ({}, {"engine.extra.max_num_sequences": 3}, "max_num_seqs"),
        ({}, {"sampling.extra.min_pp": 3}, "min_p"),
    ],
)
def test_an_unloadable_model_is_one_line(typed, tmp_path, tiny_model, config, more, message):
    model = broken(tiny_model, tmp_path / "model", **config)
    string_rows().head(2).to_parquet(typed.here / "in.parquet")
    typed("data.input=in.parquet", *words(model, **more))
    assert typed.code == 2 and len(typed.errors) == 1, typed.errors
    assert message in typed.errors[0]
    assert "Traceback" not in "".join([typed.out, *typed.notes])


def test_in_a_process_of_its_own_a_refusal_is_one_line_too(tmp_path, tiny_model):
    """Here the libraries write to the process's own streams, which `typed` would not see."""
    model = broken(tiny_model, tmp_path / "model", hidden_size=96)
    string_rows().head(2).to_parquet(tmp_path / "in.parquet")
    done = rollout("data.input=in.parquet", *words(model), cwd=tmp_path)
    lines = [line for line in done.stderr.splitlines() if line.startswith("rollout:")]
    assert done.returncode == 2 and len(lines) == 1, done.stderr
    assert "don't fit config.json" in lines[0]
    assert "Traceback" not in done.stderr + done.stdout

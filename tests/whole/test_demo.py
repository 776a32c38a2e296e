"""The first command of the README: the embedded model answers the example prompts."""

import json

import pandas as pd
import pytest
from processes import rollout

pytestmark = pytest.mark.vllm


def test_the_demo_answers_in_english_on_screen_and_on_disk(tmp_path):
    done = rollout("tracking=none", "run_dir=demo", cwd=tmp_path, timeout=600)
    assert done.returncode == 0, done.stderr
    frame = pd.read_parquet(tmp_path / "demo" / "output.parquet")
    capital = frame.loc[frame["prompt"].str.contains("capital of France"), "responses"].iloc[0]
    assert sum("Paris" in response for response in capital) >= 3
    assert frame["responses"].map(len).eq(4).all()
    assert "output tokens/s" in done.stdout
    assert str(tmp_path / "demo" / "output.parquet") in done.stdout
    assert "experiment=demo" in done.stderr
    figures = json.loads((tmp_path / "demo" / "summary.json").read_text())
    assert figures["engine"]["name"] == "vllm"

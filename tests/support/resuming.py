"""A run to resume, in the directory x, on the scripted engine: its input and its contents."""

import json

import pandas as pd

SCRIPTED = ("engine=scripted", "tracking=none", "data.input=in.parquet", "run_dir=x")


def write(here, count=40, changed=(), start="question"):
    prompts = [f"{start} {i}" + " changed" * (i in changed) for i in range(count)]
    pd.DataFrame({"prompt": prompts, "id": range(count)}).to_parquet(here / "in.parquet")


def responses(here, run="x"):
    return [list(r) for r in pd.read_parquet(here / run / "output.parquet")["responses"]]


def summary(here, run="x"):
    return json.loads((here / run / "summary.json").read_text())

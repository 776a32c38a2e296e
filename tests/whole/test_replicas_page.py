"""docs/replicas.md: its commands compose, and drivers over ranges of rows make one file."""

import re
import shlex

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from processes import ROOT

TEXT = (ROOT / "docs/replicas.md").read_text()
SCRIPTED = ["engine=scripted", "tracking=none"]
RANGES = re.findall(r"^python -m rollout (.*data\.limit=.*)$", TEXT, re.MULTILINE)


@pytest.fixture
def prompts(typed):
    table = pd.DataFrame({"prompt": [f"prompt {i}" for i in range(2000)], "id": range(2000)})
    table.to_parquet(typed.here / "prompts.parquet")


def test_two_drivers_over_halves_make_the_file_of_one_run(typed, prompts):
    assert len(RANGES) == 2
    for words in RANGES:
        typed(*shlex.split(words), *SCRIPTED)
        assert typed.code == 0, typed.errors
    exec(re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)[1], {})
    typed("data.input=prompts.parquet", "run_dir=one", *SCRIPTED)
    parts = pq.read_table(typed.here / "output.parquet")
    one = pq.read_table(typed.here / "one/output.parquet")
    assert parts.num_rows == 2000 and parts.equals(one, check_metadata=True)


def test_ranges_are_points_of_a_sweep_too(typed, prompts):
    words = re.search(r"`(run_dir=runs/parts .*?)`", TEXT)[1]
    typed("data.input=prompts.parquet", *shlex.split(words), *SCRIPTED)
    assert typed.code == 0, typed.errors
    parts = [typed.here / f"runs/parts/offset={i}/output.parquet" for i in (0, 1000)]
    ids = [i for part in parts for i in pd.read_parquet(part)["id"]]
    assert ids == list(range(2000))


def test_every_setting_on_the_page_exists():
    named = set(re.findall(r"\b(?:scale|engine|data|output)\.[a-z_]+(?:\.[a-z_]+)?\b", TEXT))
    known = set(re.findall(r"^\| `([\w.]+)` \|", (ROOT / "docs/settings.md").read_text(), re.M))
    known |= {"output.parquet", "engine.log"}
    extra = {name for name in named if name.startswith("engine.extra.")}
    assert {"scale.address", "scale.num_replicas"} <= named - extra <= known


def test_the_manifest_names_what_kuberay_needs():
    manifest = yaml.safe_load(re.search(r"```yaml\n(.*?)```", TEXT, re.DOTALL)[1])
    cluster = manifest["spec"]["rayClusterSpec"]
    assert manifest["kind"] == "RayJob" and cluster["authOptions"] == {"mode": "token"}
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        container = group["template"]["spec"]["containers"][0]
        volumes = {volume["name"] for volume in group["template"]["spec"]["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes

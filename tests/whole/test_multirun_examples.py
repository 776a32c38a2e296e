"""multirun_examples/: the commands in each file's header run, on the scripted engine."""

import json
import os
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
import yaml
from swept import num_loads

EXAMPLES = Path(__file__).resolve().parents[2] / "multirun_examples"
# Number of points of the first command in each header.
NUM_POINTS = {
    "temperature_diversity": 4,
    "n_samples_cost": 5,
    "greedy_or_sampled": 3,
    "thinking_or_not": 2,
    "engine_presets": 5,
    "max_num_seqs": 3,
    "models_side_by_side": 3,
    "optuna_throughput": 5,
    "optuna_diversity": 8,
    "slurm_array": 3,
}
IS_STUDY = {"optuna_throughput", "optuna_diversity"}
ON_ONE_ENGINE = {
    "temperature_diversity", "n_samples_cost", "greedy_or_sampled", "optuna_diversity",
}  # fmt: skip
# Points with different engine presets keep all of their settings but the backend.
SCRIPTED = ["engine.backend=scripted", "tracking=none"]


def header(name):
    """Return the lines of the comment at the top of the file."""
    lines = (EXAMPLES / f"experiment/{name}.yaml").read_text().splitlines()
    end = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    return [line.removeprefix("#").strip() for line in lines[:end]]


def commands(name):
    """Return the words of each command in the header, with paths that work from anywhere."""
    typed = [line for line in header(name) if line.startswith("python -m rollout ")]
    words = [shlex.split(line)[3:] for line in typed]
    return [[str(EXAMPLES) if w == "multirun_examples" else w for w in line] for line in words]


VARIATIONS = [
    (name, i) for name in NUM_POINTS if name != "slurm_array" for i in range(1, len(commands(name)))
]


@pytest.fixture
def prompts(typed):
    """Write the file that the variations name, in the directory where they are typed."""
    table = pd.DataFrame({"prompt": [f"prompt {i}" for i in range(4)]})
    table.to_parquet(typed.here / "prompts.parquet")


def table(typed, run_dir="s"):
    return pd.read_parquet(typed.here / run_dir / "sweep.parquet")


# The files and their headers.


def test_every_example_is_counted_here_and_listed_in_the_readme():
    files = {file.stem for file in EXAMPLES.glob("experiment/*.yaml")}
    assert files == set(NUM_POINTS)
    text = (EXAMPLES / "README.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == files


@pytest.mark.parametrize("name", NUM_POINTS)
def test_a_header_asks_a_question_and_says_its_command(name):
    lines = header(name)
    assert lines[0] == "@package _global_" and lines[1].endswith("?")
    assert lines[3].startswith(
        f"python -m rollout --config-dir multirun_examples -m experiment={name}"
    )
    assert all(f"experiment={name}" in words for words in commands(name))
    assert any(line.startswith("Needs: ") for line in lines)


# On the scripted engine.


@pytest.mark.parametrize("name", sorted(NUM_POINTS.keys() - {"slurm_array"}))
def test_an_example_runs_as_it_stands_and_makes_its_table(typed, name):
    typed(*commands(name)[0], *SCRIPTED, "run_dir=s")
    assert typed.code == 0, (typed.errors, typed.notes)
    found = table(typed)
    assert len(found) == NUM_POINTS[name] and set(found["status"]) == {"done"}
    assert found["num_rows"].eq(8).all() and found["is_best"].sum() <= 1
    assert num_loads(typed) == 1 or name not in ON_ONE_ENGINE


@pytest.mark.parametrize(("name", "i"), VARIATIONS)
def test_a_variation_composes(typed, prompts, name, i):
    """A study cannot be tried with dry_run, since its next trial depends on the last."""
    short = ["hydra.sweeper.n_trials=2"] if name in IS_STUDY else ["dry_run=true"]
    typed(*commands(name)[i], *SCRIPTED, "run_dir=s", *short)
    assert typed.code == 0, (typed.errors, typed.notes)
    if name in IS_STUDY:
        assert len(table(typed)) == 2 and set(table(typed)["status"]) == {"done"}


def test_values_that_belong_together_are_set_together(typed):
    typed(*commands("thinking_or_not")[0], *SCRIPTED, "run_dir=s")
    found = {}
    for mode in ("thinking", "not_thinking"):
        config = json.loads((typed.here / f"s/mode={mode}/run.json").read_text())["config"]
        template, sampling = config["model"]["chat_template_kwargs"], config["sampling"]
        found[mode] = template["enable_thinking"], sampling["temperature"], sampling["max_tokens"]
    assert found == {"thinking": (True, 0.6, 4096), "not_thinking": (False, 0.7, 4096)}


def test_the_scoring_of_the_readme_runs_on_what_its_command_leaves(typed, capsys):
    text = (EXAMPLES / "README.md").read_text()
    typed(*commands("temperature_diversity")[0], *SCRIPTED, "run_dir=runs/temps")
    assert "experiment=temperature_diversity run_dir=runs/temps" in text
    exec(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], {})
    scored = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert scored[0] == ["pass@1", "pass@2", "pass@4", "pass@8"] and len(scored) == 5
    assert scored[1] == ["temperature=0.3", "0.0", "0.0", "0.0", "0.0"]  # random words


# A fake Slurm: scripts that run an array's jobs on this machine.

SBATCH = """#!/bin/sh
cp "$1" submitted.sh
for i in 0 1 2; do
  SLURM_JOB_ID=7 SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=$i sh submitted.sh > slurm-$i.out 2>&1 &
done
echo Submitted batch job 7
"""
SRUN = """#!/bin/sh
export SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_NTASKS=1 SLURM_JOB_NUM_NODES=1
while [ "$1" != "${1#--}" ]; do [ "$1" = --unbuffered ] || shift; shift; done
exec "$@"
"""
SACCT = "#!/bin/sh\necho 'JobID|State|NodeList'\necho '7_[0-2]|RUNNING|here'\n"


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    for name, script in (("sbatch", SBATCH), ("srun", SRUN), ("sacct", SACCT)):
        (tmp_path / "slurm" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "slurm" / name).write_text(script)
        (tmp_path / "slurm" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/slurm:{os.environ['PATH']}")


def test_slurm_array_composes_in_all_its_variations(typed):
    for words in commands("slurm_array"):
        single = [w for w in words if w != "-m" and not w.startswith("data.offset=")]
        typed(*single, *SCRIPTED, "--cfg", "hydra")
        assert typed.code == 0, typed.errors
        launcher = yaml.safe_load(typed.out)["hydra"]["launcher"]
        assert launcher["_target_"].endswith("SlurmLauncher") and launcher["gpus_per_node"] == 1


def test_slurm_array_hands_in_one_array_and_makes_its_table(typed, cluster):
    typed(*commands("slurm_array")[0], *SCRIPTED, f"run_dir={typed.here}/s")
    assert typed.code == 0, (typed.errors, typed.notes)
    assert set(table(typed)["point"]) == {f"model=qwen3_{size}" for size in ("4b", "8b", "14b")}
    assert set(table(typed)["status"]) == {"done"}
    handed_in = (typed.here / "submitted.sh").read_text()
    for line in ("array=0-2%3", "partition=gpu", "gpus-per-node=1", "mem=64GB", "time=60"):
        assert f"#SBATCH --{line}\n" in handed_in


# On real vLLM.


@pytest.fixture
def small(tiny_model):
    model = ["model=custom", f"model.model_path={tiny_model}", "engine=cpu", "tracking=none"]
    size = ["engine.kv_cache_gib=0.5", "sampling.n_samples=4", "sampling.max_tokens=8"]
    return [*model, *size, "run_dir=s"]


@pytest.mark.vllm
def test_temperatures_share_one_engine_and_greedier_ones_repeat_themselves(typed, small):
    typed(*commands("temperature_diversity")[0], *small, "sampling.temperature=0.01,2.0")
    assert typed.code == 0, (typed.errors, typed.notes)
    found = table(typed)
    assert num_loads(typed) == 1 and set(found["status"]) == {"done"}
    assert found["distinct_fraction"].is_monotonic_increasing and found["is_best"].iloc[1]


@pytest.mark.vllm
def test_max_num_seqs_is_measured_on_an_engine_of_its_own(typed, small):
    typed(*commands("max_num_seqs")[0], *small, "engine.max_num_seqs=2,32")
    assert typed.code == 0, (typed.errors, typed.notes)
    found = table(typed)
    assert num_loads(typed) == 2 and set(found["status"]) == {"done"}
    assert found["mean_response_tokens"].eq(8).all()  # ignore_eos: the same work

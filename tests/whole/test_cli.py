"""The command line: run directories, help, dry runs, and how the process ends."""

import json
import subprocess
import sys

import pytest
import yaml
from processes import environment, rollout

from rollout.config.settings import keys

SCRIPTED = ("engine=scripted", "tracking=none")
KEYS = keys()
HEAVY = {"torch", "vllm", "pandas", "wandb", "transformers"}


# What works.


@pytest.mark.parametrize("key", ["run_dir", "hydra.run.dir"])
def test_the_run_directory_can_be_named_either_way(typed, prompts, key):
    typed(*SCRIPTED, f"data.input={prompts}", f"{key}=runs/first")
    assert typed.code == 0 and json.loads((typed.here / "runs/first/summary.json").read_text())
    assert {name.split("/")[0] for name in typed.left} == {"runs"}


@pytest.mark.parametrize(("key", "more"), [("hydra.run.dir", ()), ("hydra.sweep.dir", ("-m",))])
def test_two_run_directories_are_refused(typed, prompts, key, more):
    """One of them was used, without a word about the other."""
    words = f"data.input={prompts}", "run_dir=a", f"{key}=b", *more
    assert f"run_dir= and {key}= name the same directory" in typed.refused(*SCRIPTED, *words)


def test_by_default_runs_stand_under_outputs_by_date_and_time_and_never_collide(typed, prompts):
    for _ in range(2):
        typed(*SCRIPTED, f"data.input={prompts}")
    assert len(list(typed.here.glob("outputs/*/*/output.parquet"))) == 2


@pytest.mark.parametrize("more", [(), ("run_dir=a/b",), ("output.path=x/y.parquet",)])
def test_a_dry_run_starts_nothing_and_leaves_nothing(typed, prompts, more):
    typed(*SCRIPTED, f"data.input={prompts}", "dry_run=true", *more)
    assert typed.code == 0 and typed.left == []
    assert "2 rows x 8 samples = 16 responses, nothing started" in typed.out


def test_cfg_prints_the_settings_in_force_and_starts_nothing(typed):
    typed("--cfg", "job", *SCRIPTED, "sampling.seed=7")
    assert typed.code == 0 and typed.left == []
    assert yaml.safe_load(typed.out)["sampling"]["seed"] == 7
    typed("-c", "job", "-p", "engine", "engine=low_mem")
    assert yaml.safe_load(typed.out)["max_num_seqs"] == 128


@pytest.mark.parametrize("word", ["engine=scripted", "+engine=scripted", "++engine=scripted"])
def test_a_plus_before_what_exists_does_no_harm(typed, word):
    typed(word, "tracking=none", "+sampling.seed=7", "++data.limit=1", "dry_run=true")
    assert typed.code == 0 and "1 rows x 4 samples" in typed.out


# Sweeps.


def test_text_with_commas_is_swept_only_where_it_is_not_quoted(typed, prompts, tmp_path):
    source = prompts.rename(tmp_path / "a,b (1).parquet")
    typed(
        "-m", *SCRIPTED, f"data.input='{source}'", "output.prefix=x,y", "run_dir=s", "dry_run=true"
    )
    assert typed.code == 0 and "2 points on 1 engine" in typed.out


def test_a_point_that_cannot_be_composed_ends_the_sweep_before_it_starts(typed):
    typed("-m", *SCRIPTED, "sampling.n_samples=2,abc", "run_dir=s")
    assert typed.code == 2 and len(typed.errors) == 1 and "abc is not int" in typed.errors[0]
    assert not (typed.here / "s").exists()


# Help.


def test_help_fits_a_screen_and_names_the_groups_and_the_ways_on(typed):
    typed("--help")
    lines = typed.out.splitlines()
    assert typed.code == 0 and len(lines) <= 40 and max(map(len, lines)) <= 100
    for word in ("model", "sampling", "engine", "data", "output", "tracking", "experiment"):
        assert any(line.startswith(f"  {word} ") for line in lines)
    for word in ("data.input=", "-m ", "--help all", "--cfg job", "dry_run=true", "--config-dir"):
        assert word in typed.out


@pytest.mark.parametrize("words", [["--help", "all"], ["all", "-h"], ["help", "all"]])
def test_help_all_lists_every_setting(typed, words):
    typed(*words)
    listed = {line.split()[0] for line in typed.out.splitlines() if line[2:3].strip()}
    assert listed == set(KEYS) - {"presets", "given"}
    assert max(map(len, typed.out.splitlines())) <= 100


def test_version_is_one_line(typed):
    import rollout as package

    typed("--version")
    assert (typed.code, typed.out) == (0, f"rollout {package.__version__}\n")


# The real process.


def modules_after(tmp_path, *words):
    """Return the modules that a real command had imported when it ended."""
    code = (
        "import atexit, sys; from rollout.__main__ import main; "
        "atexit.register(lambda: print(*sys.modules, sep='\\n', file=open('modules', 'w'))); "
        "main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, check=False
    )
    return done.returncode, {
        name.split(".")[0] for name in (tmp_path / "modules").read_text().split()
    }


@pytest.mark.parametrize(
    "words", [["--help"], ["--help", "all"], ["--version"], ["--n_samples", "8"]]
)
def test_help_and_a_misspelt_word_import_nothing_slow(tmp_path, words):
    _, imported = modules_after(tmp_path, *words)
    assert imported & (HEAVY | {"hydra", "omegaconf", "pyarrow"}) == set()


@pytest.mark.parametrize(
    "words",
    [
        ["sampling.n_samples=0"],
        ["data.input=nope.parquet"],
        ["data.prompt_key=nope", "data=example"],
        ["engine=dual_a100", "model=qwen3_4b"],
        ["engine=scripted", "dry_run=true"],
    ],
)
def test_a_refusal_or_dry_run_imports_no_engine(tmp_path, words):
    code, imported = modules_after(tmp_path, *words)
    assert code == (0 if "dry_run=true" in words else 2)
    assert imported & HEAVY == set()


@pytest.mark.parametrize(
    ("words", "code"),
    [(["dry_run=true"], 0), (["sampling.n_samples=0"], 2), (["nope"], 2), (["--help"], 0)],
)
def test_the_process_ends_with_the_promised_code_and_no_traceback(tmp_path, words, code):
    done = rollout(*SCRIPTED, *words, cwd=tmp_path)
    assert done.returncode == code
    assert "Traceback" not in done.stderr + done.stdout and list(tmp_path.iterdir()) == []


def test_a_closed_pipe_is_no_traceback(tmp_path):
    shell = f"{sys.executable} -m rollout --help all | head -1"
    done = subprocess.run(
        shell,
        shell=True,
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("  model.model_path") and done.stderr == ""


def test_bytes_that_are_no_text_are_refused_not_crashed_on(tmp_path):
    command = [sys.executable, "-m", "rollout", *SCRIPTED, b"data.input=\xff.parquet"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, check=False
    )
    assert done.returncode == 2 and b"Traceback" not in done.stderr
    assert done.stderr.count(b"\n") == 1 and list(tmp_path.iterdir()) == []

"""Shared fixtures: a tiny real model, and one loaded engine per process that needs it."""

import gc
import os
import signal

import pytest
from ray_cluster import HERE

pytest_plugins = ["s3_server"]
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test contacts a hub
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.update(HERE)  # Ray reads it once, when it is imported, which vLLM does
# Two OpenMP threads busy-wait for each other whenever another process takes a core.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
for name in ("MODEL_PATH", "INPUT", "OUTPUT", "N_SAMPLES", "MAX_TOKENS", "TEMPERATURE", "TOP_P"):
    os.environ.pop(name, None)
for name in ("TENSOR_PARALLEL_SIZE", "GPU_MEMORY_UTILIZATION", "MAX_NUM_SEQS"):
    os.environ.pop(name, None)
# Under nohup or in the background, the tests' commands would inherit ignored signals.
for number, handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """Make a random two-layer Qwen3 on disk, with a context of 512 tokens."""
    from tiny_model import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(autouse=True, scope="module")
def frozen_modules():
    """Leave what a file imported to no later garbage collection: with vLLM it takes seconds."""
    yield
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items):
    """Run fast tests first: the packages, then the commands as wholes, then those on real vLLM.

    Split among processes (-n), the other way round: no long file is left for the end then.
    """
    is_split = "PYTEST_XDIST_WORKER" in os.environ

    def length(item):
        return item.get_closest_marker("vllm") is not None, item.path.parent.name == "whole"

    items.sort(key=length, reverse=is_split)


class Typed:
    """One command line, run in this process in an empty directory, and its results."""

    def __init__(self, here, capsys):
        self.here, self._capsys = here, capsys
        self.code, self.out, self.notes, self.errors = None, "", [], []

    def __call__(self, *words):
        from rollout.__main__ import main

        before = self.files()
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        self.code = ended.value.code
        self.out, err = self._capsys.readouterr()
        lines = err.replace("\n    ", " ").splitlines()  # long notes are wrapped
        self.errors = [line for line in lines if line.startswith("rollout: ")]
        self.notes = [line for line in lines if line not in self.errors]
        self.left = sorted(self.files() - before)
        return self

    def files(self):
        return {str(path.relative_to(self.here)) for path in self.here.rglob("*")}

    def refused(self, *words):
        """Return the one line of a refusal: exit 2, and no notes but where settings came from."""
        self(*words)
        assert self.code == 2, self.out
        assert len(self.errors) == 1, self.errors
        assert all(note.startswith(("no data.input", "from ")) for note in self.notes), self.notes
        assert self.left == [] and self.out == ""
        return self.errors[0].removeprefix("rollout: ")

    def settings(self, *words):
        """Return the settings in force, as `--cfg job` prints them, interpolations resolved."""
        import yaml

        self("--cfg", "job", "--resolve", *words)
        assert self.code == 0, self.errors
        return yaml.safe_load(self.out)


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    """Run a command in this process: `typed("engine=scripted")` types `engine=scripted`."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return Typed(here, capsys)

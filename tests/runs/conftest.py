"""Runs to resume, and wandb without an account or a network."""

import os
import threading
from http.server import ThreadingHTTPServer

import pytest
from resuming import SCRIPTED, write
from wandb_runs import NOWHERE
from wandb_server import Server

from rollout.runs.tracking import service


@pytest.fixture
def run(typed):
    """`run("sampling.seed=1")` launches the run in x with these words."""
    write(typed.here)
    return lambda *words: typed(*SCRIPTED, *words)


@pytest.fixture
def begun(run):
    """A run that ended early, with some of its rows on disk."""
    done = run("sampling.n_samples=2", "engine.max_num_seqs=8", "engine.max_restarts=0",
               "engine.scripted.die_after_steps=60")  # fmt: skip
    assert done.code == 1
    return run


@pytest.fixture
def home(tmp_path, monkeypatch):
    """No account, no network, and none of the user's files; a fresh wandb for each test."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "home" / "netrc"))
    monkeypatch.setenv("WANDB_BASE_URL", NOWHERE)
    monkeypatch.setattr(service, "_why_offline", None)
    service.forget()  # of an earlier test in this process, with its settings
    yield
    service.forget()


@pytest.fixture
def server(home, monkeypatch):
    """A local server instead of wandb's; `seen` lists its requests."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    yield server
    server.shutdown()
    server.server_close()

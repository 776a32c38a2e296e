"""Models on the hub, played by a small server on loopback that responds like the hub."""

import shutil
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from resolving import RESOLVE, run_python

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub(BaseHTTPRequestHandler):
    """Status and X-Error-Code as huggingface.co sends them for /ORG/NAME/resolve/REVISION/FILE."""

    def do_HEAD(self):
        repo, _, rest = self.path.partition("/resolve/")
        revision, _, file = rest.partition("/")
        if file:  # huggingface_hub requests other paths too, without the token
            self.server.tokens.add(self.headers.get("Authorization"))
        status, code = {
            "/org/good": (200, None),
            "/org/cached": (200, None),
            "/org/gated": (403, "GatedRepo"),
            "/org/private": (401, None),
            "/org/gguf": (404, "EntryNotFound"),
            "/org/broken": (503, None),
        }.get(repo, (401, "RepoNotFound"))  # as the hub responds without a valid token
        if revision not in ("main", COMMIT):
            status, code = 404, "RevisionNotFound"
        if file == "generation_config.json":
            status, code = 404, "EntryNotFound"
        body = b'{"model_type": "qwen3"}' if status == 200 else b""
        self.send_response(status)
        headers = {"X-Repo-Commit": COMMIT, "ETag": '"e"', "Content-Length": str(len(body))}
        for name, value in (headers | ({"X-Error-Code": code} if code else {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_GET = do_HEAD

    def log_message(self, *args):
        pass


@pytest.fixture
def hub(tmp_path):
    """Resolve against a hub on loopback, with an empty cache and a token; return the output."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeHub)
    server.tokens = set()
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def resolve(*args, **env):
        home = {"HF_HOME": str(tmp_path), "HF_TOKEN": "hf_secret", "HF_HUB_OFFLINE": "0"}
        endpoint = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
        done = run_python(RESOLVE, *args, **home | endpoint | env)
        assert "hf_secret" not in done.stdout + done.stderr
        assert done.stderr == ""
        assert done.stdout.count("\n") == 1
        return done.stdout

    resolve.tokens = server.tokens
    yield resolve
    server.shutdown()
    server.server_close()


def test_a_model_on_the_hub_comes_back_with_its_shape_and_its_commit(hub):
    output = hub("org/good")
    assert f"path='org/good', revision='{COMMIT}', source='hub'" in output
    assert "config={'model_type': 'qwen3'}" in output
    assert hub.tokens == {"Bearer hf_secret"}


@pytest.mark.parametrize(
    ("repo", "expected"),
    [
        ("org/missing", "check the spelling"),
        ("org/gated", "accept its license at https://huggingface.co/org/gated and type: hf auth"),
        ("org/private", "hf auth login"),
        ("org/gguf", "no config.json"),
        ("org/broken", "status 503"),
        ("not a hub id", "neither a directory nor a hub id"),
    ],
)
def test_a_refusal_of_the_hub_is_explained_in_one_line(hub, repo, expected):
    assert (output := hub(repo)).startswith("refused:")
    assert expected in output


def test_an_unknown_revision_is_named(hub):
    assert "org/good has no revision 'v9'" in hub("org/good", "v9")


def test_a_mistyped_id_names_the_one_in_the_cache(hub):
    hub("org/good")
    assert "Did you mean 'org/good'?" in hub("org/godd")


def cached_model(tiny_model: Path, home: Path) -> Path:
    """Copy a model into the layout of the hub's cache."""
    repo = home / "hub" / "models--org--cached"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(COMMIT)
    return shutil.copytree(tiny_model, repo / "snapshots" / COMMIT)


@pytest.mark.parametrize("offline", ["0", "1"])
def test_a_model_that_is_in_the_cache_needs_no_hub(hub, tiny_model, tmp_path, offline):
    cached_model(tiny_model, tmp_path)
    output = hub("org/cached", HF_HUB_OFFLINE=offline)
    assert f"path='org/cached', revision='{COMMIT}'" in output
    assert hub.tokens == set()


def test_half_a_model_in_the_cache_still_needs_the_hub(hub, tiny_model, tmp_path):
    (cached_model(tiny_model, tmp_path) / "model.safetensors").unlink()
    assert "does not hold all of org/cached" in hub("org/cached", HF_HUB_OFFLINE="1")
    assert "can't reach the hub" in hub("org/cached", HF_ENDPOINT="http://127.0.0.1:9")
    assert "config={'architectures'" in hub("org/cached")


def test_without_network_the_remedy_is_named(hub):
    for env in ({"HF_ENDPOINT": "http://127.0.0.1:9"}, {"HF_HUB_OFFLINE": "1"}):
        output = hub("org/good", **env)
        assert "can't reach the hub" in output
        assert "model=smollm2_135m" in output


def test_a_hub_that_never_responds_is_given_up_after_the_timeout(hub):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        start = time.monotonic()
        output = hub("org/good", HF_ENDPOINT=endpoint, HF_HUB_ETAG_TIMEOUT="1")
    assert "can't reach the hub" in output
    assert time.monotonic() - start < 6

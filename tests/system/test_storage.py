"""Objects on stores: paths, reading, uploads that are whole or nothing, and errors."""

import gc
import os
import subprocess
import sys

import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from processes import environment

from rollout.errors import UserError
from rollout.inputs.files import find_files, open_parquet
from rollout.store.ledger import Ledger
from rollout.system.disk import path_of
from rollout.system.file_contents import digest, is_unchanged, observe, stamp
from rollout.system.storage.faults import StorageError
from rollout.system.storage.filesystems import _filesystem
from rollout.system.storage.paths import RemotePath, is_remote, real, remote_path
from rollout.system.storage.upload import refuse_unwritable, upload

MIB = 1 << 20


@pytest.fixture
def hub(monkeypatch):
    """A hub in memory, for hf://."""

    class Hub(MemoryFileSystem):
        protocol, store, pseudo_dirs = "hf", {}, [""]

        @classmethod
        def _strip_protocol(cls, path):
            return "/" + path.removeprefix("hf://").strip("/")

    monkeypatch.setitem(sys.modules["fsspec.registry"]._registry, "hf", Hub)
    _filesystem.cache_clear()
    yield Hub()
    _filesystem.cache_clear()


def test_a_path_on_a_store_keeps_its_two_slashes():
    path = remote_path("s3://b/dir/a.parquet")
    assert [str(path), str(path.parent), str(path.with_suffix(".json"))] == [
        "s3://b/dir/a.parquet",
        "s3://b/dir",
        "s3://b/dir/a.json",
    ]
    assert path == remote_path("s3://b/dir") / "a.parquet" and path.name == "a.parquet"
    assert path.absolute() == real(path) == path and path.is_absolute()


def test_what_needs_a_file_of_the_system_is_an_error():
    with pytest.raises(TypeError, match="is not a file of the operating system"):
        os.fspath(remote_path("s3://b/a"))


@pytest.mark.parametrize("text", ["s3://b/k", "gs://b/a b.parquet", "hf://datasets/o/n/f", "az://"])
def test_a_url_is_remote(text):
    assert is_remote(text)


@pytest.mark.parametrize(
    "text",
    [
        "a.parquet",
        "/s3:/b",
        "pkg://p/a.parquet",
        "file:///tmp/a",
        "see s3://b/k",
        "s3://b/{{ key }}",
        "https://a.org is a site",
    ],
)
def test_other_texts_are_not(text):
    assert not is_remote(text)


def test_a_file_url_is_a_local_path(tmp_path):
    assert path_of(f"file://{tmp_path}/a") == tmp_path / "a"


def test_an_object_reads_like_a_file(bucket):
    path = path_of(bucket.put("a.txt", "Zoë\nb".encode()))
    assert path.read_text(encoding="utf-8") == "Zoë\nb"
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        assert file.read() == b"b"
    assert path.is_file() and path.stat().st_size == 6 and not path.is_dir()
    with pytest.raises(FileNotFoundError):
        path_of(bucket / "b.txt").read_bytes()


def test_directories_are_what_their_objects_say(bucket):
    bucket.put("d/e/a.txt", b"")
    path = path_of(bucket / "d/e")
    assert path.is_dir() and [p.name for p in path.iterdir()] == ["a.txt"]
    assert path.parent.is_dir() and list(path.parent.iterdir()) == []
    assert not path_of(bucket / "no").exists()


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.txt", ["a.txt"]),
        ("**/*.txt", ["a.txt", "d/b.txt", "d/e/c.txt"]),
        ("d/*/c.*", ["d/e/c.txt"]),
        ("[!d]/*", []),
        ("d/.*", ["d/.hidden.txt"]),
    ],
)
def test_globs_match_like_those_of_a_disk(bucket, pattern, names):
    for key in ("a.txt", "d/b.txt", "d/e/c.txt", "d/.hidden.txt"):
        bucket.put(key, b"")
    if names:
        assert find_files(bucket / pattern, None) == [path_of(bucket / name) for name in names]
    else:
        with pytest.raises(UserError, match="matches no file"):
            find_files(bucket / pattern, None)


def test_a_change_of_the_same_size_is_noticed(bucket):
    path = path_of(bucket.put("a.txt", b"one"))
    before, was = observe(path), (stamp(path), digest(path))
    assert is_unchanged(path, before)
    bucket.put("a.txt", b"two")
    assert not is_unchanged(path, before) and (stamp(path), digest(path)) != was


def test_an_upload_of_several_parts_is_whole(bucket, tmp_path):
    content = os.urandom(MIB) * 25
    (tmp_path / "big").write_bytes(content)
    upload(tmp_path / "big", path_of(bucket / "big"))
    assert bucket.get("big") == content


FAILING = """
import sys
from pathlib import Path
from rollout.system.disk import path_of
from rollout.system.storage.upload import upload
try:
    upload(Path(sys.argv[1]), path_of(sys.argv[2]))
except OSError as error:
    print(error)
"""


def test_an_upload_that_failed_never_becomes_an_object(bucket, tmp_path):
    """Arrow completes an upload whose stream is collected, also when the process ends."""
    (tmp_path / "big").write_bytes(b"x" * 25 * MIB)
    is_second = "partNumber=2"
    bucket.server.answers = lambda request: (
        ("403 Forbidden", "AccessDenied") if is_second in request["QUERY_STRING"] else None
    )
    with pytest.raises(StorageError, match="access is denied"):
        upload(tmp_path / "big", path_of(bucket / "big"))
    gc.collect()
    assert bucket.names() == []
    done = subprocess.run(
        [sys.executable, "-c", FAILING, str(tmp_path / "big"), bucket / "big"],
        env=environment(), capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert "access is denied" in done.stdout and bucket.names() == []


TORN = """
class Torn(type(Path())):
    __enter__ = lambda self: self

    def open(self, *words):
        self.file = super().open(*words)
        self.count = 0
        return self

    def __exit__(self, *error):
        self.file.close()

    def read(self, size):
        self.count += 1
        if self.count == 3:
            raise OSError("torn")
        return self.file.read(size)

try:"""


def test_an_upload_that_ends_early_never_becomes_an_object(bucket, tmp_path):
    (tmp_path / "big").write_bytes(b"x" * 25 * MIB)
    code = FAILING.replace("try:", TORN).replace("Path(sys.argv[1])", "Torn(sys.argv[1])")
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "big"), bucket / "big"],
        env=environment(), capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert "torn" in done.stdout and bucket.names() == [], done.stderr


def test_a_ledger_knows_an_object_only_as_it_was_uploaded(bucket, tmp_path):
    ledger, path = Ledger(tmp_path), path_of(bucket / "out.txt")
    (tmp_path / "out").write_bytes(b"mine")
    ledger.note(path, tmp_path / "out")
    assert not ledger.knows(path)
    upload(tmp_path / "out", path)
    assert ledger.knows(path)  # a kill before `confirm`
    ledger.confirm(path)
    assert ledger.knows(path)
    bucket.put("out.txt", b"your")
    assert not ledger.knows(path) and ledger.lists(path)


def test_files_of_the_hub_are_read_a_column_at_a_time(hub):
    table = pa.table({"prompt": ["a", "b"], "x": [1, 2]})
    with hub.open("hf://datasets/org/name/data/a.parquet", "wb") as file:
        pa.parquet.write_table(table, file)
    (path,) = find_files("hf://datasets/org/name/data/*.parquet", None)
    assert str(path) == "hf://datasets/org/name/data/a.parquet"
    with open_parquet(path) as file:
        assert file.read(["prompt"]).to_pydict() == {"prompt": ["a", "b"]}
    before = observe(path)
    with hub.open("hf://datasets/org/name/data/a.parquet", "wb") as file:
        pa.parquet.write_table(table.slice(1), file)
    assert not is_unchanged(path, before)


def test_any_scheme_of_fsspec_can_be_read_and_written(tmp_path):
    (tmp_path / "a").write_bytes(b"text")
    path = path_of("memory://dir/a.txt")
    upload(tmp_path / "a", path)
    assert path.read_text() == "text" and path.parent.is_dir()
    assert [str(p) for p in path.parent.iterdir()] == ["memory://dir/a.txt"]
    path.unlink()
    assert not path.exists()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("memory://a/b.parquet", "would be gone when the command ends"),
        ("https://a.org/b.parquet", "a web server takes no files"),
        ("hf://datasets/o/n/b.parquet", "set HF_TOKEN"),
    ],
)
def test_what_can_not_be_written_is_known_before(url, why, hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "")
    with pytest.raises(StorageError, match=why):
        refuse_unwritable(path_of(url))


def test_no_network_to_a_store_is_an_error_within_seconds(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="can't be reached"):
        RemotePath("s3://b/a").exists()

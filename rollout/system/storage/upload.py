"""Write objects: one appears whole, at the end, or not at all."""

import ctypes
from contextlib import suppress
from pathlib import Path

from rollout.system.storage.faults import CREDENTIALS, StorageError, explained
from rollout.system.storage.filesystems import fsspec_of, refuse_no_bucket
from rollout.system.storage.paths import SUCCESS, RemotePath

WRITE_BYTES = 8 << 20


def refuse_unwritable(path: RemotePath) -> None:
    """Raise StorageError if the store keeps no files, lacks the bucket, or needs a token."""
    with explained(path):
        if path.scheme in ("http", "https"):
            raise StorageError(f"{path}: a web server takes no files; type a path on a store")
        if path.scheme == "memory":
            raise StorageError(f"{path} would be gone when the command ends; type another path")
        if path.scheme == "hf":
            from huggingface_hub import get_token

            if not get_token():
                raise StorageError(f"{path}: writing needs a token; {CREDENTIALS['hf']}")
        if len(path.parts) < 3:
            raise StorageError(f"{path} is a bucket; type the name of a file in it")
        if fsspec_of(path.filesystem) is None:
            refuse_no_bucket(path.filesystem, path.bucket, str(path))


def upload(source: Path, target: RemotePath) -> None:
    """Copy a local file to the object, or a directory of files to objects below `target`.

    An object appears whole, at the end, and replaces an older one. A directory's files appear one
    after the other; SUCCESS appears last, and files of an older directory are removed.
    """
    if not source.is_dir():
        _put(source, target)
        return
    files = sorted(source.iterdir())
    old = {path.name: path for path in target.iterdir()}
    if SUCCESS in old:
        (target / SUCCESS).unlink()
    made: list[RemotePath] = []
    try:
        for file in files:
            _put(file, target / file.name)
            made.append(target / file.name)
    except BaseException:
        for path in made:
            if path.name not in old:
                with suppress(OSError):
                    path.unlink()
        raise
    for name in old.keys() - {file.name for file in files} - {SUCCESS}:
        old[name].unlink()
    mark = source / SUCCESS
    mark.touch()
    try:
        _put(mark, target / SUCCESS)
    finally:
        mark.unlink()


def _put(source: Path, target: RemotePath) -> None:
    with explained(target):
        filesystem, key = target.filesystem, target.key
        if (spec := fsspec_of(filesystem)) is not None:
            spec.put_file(str(source), key)
            spec.invalidate_cache()
            return
        stream = filesystem.open_output_stream(key)
        try:
            with source.open("rb") as file:
                while piece := file.read(WRITE_BYTES):
                    stream.write(piece)
            stream.close()
        except BaseException:
            # Arrow completes an upload whose stream is freed, whatever was written (apache/arrow
            # issue 40502), and waits forever for one that is freed when Python ends.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(stream))
            raise

"""Which library reads a store, and what it tells about an object."""

import os
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rollout.system.storage.faults import StorageError, no_bucket, s3_endpoint

if TYPE_CHECKING:
    import pyarrow.fs as pafs

RETRY_S = 15  # of Google's client, which would retry for 15 minutes
VERSION_KEYS = (
    "etag", "generation", "blob_id", "md5hash", "content_md5", "last-modified", "mtime", "created",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Info:
    """What a store tells about an object or a directory."""

    is_dir: bool
    size: int = 0
    version: str = ""  # changes whenever the object does


def filesystem_of(scheme: str, bucket: str) -> "pafs.FileSystem":
    """Return the client of a store, or of a bucket of it."""
    return _filesystem(scheme, bucket, s3_endpoint())


@lru_cache(maxsize=64)
def _filesystem(scheme: str, bucket: str, endpoint: str | None) -> "pafs.FileSystem":
    import pyarrow.fs as pafs

    if scheme == "s3":  # Arrow itself reads neither of these variables
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        return pafs.S3FileSystem(
            region=region if endpoint else pafs.resolve_s3_region(bucket),
            endpoint_override=endpoint, connect_timeout=5, request_timeout=30,
            tls_ca_file_path=os.environ.get("AWS_CA_BUNDLE"), allow_delayed_open=True,
        )  # fmt: skip
    if scheme == "gs":
        emulator = os.environ.get("STORAGE_EMULATOR_HOST")
        address = emulator and (emulator if "://" in emulator else f"http://{emulator}")
        return pafs.GcsFileSystem(
            anonymous=bool(emulator), endpoint_override=address and address.partition("://")[2],
            scheme=address and address.partition("://")[0],
            retry_time_limit=timedelta(seconds=RETRY_S),
        )  # fmt: skip
    import fsspec

    return pafs.PyFileSystem(pafs.FSSpecHandler(fsspec.filesystem(scheme)))


def fsspec_of(filesystem: "pafs.FileSystem") -> Any:
    """Return the fsspec filesystem behind it; None if Arrow has its own."""
    return getattr(getattr(filesystem, "handler", None), "fs", None)


def spec_info(spec: Any, key: str) -> Info | None:
    """Return what fsspec knows of a name now; None if there is nothing."""
    spec.invalidate_cache()
    try:
        found = spec.info(key)
    except FileNotFoundError:
        return None
    size, is_dir = found.get("size") or 0, found["type"] == "directory"
    return Info(is_dir, size, "" if is_dir else version_of(size, found) or spec.ukey(key))


def version_of(size: int, found: dict[str, Any]) -> str:
    """Return a text that changes whenever the object does; empty if its store says nothing."""
    low = {str(name).lower(): value for name, value in found.items()}
    mark = next((low[name] for name in VERSION_KEYS if low.get(name) is not None), "")
    mark = mark.decode(errors="replace") if isinstance(mark, bytes) else str(mark)
    return f"{size} {mark}" if mark else ""


def refuse_no_bucket(filesystem: "pafs.FileSystem", bucket: str, url: str) -> None:
    """Raise StorageError if there is no such bucket."""
    if filesystem.get_file_info(bucket).type.name == "NotFound":
        raise StorageError(no_bucket(url))

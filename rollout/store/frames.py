"""Append-only logs of frames, each with a checksum, so that a kill costs at most the last frame.

Must not know what a payload means.
"""

import os
import struct
import zlib
from pathlib import Path
from typing import Any

FRAME = struct.Struct("<4sIQ")  # magic, crc32, payload bytes
MAGIC = b"row1"


def append_frame(path: Path, payload: memoryview) -> None:
    """Append one frame. A kill or a full disk leaves at worst a torn tail."""
    head = FRAME.pack(MAGIC, zlib.crc32(payload), len(payload))
    with path.open("ab", buffering=0) as log:
        _write_all(log, head)
        _write_all(log, payload)


def _write_all(log: Any, data: Any) -> None:
    view = memoryview(data)
    while len(view):
        view = view[log.write(view) :]


def sync(path: Path) -> None:
    """Flush appended frames to the disk. A missing file has been sealed in the meantime."""
    try:
        with path.open("rb+") as file:
            os.fdatasync(file.fileno())
    except FileNotFoundError:
        pass


def read_frames(path: Path) -> tuple[list[memoryview], int, int]:
    """Return the whole payloads in order, the end of the last whole frame, and the damaged bytes.

    Damage is skipped: the frames after it are found by their magic and checksum. A torn tail, as
    a kill leaves it, is not counted as damage.
    """
    data = memoryview(path.read_bytes())
    payloads, at, good_end, damaged = [], 0, 0, 0
    while at < len(data):
        payload = _frame_at(data, at)
        if payload is None:
            at = _next_magic(data, at + 1)
            continue
        damaged += at - good_end
        payloads.append(payload)
        at = good_end = at + FRAME.size + len(payload)
    tail = data[good_end:]
    return payloads, good_end, damaged if _is_torn(tail) else damaged + len(tail)


def _is_torn(tail: memoryview) -> bool:
    """Whether a tail is the beginning of a frame, and not all of one."""
    if len(tail) < FRAME.size:
        return tail[: len(MAGIC)] == MAGIC[: len(tail)]
    magic, _, size = FRAME.unpack_from(tail)
    return magic == MAGIC and size > len(tail) - FRAME.size


def _frame_at(data: memoryview, at: int) -> memoryview | None:
    if len(data) - at < FRAME.size:
        return None
    magic, checksum, size = FRAME.unpack_from(data, at)
    start = at + FRAME.size
    if magic != MAGIC or size > len(data) - start:
        return None
    payload = data[start : start + size]
    return payload if zlib.crc32(payload) == checksum else None


def _next_magic(data: memoryview, start: int) -> int:
    found = data.obj.find(MAGIC, start)
    return len(data) if found < 0 else found


def cut(path: Path, size: int) -> None:
    """Cut a torn tail off."""
    if path.stat().st_size > size:
        os.truncate(path, size)

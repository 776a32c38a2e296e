"""Let root obey the permissions of files, so that tests of unreadable places run as root too."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

VERSION = 0x20080522  # of the calls, with two words of 32 bits for each set
OVERRIDES = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, in the first word


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]  # pid 0: this thread


class _Sets(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


@contextmanager
def obeyed_permissions() -> Iterator[None]:
    """Take this thread's right to ignore permissions, which root has on Linux; then give it back.

    The owner's bits hold for root's own files, as they do for anyone else.
    """
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = _Header(VERSION, 0), (_Sets * 2)()
    _checked(libc.capget(ctypes.byref(header), sets))
    held = sets[0].effective
    sets[0].effective = held & ~OVERRIDES
    _checked(libc.capset(ctypes.byref(header), sets))
    try:
        yield
    finally:
        sets[0].effective = held
        _checked(libc.capset(ctypes.byref(header), sets))


def _checked(code: int) -> None:
    if code != 0:
        raise OSError(ctypes.get_errno(), "the capabilities of this thread could not be changed")

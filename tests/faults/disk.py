"""A small disk that nobody else sees: a tmpfs in a mount namespace of the calling process."""

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

SIZE = 256 * 1024
"""Bytes of the disk."""

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_MS_REC = 0x4000
_MS_PRIVATE = 0x40000
_MNT_DETACH = 2


def mount_own(folder: Path) -> None:
    """Mount a disk of ``SIZE`` on a folder, for the calling thread and all that it starts from now on.

    Whoever is not root becomes root of a user namespace, which needs a process of one thread.

    Raises:
        OSError: that is not allowed here.
    """
    uid = os.geteuid()
    library = ctypes.CDLL(None, use_errno=True)  # os.unshare came with Python 3.12
    _checked(library.unshare(_CLONE_NEWNS | (_CLONE_NEWUSER if uid else 0)))
    if uid:
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    _checked(library.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None))
    options = f"size={SIZE},mode=0777".encode()
    _checked(library.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", ctypes.c_ulong(0), options))


def _checked(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextlib.contextmanager
def own_disk(folder: Path) -> Iterator[None]:
    """Such a disk for the length of the block.

    Raises:
        OSError: that is not allowed here.
    """
    mount_own(folder)
    try:
        yield
    finally:
        library = ctypes.CDLL(None, use_errno=True)
        _checked(library.umount2(os.fsencode(folder), _MNT_DETACH))


@contextlib.contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Leave no byte free on the disk of a folder, for the length of the block."""
    filler = folder / "filler"
    try:
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        yield
    finally:
        filler.unlink()

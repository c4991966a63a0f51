"""A control group that bounds memory, as the kubelet makes one for a container."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_CONTROLLER = Path("/sys/fs/cgroup/memory")
"""Where version 1 of control groups has them; the files are those of the kernel's cgroup-v1/memory.rst."""


class NoMemoryGroupError(Exception):
    """No such control group can be made here; the text says why."""


@dataclass(frozen=True, slots=True)
class MemoryGroup:
    """Processes that share a bound of memory."""

    folder: Path

    @property
    def joining(self) -> str:
        """A Python statement that puts the process that runs it into the group."""
        return f"open({str(self.folder / 'cgroup.procs')!r}, 'w').write('0')"

    @property
    def kills(self) -> int:
        """How many of its processes were killed since they had no memory left."""
        lines = (self.folder / "memory.oom_control").read_text().splitlines()
        return int(dict(line.split() for line in lines)["oom_kill"])

    @property
    def peak_mib(self) -> float:
        """The most it ever held, the kernel's buffers of files included."""
        return int((self.folder / "memory.max_usage_in_bytes").read_text()) / 2**20


@contextmanager
def memory_group(name: str, limit: int) -> Iterator[MemoryGroup]:
    """A group for the length of the block, whose processes must have ended by then; `limit` is in bytes.

    Raises:
        NoMemoryGroupError: it cannot be made.
    """
    folder = _CONTROLLER / f"azure-lb-metadata-{os.getpid()}-{name}"
    try:
        folder.mkdir()
    except OSError as error:
        raise NoMemoryGroupError(f"no memory control group (version 1) can be made: {error}") from error
    try:
        _bound(folder, limit)
        yield MemoryGroup(folder)
    finally:
        folder.rmdir()


def _bound(folder: Path, limit: int) -> None:
    try:
        (folder / "memory.limit_in_bytes").write_text(str(limit))
        swap = folder / "memory.memsw.limit_in_bytes"
        if swap.exists():
            swap.write_text(str(limit))
    except OSError as error:
        raise NoMemoryGroupError(f"the memory of a control group cannot be bounded: {error}") from error

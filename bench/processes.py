"""Starting what is measured, and reading what the kernel knows of it."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import ReservedPort, poll_until

_DEADLINE_SECONDS = 30.0
_POLL_SECONDS = 0.002


def environment(**variables: str) -> dict[str, str]:
    """The environment of a measured process: what a program needs to start, and what image and chart set."""
    kept = {name: os.environ[name] for name in ("HOME", "PATH", "LANG") if name in os.environ}
    as_installed = {"PYTHONOPTIMIZE": "2", "SSL_CERT_FILE": os.devnull}
    return kept | {"PYTHONPATH": str(Path(__file__).parent.parent)} | as_installed | variables


@contextmanager
def running(
    arguments: Sequence[str], *, within: Sequence[str] = (), **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process with these arguments, ended at the end of the block.

    ``within`` is a command that becomes the one it is given, such as ``env``.
    """
    process = subprocess.Popen(
        [*within, sys.executable, *arguments],
        env=environment(**variables),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """A TCP port of loopback that nobody uses now."""
    port = ReservedPort()
    port.release()
    return port.number


def many_rules(port: int, control_port: int) -> list[str]:
    """The arguments of a simulator that tells of 250 rules."""
    addresses = ["--listen", f"127.0.0.1:{port}", "--control-listen", f"127.0.0.1:{control_port}"]
    return ["-m", "sidecar", "simulate", "--document", "many-rules", *addresses]


def answered(url: str, *, headers: Mapping[str, str] | None = None) -> bytes:
    """Ask until the answer is 200, and return its body.

    Raises:
        TimeoutError: it was not within half a minute.
    """
    deadline = time.monotonic() + _DEADLINE_SECONDS
    request = urllib.request.Request(url, headers=dict(headers or {}))  # noqa: S310 - loopback
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(request, timeout=1) as response:  # noqa: S310 - loopback
                return bytes(response.read())
        except (urllib.error.URLError, OSError):
            time.sleep(_POLL_SECONDS)
    raise TimeoutError(url)


def until(ready: Callable[[], bool], wanted: str, *, interval: float = 0.05) -> None:
    """Ask `ready` each `interval` seconds until it says yes.

    Raises:
        TimeoutError: it has not within half a minute; the text is what was wanted.
    """
    if not poll_until(ready, deadline_s=_DEADLINE_SECONDS, interval_s=interval):
        raise TimeoutError(wanted)


def resident_mib(pid: int) -> float:
    """``VmRSS`` of a process, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"process {pid} has no memory")


def cpu_seconds(pid: int) -> float:
    """User and system time that the threads of a process have used, in seconds.

    From ``schedstat``, which counts nanoseconds; ``stat`` counts hundredths of a second.
    """
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9

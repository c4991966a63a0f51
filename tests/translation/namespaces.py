"""Network namespaces, named after the process that made them and removed after it, killed or not."""

import ctypes
import fcntl
import itertools
import os
import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from tests.e2e.harness.system import CommandError, in_network, run, start_time
from tests.support.processes import poll_until
from tests.support.removal import remove_tree

PREFIX = "albm-translation-"
"""Of every namespace and folder of these tests: what carries it may be removed once its maker is gone."""

ROOT = Path("/run/azure-lb-metadata-translation")
"""What a run writes stands in a folder of its own below."""

LOCK = Path("/run/lock/azure-lb-metadata-translation")
NAMED = Path("/run/netns")
"""Where ``ip netns`` keeps its namespaces."""

END_DEADLINE_S = 60.0

_RUN = re.compile(rf"{PREFIX}(?P<pid>\d+)-(?P<started>\d+)-\d+(?=-|\Z)")
_NUMBERS = itertools.count(1)

_CLONE_NEWNET = 0x40000000
"""From the kernel's sched.h."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace that is there."""

    name: str

    def command(self, *command: str | Path) -> list[str]:
        """The command line that runs a program in it."""
        return in_network(self.name, *command)

    def run(self, *command: str | Path, stdin: str | None = None, deadline_s: float = END_DEADLINE_S) -> str:
        """Run a program in it to its end, and give what it says.

        Raises:
            CommandError: it failed, or took longer than `deadline_s` seconds.
        """
        return run(*self.command(*command), stdin=stdin, deadline_s=deadline_s)

    def call(self, function: Callable[[], Value]) -> Value:
        """Call a function in a thread that is in it: sockets that the function makes belong to the namespace.

        With ``lambda: asyncio.run(…)`` so do those of an event loop.
        """

        def entered() -> Value:
            with (NAMED / self.name).open() as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
                    error = ctypes.get_errno()
                    raise OSError(error, f"{self.name} cannot be entered: {os.strerror(error)}")
            return function()

        with ThreadPoolExecutor(max_workers=1) as pool:
            return pool.submit(entered).result()


@contextmanager
def namespaces(*roles: str) -> Iterator[tuple[Path, tuple[Namespace, ...]]]:
    """A folder, and namespaces with nothing but loopback in them, for the length of the block.

    Every process that is left in them is ended after it. What a killed run left is removed before.

    Raises:
        CommandError: this is not root, or a name is taken.
    """
    with _locked():
        for name in left_over():
            remove(name)
    run_name = f"{PREFIX}{os.getpid()}-{start_time(os.getpid())}-{next(_NUMBERS)}"
    folder = ROOT / run_name
    with ExitStack() as undo:
        # Not in the folders of pytest, which only root may enter: servers run as nobody.
        folder.mkdir(parents=True)
        undo.callback(remove, run_name)
        made = tuple(Namespace(f"{run_name}-{role}") for role in roles)
        for namespace in made:
            run("ip", "netns", "add", namespace.name)
            namespace.run("ip", "link", "set", "lo", "up")
        yield folder, made


def there() -> set[str]:
    """The runs of which there is something, a namespace or a folder, by their names."""
    found = [path.name for place in (NAMED, ROOT) for path in place.glob(f"{PREFIX}*")]
    return {match[0] for name in found if (match := _RUN.match(name))}


def left_over() -> list[str]:
    """The runs that are gone and have left something."""

    def gone(name: str) -> bool:
        match = _RUN.match(name)
        return match is not None and start_time(int(match["pid"])) != match["started"]

    return sorted(filter(gone, there()))


def remove(run_name: str) -> None:
    """Take away what there is of a run: processes in its namespaces, these, and its folder.

    Raises:
        CommandError: a process does not end.
    """
    for path in sorted(NAMED.glob(f"{run_name}-*")):
        if not poll_until(partial(_emptied, path.name), deadline_s=END_DEADLINE_S):
            raise CommandError(f"processes in the namespace {path.name} do not end")
        run("ip", "netns", "delete", path.name)
    remove_tree(ROOT / run_name)


def _emptied(namespace: str) -> bool:
    """Kill what is in a namespace, and say whether nothing was."""
    pids = run("ip", "netns", "pids", namespace).split()
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    return not pids


@contextmanager
def _locked() -> Iterator[None]:
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield

"""What blocks: files of every kind, threads that hang, and threads that cannot be had."""

import asyncio
import errno
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.blocking import BlockedError, Blocking, EventLoop, read_regular
from sidecar.stopping import run
from tests.support.program import CHECKOUT
from tests.support.waiting import DEADLINE_S

LIMIT = 100


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What a thread hangs at; it is opened at the end."""
    gate = threading.Event()
    yield gate
    gate.set()


def test_file_is_read_with_one_byte_more_than_the_limit(tmp_path: Path) -> None:
    """A file is read whole, or so far that its being too long shows."""
    file = tmp_path / "file"
    for length in (0, 1, LIMIT, LIMIT + 1, 10 * LIMIT):
        file.write_bytes(bytes(length))
        assert len(read_regular(file, limit=LIMIT)) == min(length, LIMIT + 1)


def test_link_is_followed_unless_told_otherwise(tmp_path: Path) -> None:
    """Kubelet's tokens are links; where links are not wanted they are an error of their own."""
    (tmp_path / "file").write_bytes(b"token")
    link = tmp_path / "link"
    link.symlink_to("file")
    assert read_regular(link, limit=LIMIT) == b"token"
    with pytest.raises(OSError, match="symbolic links") as caught:
        read_regular(link, limit=LIMIT, follow=False)
    assert caught.value.errno == errno.ELOOP


def pipe(path: Path) -> None:
    """A FIFO that nobody writes to."""
    os.mkfifo(path)


def endless(path: Path) -> None:
    """A link to a device that never ends."""
    path.symlink_to("/dev/zero")


def listener(path: Path) -> None:
    """A socket."""
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))


@pytest.mark.parametrize(
    ("make", "number"), [(pipe, errno.EINVAL), (endless, errno.EINVAL), (listener, errno.ENXIO)]
)
def test_what_is_no_regular_file_is_not_read(tmp_path: Path, make: "object", number: int) -> None:
    """A pipe, a device or a socket is an error at once, which names the path."""
    path = tmp_path / "odd"
    assert callable(make)
    make(path)
    with pytest.raises(OSError, match="odd") as caught:
        read_regular(path, limit=LIMIT)
    assert caught.value.errno == number


def test_folder_is_not_read(tmp_path: Path) -> None:
    """A folder is an error at once."""
    with pytest.raises(IsADirectoryError):
        read_regular(tmp_path, limit=LIMIT)


async def test_result_and_error_of_a_call() -> None:
    """A call gives what the function gives, and raises what it raises, a time-out of its own too."""
    blocking = Blocking()
    assert await blocking.call(divmod, 7, 3) == (2, 1)
    with pytest.raises(ZeroDivisionError):
        await blocking.call(divmod, 7, 0)

    def slow_disk() -> None:
        raise TimeoutError(errno.ETIMEDOUT, "of the disk")

    with pytest.raises(TimeoutError, match="of the disk"):
        await blocking.call(slow_disk)


async def test_hanging_call_costs_one_thread(gate: threading.Event) -> None:
    """While a call hangs each further one ends in time, none is begun, and all goes on after it."""
    blocking = Blocking(0.05)
    begun: list[int] = []

    def call(number: int) -> int:
        begun.append(number)
        gate.wait(DEADLINE_S)
        return number

    for number in range(5):
        with pytest.raises(BlockedError, match="no answer within"):
            await blocking.call(call, number)
    assert begun == [0]
    gate.set()
    assert await Blocking(DEADLINE_S).call(call, 6) == 6
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                assert await blocking.call(call, 7) == 7
            except BlockedError:
                continue
            break
    assert begun == [0, 6, 7]


async def test_cancelled_caller_does_not_let_two_calls_overlap(gate: threading.Event) -> None:
    """A call whose caller was cancelled is over before the next one begins."""
    blocking = Blocking(DEADLINE_S)
    order: list[str] = []
    began = threading.Event()

    def first() -> None:
        began.set()
        gate.wait(DEADLINE_S)
        order.append("first")

    caller = asyncio.create_task(blocking.call(first))
    await asyncio.to_thread(began.wait, DEADLINE_S)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    second = asyncio.create_task(blocking.call(order.append, "second"))
    await asyncio.sleep(0)
    gate.set()
    await second
    assert order == ["first", "second"]


HANGING = """
import asyncio, sys, threading
from sidecar.blocking import EventLoop
from sidecar.stopping import run

async def main():
    asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)
    await asyncio.sleep(0)
    return 3

sys.exit(run(main()))
"""


def test_process_ends_though_a_thread_hangs() -> None:
    """The end of the loop and of the process waits for no thread, and keeps the exit code."""
    ended = subprocess.run(
        (sys.executable, "-c", HANGING),
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (3, "")


def test_what_threads_are_about_is_done_first() -> None:
    """The end of the loop lets a thread that works finish, such as one that replaces a file."""
    done: list[str] = []
    begun = threading.Event()

    def work() -> None:
        begun.set()
        threading.Event().wait(0.1)
        done.append("written")

    async def main() -> None:
        task = asyncio.create_task(Blocking().call(work))
        await asyncio.to_thread(begun.wait, DEADLINE_S)
        task.cancel()

    run(main())
    assert done == ["written"]


def test_no_new_thread_is_an_os_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """That no thread can be had is an `OSError`, of calls and of the resolver of names."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, EventLoop)
        with pytest.raises(BlockedError, match="no new thread"):
            await Blocking().call(divmod, 7, 3)
        with pytest.raises(OSError, match="no new thread"):
            await loop.getaddrinfo("localhost", 80)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        run(main())


def test_threads_are_limited(monkeypatch: pytest.MonkeyPatch, gate: threading.Event) -> None:
    """Calls that hang are so many at most; the others fail at once, until one has ended."""
    monkeypatch.setattr("sidecar.blocking._MOST_THREADS", 2)

    async def main() -> None:
        hanging = [asyncio.ensure_future(asyncio.to_thread(gate.wait, DEADLINE_S)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(BlockedError, match="hang already"):
            await asyncio.to_thread(divmod, 7, 3)
        gate.set()
        await asyncio.gather(*hanging)
        assert await asyncio.to_thread(divmod, 7, 3) == (2, 1)

    run(main())

"""Blocking calls (files, name resolution) in daemon threads, whose end neither event loop nor process awaits.

Python's own pool is joined when the event loop ends and again when the process does, so one call that
hangs (a volume that is gone) keeps the process from ending. And where no thread can be started, it raises
a ``RuntimeError``, which code that reads files does not expect.
"""

import asyncio
import errno
import os
import stat
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple, Unpack

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")

_MOST_THREADS = 64
"""Threads of one event loop at a time: each hung one keeps its place until the machine lets it go."""

_LAST_SECONDS = 2.0
"""How long the end of an event loop waits for threads."""


class BlockedError(OSError):
    """A call could not be made now, since no thread can be had, or did not end in time."""


class Blocking:
    """Calls about one resource that may hang, such as a volume: one at a time, each with a time-out.

    While a call hangs no other is made, so a resource that hangs costs one thread, and what an outdated
    call does late is done before a newer one begins.
    """

    def __init__(self, timeout: float | None = 10.0) -> None:
        """Make no call yet; ``timeout`` is in seconds of the loop's time; ``None``: no limit."""
        self._timeout = timeout
        self._turns = asyncio.Lock()
        self._under_way: asyncio.Future[Any] | None = None

    async def call(
        self, function: Callable[[Unpack[_Arguments]], _Result], *arguments: *_Arguments
    ) -> _Result:
        """Call a function in a thread, and give or raise what it does.

        Raises:
            BlockedError: it did not end in time, or an earlier one still has not; no thread can be had.
        """
        try:
            async with asyncio.timeout(self._timeout), self._turns:
                if self._under_way is not None:
                    await asyncio.wait((self._under_way,))
                future = asyncio.get_running_loop().run_in_executor(None, function, *arguments)
                # Until it is done, although its caller may be cancelled: that does not end the thread.
                self._under_way = future
                future.add_done_callback(self._ended)
                return await asyncio.shield(future)
        except TimeoutError as error:
            if error.errno is not None:
                raise  # Of the function itself.
            raise BlockedError(errno.ETIMEDOUT, f"no answer within {self._timeout:g} s") from error

    def _ended(self, future: asyncio.Future[Any]) -> None:
        self._under_way = None
        if not future.cancelled():
            future.exception()  # Retrieved, also where no caller waits for it any more.


class EventLoop(asyncio.SelectorEventLoop):
    """The event loop of our commands: neither its end nor the process's waits long for a thread.

    So the resolver of names, which aiohttp calls in the loop's own pool, has daemon threads as well, and
    a thread that cannot be started is an ``OSError`` like every other failure to resolve a name.
    """

    def __init__(self) -> None:
        super().__init__()
        self._threads: set[asyncio.Future[None]] = set()
        """One for each thread, done when that has ended, even if no caller waits for its result any more."""

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*_Arguments], _Result], *args: *_Arguments
    ) -> asyncio.Future[_Result]:
        """As of every event loop; without an executor, in a daemon thread.

        Raises:
            BlockedError: no thread can be had, or 64 calls hang already.
        """
        if executor is not None:
            return super().run_in_executor(executor, func, *args)
        if len(self._threads) >= _MOST_THREADS:
            raise BlockedError(errno.EAGAIN, f"{_MOST_THREADS} calls hang already")
        future: asyncio.Future[_Result] = self.create_future()
        ended: asyncio.Future[None] = self.create_future()

        def work() -> None:
            try:
                result = func(*args)
            except BaseException as error:  # noqa: BLE001 - raised where its result is awaited
                self._deliver(_fail, future, error)
            else:
                self._deliver(_succeed, future, result)
            self._deliver(_succeed, ended, None)

        try:
            threading.Thread(target=work, daemon=True).start()
        except RuntimeError as error:  # "can't start new thread"
            raise BlockedError(errno.EAGAIN, "no new thread can be had") from error
        self._threads.add(ended)
        ended.add_done_callback(self._threads.discard)
        return future

    async def shutdown_default_executor(self, timeout: float | None = _LAST_SECONDS) -> None:  # noqa: ASYNC109
        """Let threads finish, for example a file half written, for 2 s at most."""
        if self._threads:
            await asyncio.wait(self._threads, timeout=min(timeout or _LAST_SECONDS, _LAST_SECONDS))

    def _deliver(self, how: Callable[[*_Arguments], None], *arguments: *_Arguments) -> None:
        try:
            self.call_soon_threadsafe(how, *arguments)
        except RuntimeError:
            return  # The loop has been closed meanwhile: no caller waits any more.


def _succeed(future: asyncio.Future[_Result], result: _Result) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


def read_regular(path: Path, *, limit: int, follow: bool = True) -> bytes:
    """Read a file, at most ``limit`` bytes and one more, which shows that it is longer; blocking.

    What is no regular file is not read: a pipe or a terminal may never answer, a device never end.

    Raises:
        OSError: it cannot be opened, is a link and ``follow`` is off (ELOOP), a folder (EISDIR) or
            something else that is no regular file (EINVAL).
    """
    links = 0 if follow else os.O_NOFOLLOW
    # Without O_NONBLOCK, opening a pipe waits for who writes to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | links)
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - of a descriptor
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "Not a regular file", str(path))
        content = bytearray()
        while len(content) <= limit and (part := file.read(limit + 1 - len(content))):
            content += part
        return bytes(content)

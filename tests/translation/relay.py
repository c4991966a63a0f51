"""Connections from loopback of one network namespace to loopback of another.

A socket stays in the namespace in which it was made, whichever thread uses it: so this process accepts in
one and connects in the other, and neither has a way to the other but this.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from tests.translation.namespaces import Namespace

LOOPBACK = "127.0.0.1"


@asynccontextmanager
async def relay(port: int, *, of: Namespace | None, at: Namespace | None) -> AsyncIterator[int]:
    """A port of loopback by which another one is reached, for the length of the block.

    Args:
        port: The one that is reached, of 127.0.0.1 in the namespace `of`.
        of: Where somebody listens; ``None``: in the namespace of this process.
        at: Where the port that is given is; ``None`` as above.
    """
    with made(at, lambda: socket.create_server((LOOPBACK, 0))) as listener:
        listener.settimeout(0)
        serving = asyncio.create_task(_serve(listener, port, of))
        try:
            yield listener.getsockname()[1]
        finally:
            serving.cancel()
            await asyncio.wait([serving])


def made(place: Namespace | None, function: Callable[[], socket.socket]) -> socket.socket:
    """A socket that a function makes in a namespace; ``None``: in that of this process."""
    return function() if place is None else place.call(function)


async def _serve(listener: socket.socket, port: int, of: Namespace | None) -> None:
    async with asyncio.TaskGroup() as connections:
        while True:
            near, _ = await asyncio.get_running_loop().sock_accept(listener)
            connections.create_task(_connection(near, port, of))


async def _connection(near: socket.socket, port: int, of: Namespace | None) -> None:
    """Pass on what comes from either end until both have ended; a port that refuses ends it at once."""
    with near, made(of, lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as far, suppress(OSError):
        near.settimeout(0)
        far.settimeout(0)
        await asyncio.get_running_loop().sock_connect(far, (LOOPBACK, port))
        await asyncio.gather(_pass_on(near, far), _pass_on(far, near))


async def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    with suppress(OSError):
        while data := await loop.sock_recv(source, 64 * 1024):
            await loop.sock_sendall(sink, data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)

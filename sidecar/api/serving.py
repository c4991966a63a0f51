"""Serving a request handler on sockets for as long as a block of code runs."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from sidecar.api.connections import Handler, Limits, Server
from sidecar.metrics import Metrics

__all__ = ["BoundAddress", "Limits", "serving"]

BoundAddress = tuple[str, int] | str
"""Host and port, or the path of a Unix socket."""


@asynccontextmanager
async def serving(
    handler: Handler,
    sockets: Sequence[socket.socket],
    *,
    limits: Limits | None = None,
    metrics: Metrics | None = None,
    at_once: asyncio.Event | None = None,
) -> AsyncIterator[tuple[BoundAddress, ...]]:
    """Serve ``handler`` on bound sockets until the block ends; gives the addresses they are bound to.

    The sockets are owned from here on: they are closed at the end, and Unix sockets removed.
    The end closes idle connections at once and gives requests that are being answered
    ``limits.shutdown_timeout`` seconds, or until ``at_once`` is set. ``metrics`` counts connections, for
    one listener of a process.
    """
    limits = limits or Limits()
    addresses = tuple(_address(bound) for bound in sockets)
    server = Server(handler, limits=limits, metrics=metrics)
    runner = web.ServerRunner(server, shutdown_timeout=limits.shutdown_timeout)
    try:
        await runner.setup()
        for bound in sockets:
            await web.SockSite(runner, bound).start()
        yield addresses
    finally:
        # Removed while it still answers: nobody else can have taken the path for a stale one.
        _remove_paths(addresses)
        cut = asyncio.create_task(_cut(server, at_once or asyncio.Event(), limits.shutdown_timeout))
        try:
            await runner.cleanup()
        finally:
            cut.cancel()
        await asyncio.wait([cut])
        server.abort()
        for bound in sockets:
            bound.close()


async def _cut(server: Server, at_once: asyncio.Event, seconds: float) -> None:
    """Cut what is still connected in time: the library waits twice as long as it is told."""
    try:
        async with asyncio.timeout(seconds):
            await at_once.wait()
    except TimeoutError:
        pass
    server.abort()


def _remove_paths(addresses: Sequence[BoundAddress]) -> None:
    for address in addresses:
        if isinstance(address, str):
            Path(address).unlink(missing_ok=True)


def _address(bound: socket.socket) -> BoundAddress:
    name = bound.getsockname()
    return name if isinstance(name, str) else (str(name[0]), int(name[1]))

"""Sockets: bound where settings say, and served until the end."""

import asyncio
import errno
import socket
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from sidecar.api.connections import Handler, Limits, Server
from sidecar.core.listen import ListenAddress
from sidecar.errors import ListenError
from sidecar.metrics import Metrics

_NO_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)
"""How a kernel without IPv6 refuses an IPv6 socket."""

_STALLED_CLIENT_MS = 30_000
"""How long a client may leave what it was sent unread before its connection is given up."""


def bind(address: ListenAddress, *, setting: str) -> list[socket.socket]:
    """Bind the sockets for an address, without listening yet.

    Args:
        address: Where to listen.
        setting: The setting that says so, for the advice in errors.

    Raises:
        ListenError: the address cannot be had.
    """
    try:
        return [_bind_path(Path(address.path)) if address.path else _bind_tcp(address)]
    except OSError as error:
        raise ListenError(
            f"cannot listen on {address} ({error.strerror or error})", advice=_advice(error.errno, setting)
        ) from error


def _advice(error_number: int | None, setting: str) -> str:
    match error_number:
        case errno.EADDRINUSE:
            return f"something else listens there; stop it, or choose another address with {setting}"
        case errno.EACCES | errno.EPERM:
            return f"this user may not; choose a port above 1023 or another path with {setting}"
        case errno.EADDRNOTAVAIL:
            return f"this machine does not have that address; choose another one with {setting}"
        case _:
            return f"choose another address with {setting}"


def _bind_tcp(address: ListenAddress) -> socket.socket:
    if address.host is not None:
        family = socket.AF_INET6 if address.host.version == 6 else socket.AF_INET
        return _bound(family, (str(address.host), address.port), dual_stack=False)
    try:
        # One socket for both families: IPv4 clients appear as IPv4-mapped addresses.
        return _bound(socket.AF_INET6, ("::", address.port), dual_stack=True)
    except OSError as error:
        if error.errno not in _NO_FAMILY:
            raise
        return _bound(socket.AF_INET, ("0.0.0.0", address.port), dual_stack=False)


def _bound(family: socket.AddressFamily, name: tuple[str, int], *, dual_stack: bool) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.settimeout(0)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit it. It bounds unread answers too (tcp(7)).
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STALLED_CLIENT_MS)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not dual_stack)
        bound.bind(name)
    except OSError:
        bound.close()
        raise
    return bound


def _bind_path(path: Path) -> socket.socket:
    """Bind a Unix socket; one that nobody listens on any more gives way."""
    _remove_stale(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.settimeout(0)
        bound.bind(str(path))
        # Containers of a pod run as different users, and what is read here is for all of them.
        path.chmod(0o666)
    except OSError:
        bound.close()
        raise
    return bound


def _remove_stale(path: Path) -> None:
    """Remove a socket that refuses connections; anything else stays, and binding fails on it."""
    try:
        mode = path.stat(follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        if probe.connect_ex(str(path)) == errno.ECONNREFUSED:
            path.unlink(missing_ok=True)


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

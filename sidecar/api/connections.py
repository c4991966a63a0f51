"""Connections and their bounds: who is served, how many at once, and for how long without a request."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any, cast

from aiohttp import http_exceptions, web

from sidecar.api.problems import SERVER
from sidecar.core.addresses import IPNetwork
from sidecar.logs import Recurring, log
from sidecar.metrics import Metrics

__all__ = ["Handler", "Limits", "Server"]

_logger = logging.getLogger(__name__)

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
"""Answers requests."""

_REFUSAL_SECONDS = 2.0
"""How long a client that is one too many has to send its request and take the refusal."""

_MAXIMUM_REFUSALS = 64
"""Clients too many that are told so at the same time; more are cut off."""

_REFUSAL_BODY = b'{"title":"Service Unavailable","status":503,"detail":"There are too many clients."}'
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"Content-Type: application/problem+json\r\n"
    b"Server: %b\r\n"
    b"Retry-After: 1\r\n"
    b"Connection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (SERVER.encode(), len(_REFUSAL_BODY), _REFUSAL_BODY)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of a listener; durations in seconds."""

    max_clients: int = 1024
    """Connections at the same time."""
    allow_from: tuple[IPNetwork, ...] = ()
    """Networks whose connections are served; none given is everybody. Unix sockets are always served."""
    header_timeout: float = 30.0
    """From a request's first byte to the end of its header."""
    idle_timeout: float = 75.0
    """Before the first request, and between requests."""
    max_header_size: int = 8192
    """Bytes of the request line, and of each header field."""
    shutdown_timeout: float = 1.5
    """For requests that are being answered when the end comes."""

    def allow(self, peer: object) -> bool:
        """Whether a peer, as sockets name it, may connect."""
        if not self.allow_from or not isinstance(peer, tuple):
            return True
        address = ip_address(str(peer[0]).partition("%")[0])
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self.allow_from)


class Server(web.Server):
    """Makes the protocol of each connection.

    Args:
        handler: Answers the requests.
        limits: The bounds.
        metrics: Where connections are counted; ``None`` counts nothing.
    """

    def __init__(self, handler: Handler, *, limits: Limits, metrics: Metrics | None) -> None:
        super().__init__(
            cast("Any", handler),
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=limits.idle_timeout,
            max_line_size=limits.max_header_size,
            max_field_size=limits.max_header_size,
        )
        self.limits = limits
        self.refusals: set[_Refusal] = set()
        self.defects = Recurring()
        self._metrics = metrics

    def __call__(self) -> web.RequestHandler:
        """Make the protocol of a connection that was accepted."""
        return _Connection(self, loop=self._loop, **self._kwargs)

    @property
    def full(self) -> bool:
        """Whether there are as many connections as there may be."""
        return len(self._connections) >= self.limits.max_clients

    def abort(self) -> None:
        """Cut all connections."""
        for connection in self.connections:
            if connection.transport is not None:
                connection.transport.abort()
        for refusal in tuple(self.refusals):
            refusal.abort()

    def count_client(self, change: int) -> None:
        """Count a connection that came (1) or went (-1)."""
        if self._metrics is not None:
            self._metrics.clients.inc(change)

    def count_refused(self, cause: str) -> None:
        """Count a connection that was refused."""
        if self._metrics is not None:
            self._metrics.refused_clients.labels(cause=cause).inc()


class _Connection(web.RequestHandler):
    """A connection whose peer is looked at, and whose first request and headers must come in time."""

    __slots__ = ("_served", "_server", "_silent", "_timer")

    def __init__(
        self,
        manager: Server,
        *,
        loop: asyncio.AbstractEventLoop,
        **settings: Any,  # noqa: ANN401 - passed through
    ) -> None:
        super().__init__(manager, loop=loop, **settings)
        self._server = manager
        self._timer: asyncio.TimerHandle | None = None
        self._served = False
        self._silent = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        server = self._server
        if not server.limits.allow(transport.get_extra_info("peername")):
            server.count_refused("allow-from")
            cast("asyncio.Transport", transport).abort()
        elif server.full:
            server.count_refused("max-clients")
            refusal = _Refusal(server)
            transport.set_protocol(refusal)
            refusal.connection_made(transport)
        else:
            self._served = True
            server.count_client(1)
            super().connection_made(transport)
            self._close_in(server.limits.idle_timeout)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_timer()
        if self._served:
            self._server.count_client(-1)
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # The task that serves the connection still waits for a message: what came is part of one.
        if self._waiter is None or self._waiter.done():
            self._stop_timer()
        elif self._timer is None or self._silent:
            self._close_in(self._server.limits.header_timeout)
        self._silent = False

    def log_exception(self, *_: object, **settings: object) -> None:
        """Keep bad requests, which anybody can send, out of the log."""
        error = settings.get("exc_info")
        if isinstance(error, http_exceptions.HttpProcessingError):
            log(_logger, logging.DEBUG, "request-malformed", error=repr(error))
        elif count := self._server.defects.count(type(error).__name__):
            log(_logger, logging.ERROR, "connection-failed", error=repr(error), count=count)

    def _close_in(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(seconds, self.force_close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Refusal(asyncio.Protocol):
    """Tells a client that there are too many, once it has sent something, and closes.

    Closing after the client has, or after a moment, keeps the answer from being lost to a reset.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._told = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if len(self._server.refusals) >= _MAXIMUM_REFUSALS:
            self._transport.abort()
            return
        self._server.refusals.add(self)
        self._timer = asyncio.get_running_loop().call_later(_REFUSAL_SECONDS, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        if self._transport is not None and data and not self._told:
            self._told = True
            self._transport.write(_REFUSAL)
            self._transport.write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._timer is not None:
            self._timer.cancel()
        self._server.refusals.discard(self)

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

"""Connections and their bounds: who is served, how many at once, and for how long without a request."""

import asyncio
import logging
import re
import select
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

from aiohttp import HttpVersion10, HttpVersion11, http_exceptions, streams, web, web_protocol

from sidecar.api.peers import address_of
from sidecar.api.problems import HEADERS, problem_response
from sidecar.core.addresses import IPNetwork
from sidecar.logs import Recurring, log
from sidecar.metrics import Metrics

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
    b"%b"
    b"Retry-After: 1\r\n"
    b"Connection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b"
    % (
        "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items()).encode(),
        len(_REFUSAL_BODY),
        _REFUSAL_BODY,
    )
)

_ErrInfo = web_protocol._ErrInfo  # noqa: SLF001 - what the library queues for what is no request

_EMPTY_LINES = re.compile(rb"\A(?:\r?\n)+")
"""Lines before a request that are ignored (RFC 9112, section 2.2)."""

_HEAD_END = re.compile(rb"\n\r?\n")
"""The blank line after the head of a request."""

_READ = 16_384
"""Bytes that are read from a connection at a time: what pipelined requests may be in memory unanswered."""

_LIGHT = 4096
"""Bytes of requests that each connection may hold; what hold more than that are counted together."""

_HEAVY = 1 << 20
"""Bytes of requests that all connections of a listener may hold that are not light. In memory, parsed, each
is some three."""

_LINGER_SECONDS = 1.0
"""How long a client whose request had a body may take to read the answer; what it sends is thrown away."""

_GONE_SECONDS = 5.0
"""After so long without another answer a client that has closed its side counts as gone.

Not less: where the agent itself is slow, many requests at once take some seconds.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of a listener; durations in seconds."""

    max_clients: int = 1024
    """Connections at the same time."""
    newcomers_first: bool = False
    """Whether, when all are busy, one that has had an answer gives way to a new one, instead of the new one
    being refused: who asks without end must not keep out a probe."""
    allow_from: tuple[IPNetwork, ...] = ()
    """Networks whose connections are served; none given is everybody. Unix sockets are always served."""
    header_timeout: float = 30.0
    """From the first byte of a request's head to its end."""
    max_head_size: int = 32_768
    """Bytes of a request's head: the request line and all header fields together."""
    idle_timeout: float = 75.0
    """Before the first request, and between requests."""
    max_header_size: int = 8192
    """Bytes of the request line, and of each header field."""
    shutdown_timeout: float = 1.5
    """For requests that are being answered when the end comes."""

    def allow(self, peer: object) -> bool:
        """Whether a peer, as sockets name it, may connect."""
        if not self.allow_from:
            return True
        address = address_of(peer)
        return address is None or any(address in network for network in self.allow_from)


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
            # No request here has a body that anybody reads: it is neither inflated nor waited for.
            auto_decompress=False,
            lingering_time=_LINGER_SECONDS,
            keepalive_timeout=limits.idle_timeout,
            max_line_size=limits.max_header_size,
            max_field_size=limits.max_header_size,
        )
        self.limits = limits
        self.refusals: set[_Refusal] = set()
        self.defects = Recurring()
        self._metrics = metrics
        self._longest_idle: deque[_Connection] = deque()
        self._heavy: dict[_Connection, int] = {}
        """Bytes of requests that connections hold beyond what is light, by age."""
        self._heavy_bytes = 0

    def __call__(self) -> web.RequestHandler:
        """Make the protocol of a connection that was accepted."""
        return _Connection(self, loop=self._loop, **self._kwargs)

    def make_room(self) -> bool:
        """Whether there is a place for one more connection, if need be that of the one idle longest.

        Who is served, and takes what it is sent, keeps its place; who only holds one does not.
        """
        if len(self._connections) < self.limits.max_clients:
            return True
        for _ in range(2):
            while self._longest_idle:
                connection = self._longest_idle.popleft()
                if connection.transport is not None and connection.is_idle:
                    return self._take_place_of(connection)
            # Looked for among all only when those found last time are used up.
            idle = [known for known in self.connections if isinstance(known, _Connection) and known.is_idle]
            self._longest_idle.extend(sorted(idle, key=lambda known: known.idle_since))
        if self.limits.newcomers_first:
            for known in self.connections:  # the oldest first
                if isinstance(known, _Connection) and known.answered:
                    return self._take_place_of(known)
        return False

    def _take_place_of(self, connection: "_Connection") -> bool:
        self.count_refused("idle")
        connection.give_way()
        # It goes by itself in the next turn of the loop, and its place with it.
        self._connections.pop(connection, None)
        return True

    def weigh(self, connection: "_Connection", size: int) -> None:
        """Take note of the bytes that a connection holds; where they are too many in all, the oldest go."""
        self._heavy_bytes -= self._heavy.pop(connection, 0)
        if size <= _LIGHT:
            return
        self._heavy[connection] = size
        self._heavy_bytes += size
        while self._heavy_bytes > _HEAVY:
            oldest = next(iter(self._heavy))
            self._heavy_bytes -= self._heavy.pop(oldest)
            self.count_refused("heads")
            oldest.give_way()

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
    """A connection whose peer is looked at, and whose heads are bounded in time and size.

    It leans on private parts of the library's handler (tests hold them): ``_messages`` are requests that
    were parsed, ``_request_count`` is how many, ``_waiter`` is pending while the handler has none to answer,
    and ``_next_keepalive_close_time`` is the idle time-out after the last answer.
    """

    __slots__ = (
        "_answers",
        "_discards",
        "_finished",
        "_half_closed",
        "_head_size",
        "_held",
        "_look",
        "_served",
        "_server",
        "_tail",
        "_timer",
        "_unread",
    )

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
        self._head_size = 0
        """Bytes of the head that has begun and not ended."""
        self._tail = b""
        """The last two bytes that the parser was given of it."""
        self._held = 0
        """Bytes of requests since there was none to answer and none had begun."""
        self._unread = b""
        """What came and was not given to the parser yet."""
        self._discards = False
        """Whether nothing that comes is looked at any more."""
        self._answers = 0
        """How many the client has got."""
        self._half_closed = False
        """Whether the client has said that it sends no more."""
        self._finished = False
        """Whether the last answer has been sent."""
        self._look: asyncio.TimerHandle | None = None
        """When to look for a client that has gone, while nothing is read."""

    @property
    def answered(self) -> bool:
        """Whether it has had an answer."""
        return self._answers > 0

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered, or the client does not take the answers."""
        if self._waiter is not None and not self._waiter.done():
            return True
        return self.transport is not None and self.transport.get_write_buffer_size() > 0

    @property
    def idle_since(self) -> float:
        """When the last answer ended, or else the connection began, in the loop's time and some constant."""
        return self._next_keepalive_close_time

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        server = self._server
        if not server.limits.allow(transport.get_extra_info("peername")):
            server.count_refused("allow-from")
            cast("asyncio.Transport", transport).abort()
        elif not server.make_room():
            server.count_refused("max-clients")
            refusal = _Refusal(server)
            transport.set_protocol(refusal)
            refusal.connection_made(transport)
        else:
            self._served = True
            server.count_client(1)
            super().connection_made(transport)
            # Of asyncio's own transports: what one reading takes, 256 KiB unless told otherwise.
            transport.max_size = _READ  # type: ignore[attr-defined]
            self._close_in(server.limits.idle_timeout)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_timer()
        if self._look is not None:
            self._look.cancel()
        if self._served:
            self._server.count_client(-1)
            self._server.weigh(self, 0)
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._discards:
            return
        rests = self._head_size == 0 and self._waiter is not None and not self._waiter.done()
        was, self._held = self._held, len(data) if rests else self._held + len(data)
        if self._held > _LIGHT or was > _LIGHT:
            self._server.weigh(self, self._held)
            if self._discards:
                return  # it gave way itself
        self._unread += data
        self._read_on()

    def _read_on(self) -> None:
        """Give the parser the heads that came, one at a time.

        So each is measured before it is parsed, one that is malformed does not take those before it away,
        and behind requests that wait for their answers nothing is parsed.
        """
        began = False
        while self._unread and not (self._discards or self._buffer_paused or self._upgraded):
            if self._head_size == 0:
                # Here, since they would cost the parser as much as requests.
                self._unread = _EMPTY_LINES.sub(b"", self._unread)
                if not self._unread:
                    break
            # The blank line may have begun in what the parser already has, which has no whole one.
            known = self._tail if self._head_size else b""
            end = _HEAD_END.search(known + self._unread)
            size = len(self._unread) if end is None else end.end() - len(known)
            head, self._unread = self._unread[:size], self._unread[size:]
            began = began or self._head_size == 0
            self._head_size += size
            if self._head_size > self._server.limits.max_head_size:
                self._refuse_head()
                return
            self._tail = (known + head)[-2:] if end is None else b""
            count = self._request_count
            super().data_received(head)
            if self._request_count > count:
                began, self._head_size = False, 0
                self._discards = self._ends_with_newest()
                if len(self._messages) > 1:
                    self._pause_reading_for_buffer()
            elif end is not None:
                began, self._head_size = False, 0  # empty lines, of which the parser had the first byte
        if self._discards:
            self._unread = b""
        elif self._unread and not self._buffer_paused:
            self._pause_reading_for_buffer()
        if self._head_size == 0:
            self._stop_timer()
        elif began:
            self._close_in(self._server.limits.header_timeout)

    def _pause_reading_for_buffer(self) -> None:
        super()._pause_reading_for_buffer()
        self._look_later()

    def _look_later(self) -> None:
        if self._look is None:
            self._look = self._loop.call_later(_GONE_SECONDS, self._look_for_end, self._answers)

    def _look_for_end(self, answers: int) -> None:
        """Let a client go that has closed, or its side, and has got no answer for longer than a moment.

        Its end may be behind requests that are not read yet, so nobody else sees it.
        """
        self._look = None
        if self.transport is None or not (self._half_closed or self._buffer_paused):
            return
        waits = answers == self._answers and self.transport.get_write_buffer_size() == 0
        watched = select.poll()
        watched.register(self.transport.get_extra_info("socket").fileno(), select.POLLRDHUP)
        if waits and (self._half_closed or watched.poll(0)):
            self.give_way()
        else:
            self._look_later()

    def _resume_reading_for_buffer(self) -> None:
        """Read on once the last request that was queued is being answered."""
        if not self._messages:
            super()._resume_reading_for_buffer()
            self._read_on()

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio keeps the transport open for true
        """Answer the requests that came before a client closed its side, as ``nc -N`` does.

        One that has gone altogether looks the same: it keeps its place for a moment and no longer.
        """
        if self._finished or (not self._messages and self._answers >= self._request_count):
            return False
        self._half_closed = True
        self._stop_timer()
        self._look_later()
        return True

    def _ends_with_newest(self) -> bool:
        """Whether the answer to the newest request ends the connection: it has a body, or is no request."""
        message, payload = self._messages[-1]
        if not isinstance(message, _ErrInfo) and message.version not in (HttpVersion10, HttpVersion11):
            status = HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
            text = "Requests here are of HTTP/1.1 or HTTP/1.0."
            message = _ErrInfo(status, http_exceptions.HttpProcessingError(message=text), text)
        if isinstance(message, _ErrInfo):
            self._messages[-1] = (message, self._endless())
            return True
        return payload is not streams.EMPTY_PAYLOAD

    def _refuse_head(self) -> None:
        """Answer 431 after the requests before, and look at nothing more."""
        self._discards, self._unread = True, b""
        self._stop_timer()
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        text = f"The head of a request has at most {self._server.limits.max_head_size} bytes here."
        refusal = _ErrInfo(status, http_exceptions.HttpProcessingError(message=text), text)
        self._messages.append((refusal, self._endless()))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _endless(self) -> streams.StreamReader:
        """A body that never comes: the library lingers for it, so that no reset takes the answer away."""
        return streams.StreamReader(self, _READ, loop=self._loop)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer, which ends the connection if the request had a body."""
        if request.body_exists or (self._half_closed and not self._messages):
            resp.force_close()
        finished = await super().finish_response(request, resp, start_time)
        self._answers += 1
        self._finished = not resp.keep_alive
        # The client sees the end of the answer at once; only what it still sends is lingered for.
        if self._finished and not request.content.is_eof() and self.transport is not None:
            with suppress(OSError):  # the client may have gone
                self.transport.write_eof()
        if self._buffer_paused:  # for a request to change the protocol, which was answered as any other
            self._resume_reading_for_buffer()
        return finished

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP request, in the form and under the name of all other answers."""
        super().handle_error(request, status, exc, message)  # which logs it
        response = problem_response(HTTPStatus(status), message)
        response.force_close()
        return response

    def log_exception(self, *_: object, **settings: object) -> None:
        """Keep bad requests, and clients that go away, which anybody can do, out of the log."""
        error = settings.get("exc_info")
        if isinstance(error, http_exceptions.HttpProcessingError | web.RequestPayloadError | ConnectionError):
            log(_logger, logging.DEBUG, "request-malformed", error=repr(error))
        elif count := self._server.defects.count(type(error).__name__):
            log(_logger, logging.ERROR, "connection-failed", error=repr(error), count=count)

    def give_way(self) -> None:
        """Cut the connection, and let go at once of what was read of it.

        The transport ends in the loop's next turn, and in this one all the others may be read from.
        """
        self._discards, self._unread = True, b""
        self._parser = None
        if self._task_handler is not None:
            self._task_handler.cancel()
        self._messages.clear()
        if self.transport is not None:
            self.transport.abort()

    def _close_in(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(seconds, self._close_late)

    def _close_late(self) -> None:
        """Close: nothing has come in time. A request that is being answered still gets its answer."""
        self._discards = True
        if self._waiter is None or self._waiter.done():
            self.close()
        else:
            self.force_close()

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
            with suppress(OSError):  # the client may have gone
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

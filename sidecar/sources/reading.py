"""What the clients of the document's sources and of probes share: bounded reading, and errors by situation.

No server is trusted, so everything before, around and in an answer is bounded in number and
length, beside the time-out: interim answers, bytes on the wire, pieces of a body, and the body.
"""

import errno
import os
import socket
import ssl
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError

import sidecar
from sidecar.core.outcome import Failure, FailureKind, Reason
from sidecar.core.parsing import ERROR_LIMIT
from sidecar.core.reply import printable, shown

USER_AGENT = f"azure-lb-metadata/{sidecar.__version__}"

_CONNECTING = 0.8
"""The part of a whole request's time-out that connecting may take, so that dropped packets are distinguished
from a server that does not answer."""

_BODY_LIMIT = 4 * 1024 * 1024
"""Bytes of a body that are read: more than a hundred times a document of 250 rules."""

_MOST_PIECES = 10_000
"""Pieces of a body, as its sender or the network cut it: four times as many as packets fit into 4 MiB."""

_MOST_INTERIM = 16
"""Interim answers (1xx) before an answer; RFC 9110 sets no bound, and the service sends none."""

_SLICE = 8 * 1024
"""Bytes that are looked at in one go, so that a flood is noticed before all of it has been parsed."""

_KINDS = {
    errno.ECONNREFUSED: FailureKind.REFUSED,
    errno.EHOSTUNREACH: FailureKind.NO_ROUTE,
    errno.ENETUNREACH: FailureKind.NO_ROUTE,
    errno.ETIMEDOUT: FailureKind.NO_CONNECTION,
}
"""By the system's error number; connect(2)."""


class TooLargeError(Exception):
    """The body is longer, or in more pieces, than it may be; the text says which."""


class Protocol(ResponseHandler):
    """A connection that is closed when there is more before and around an answer than there may be."""

    most_received = 2 * _BODY_LIMIT
    """Bytes of one whole answer on the wire, extensions of its chunks and interim answers included."""

    _received = 0
    _interim = 0

    def set_response_params(self, **parameters: Any) -> None:  # noqa: ANN401 - passed on
        """Another request begins."""
        self._received = self._interim = 0
        super().set_response_params(**parameters)

    def data_received(self, data: bytes) -> None:
        """Take what came, or refuse the rest."""
        self._received += len(data)
        if self._received > self.most_received:
            self._refuse(f"more than {self.most_received} bytes")
        # Without data, aiohttp resumes parsing what is buffered.
        for start in range(0, len(data) or 1, _SLICE):
            if self.transport is None or self.transport.is_closing():
                return
            super().data_received(data[start : start + _SLICE])

    def feed_data(self, data: tuple[RawResponseMessage, aiohttp.StreamReader], size: int = 0) -> None:
        """Take the head of an answer."""
        status = data[0].code
        self._interim += 100 <= status < 200 and status != 101
        if self._interim <= _MOST_INTERIM:
            super().feed_data(data, size)
        elif not self.is_eof():
            self._refuse(f"more than {_MOST_INTERIM} interim answers")

    def _refuse(self, why: str) -> None:
        if self.transport is not None:
            self.transport.abort()
        self.set_exception(HttpProcessingError(code=502, message=why))


class Connector(aiohttp.TCPConnector):
    """One connection at a time, kept for the next request unless ``options`` say otherwise."""

    def __init__(self, protocol: Callable[..., ResponseHandler] = Protocol, **options: Any) -> None:  # noqa: ANN401 - passed on
        super().__init__(limit=1, **options)
        self._factory = partial(protocol, loop=self._loop)


ERRORS = (TooLargeError, TimeoutError, aiohttp.ClientError, OSError)
"""What a request and :func:`read` may raise; :func:`failure` says what it means."""


def new_session(
    *, timeout: float | None = None, connector: Connector | None = None, **headers: str
) -> aiohttp.ClientSession:
    """A client of one connection, without proxy, cookies and decompression.

    ``timeout`` is in seconds, for a whole request; ``None``: each request has its own. Without a
    ``connector`` the connection is kept.
    When a connection ends before an answer has begun, aiohttp sends the GET once more on a new one:
    so a kept connection that the server has closed meanwhile costs no attempt.
    """
    return aiohttp.ClientSession(
        connector=connector or Connector(),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(
            total=timeout, sock_connect=None if timeout is None else _CONNECTING * timeout
        ),
        headers={"Accept-Encoding": "identity", "User-Agent": USER_AGENT, **headers},
        skip_auto_headers=("Accept",),
        auto_decompress=False,
        trust_env=False,
    )


class Client:
    """A client that closes its session at the end of the ``async with`` block."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._session.close()


def compressed(response: aiohttp.ClientResponse) -> bool:
    """Whether the body is compressed although that was not requested; an empty header means it is not."""
    return response.headers.get("Content-Encoding", "").strip().lower() not in {"", "identity"}


async def read(response: aiohttp.ClientResponse) -> bytes:
    """The whole body, or the first 64 KiB of another status than 200.

    What is not read closes the connection when the response is left.

    Raises:
        TooLargeError: that of a 200 is longer than 4 MiB, or a body has more than 10,000 pieces.
        aiohttp.ClientOSError: the connection was reset.
        aiohttp.ClientPayloadError: the connection was closed too early, or the body is not HTTP.
    """
    body, pieces = bytearray(), 0
    limit = _BODY_LIMIT if response.status == 200 else ERROR_LIMIT
    # Kept, since the response forgets it: the payload's own error does not distinguish a reset from an end.
    connection = response.connection
    protocol = None if connection is None else connection.protocol
    try:
        # Not iter_chunks(), which never ends where there is no body at all (304).
        while not response.content.at_eof():
            piece, _ = await response.content.readchunk()
            body += piece
            pieces += 1
            if len(body) > limit:
                if response.status != 200:
                    return bytes(body[:limit])
                raise TooLargeError(f"the body is larger than {limit} bytes")
            if pieces > _MOST_PIECES:
                raise TooLargeError(f"the body is in more than {_MOST_PIECES} pieces")
    except aiohttp.ClientPayloadError as error:
        lost = None if protocol is None else protocol.exception()
        if isinstance(lost, aiohttp.ClientOSError):
            raise lost from error
        raise
    return bytes(body)


def failure(error: Exception) -> Failure:
    """The failure of an attempt that ended with one of ``ERRORS``."""
    match error:
        case TooLargeError():
            return Failure(Reason.MALFORMED, detail=str(error), kind=FailureKind.BROKEN)
        case aiohttp.ConnectionTimeoutError():
            detail = "no connection within the time-out"
            return Failure(Reason.UNREACHABLE, detail=detail, kind=FailureKind.NO_CONNECTION)
        case TimeoutError():
            detail = "no complete answer within the time-out"
            return Failure(Reason.UNREACHABLE, detail=detail, kind=FailureKind.NO_ANSWER)
        case aiohttp.ClientPayloadError() | aiohttp.ClientResponseError():
            # Not HTTP, or cut short by a connection that was closed in order.
            detail = f"broken response: {described(error)}"
            return Failure(Reason.MALFORMED, detail=detail, kind=FailureKind.BROKEN)
        case aiohttp.ClientConnectorDNSError():
            # Before its base class: a resolver's error number is not one of the system's.
            return Failure(Reason.UNREACHABLE, detail=described(error), kind=FailureKind.UNKNOWN_NAME)
        case _:
            number = error.errno if isinstance(error, OSError) else None
            kind = FailureKind.RESET if number is None else _KINDS.get(number, FailureKind.RESET)
            return Failure(Reason.UNREACHABLE, detail=described(error), kind=kind)


def described(error: Exception) -> str:
    """The part of a client error that helps a person: without its class and the connector's settings.

    One line of printable ASCII, of bounded length.
    """
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"cannot resolve {printable(error.host)}: {described(error.os_error)}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect: {described(error.os_error)}"
    if isinstance(error, aiohttp.ClientPayloadError) and isinstance(error.__cause__, HttpProcessingError):
        error = error.__cause__
    if isinstance(error, aiohttp.ServerDisconnectedError):
        # Its own text can be the state of the parser.
        text = "the connection was closed before an answer"
    elif isinstance(error, (aiohttp.ClientResponseError, HttpProcessingError)):
        text = error.message
    elif isinstance(error, OSError) and error.errno is not None:
        # The event loop's own text says "Connect call failed" whatever the cause. The numbers of
        # resolver and TLS errors are none of the system's.
        own = isinstance(error, (socket.gaierror, ssl.SSLError))
        text = str(error.strerror) if own else os.strerror(error.errno)
    else:
        text = str(error)
    return shown(text.encode("ascii", errors="replace")) or type(error).__name__

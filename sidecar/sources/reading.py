"""What the clients of the document's sources share: bounded reading, and errors by situation."""

import os
import socket
import ssl
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

import sidecar
from sidecar.core.outcome import Failure, Reason
from sidecar.core.reply import printable, shown

__all__ = ["ERRORS", "USER_AGENT", "Client", "TooLargeError", "compressed", "failure", "new_session", "read"]

USER_AGENT = f"azure-lb-metadata/{sidecar.__version__}"

_CONNECTING = 0.8
"""The part of a whole request's time-out that connecting may take, so that who is never let through is told
from who gets no answer."""

_BODY_LIMIT = 4 * 1024 * 1024
"""Bytes of a body that are read: more than a hundred times a document of 250 rules."""


class TooLargeError(Exception):
    """The body is longer than ``_BODY_LIMIT``."""


ERRORS = (TooLargeError, TimeoutError, aiohttp.ClientError, OSError)
"""What a request and :func:`read` may raise; :func:`failure` says what it means."""


def new_session(*, timeout: float | None = None, **headers: str) -> aiohttp.ClientSession:
    """A client of one keep-alive connection, without proxy, cookies and decompression.

    ``timeout`` is in seconds, for a whole request; ``None``: each request has its own.
    When a connection ends before an answer has begun, aiohttp sends the GET once more on a new one:
    so a kept connection that the server has closed meanwhile costs no attempt.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=1, force_close=False),
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
    """What has a session, and closes it at the end of the block."""

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
    """Whether the body is compressed although that was not wanted."""
    return response.headers.get("Content-Encoding", "identity").lower() != "identity"


async def read(response: aiohttp.ClientResponse) -> bytes:
    """The whole body.

    Raises:
        TooLargeError: it is longer than 4 MiB; the rest is not read, so the response must be left,
            which closes the connection.
        aiohttp.ClientOSError: the connection was reset.
        aiohttp.ClientPayloadError: the connection was closed too early, or the body is not HTTP.
    """
    body = bytearray()
    # Kept, since the response forgets it: the payload's own error does not tell a reset from an end.
    connection = response.connection
    protocol = None if connection is None else connection.protocol
    try:
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > _BODY_LIMIT:
                raise TooLargeError
    except aiohttp.ClientPayloadError as error:
        lost = None if protocol is None else protocol.exception()
        if isinstance(lost, aiohttp.ClientOSError):
            raise lost from error
        raise
    return bytes(body)


def failure(error: Exception) -> Failure:
    """What an attempt came to that ended with one of ``ERRORS``."""
    match error:
        case TooLargeError():
            return Failure(Reason.MALFORMED, detail=f"the body is larger than {_BODY_LIMIT} bytes")
        case aiohttp.ConnectionTimeoutError():
            return Failure(Reason.UNREACHABLE, detail="no connection within the time-out")
        case TimeoutError():
            return Failure(Reason.UNREACHABLE, detail="no complete answer within the time-out")
        case aiohttp.ClientPayloadError() | aiohttp.ClientResponseError():
            # Not HTTP, or cut short by a connection that was closed in order.
            return Failure(Reason.MALFORMED, detail=f"broken response: {_described(error)}")
        case _:
            return Failure(Reason.UNREACHABLE, detail=_described(error))


def _described(error: Exception) -> str:
    """What a person can use of a client error: neither its class nor how the connector was set up."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"cannot resolve {printable(error.host)}: {_described(error.os_error)}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect: {_described(error.os_error)}"
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

"""The client of the Azure Instance Metadata Service.

Facts: MicrosoftDocs/azure-docs howto-load-balancer-imds.md (endpoint and document),
MicrosoftDocs/azure-compute-docs instance-metadata-service.md (headers, no proxy, rate limit).
"""

import logging
import os
import socket
import ssl
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

import sidecar
from sidecar.clock import Clock
from sidecar.core.backoff import parse_retry_after
from sidecar.core.outcome import Answer, Failure, Outcome, Reason
from sidecar.core.reply import fallback_version, interpret, shown
from sidecar.logs import log

__all__ = ["PATH", "IMDSSource"]

PATH = "/metadata/loadbalancer"

_BODY_LIMIT = 4 * 1024 * 1024
"""Bytes of a body that are read: a hundred times a document of 250 rules."""

_HEADERS = {
    "Accept-Encoding": "identity",
    "Metadata": "true",
    "User-Agent": f"azure-lb-metadata/{sidecar.__version__}",
}

_logger = logging.getLogger(__name__)


class _TooLargeError(Exception):
    """The body is longer than ``_BODY_LIMIT``."""


class IMDSSource:
    """Reads the document over one keep-alive connection, without proxy and without redirects.

    When a connection ends before an answer has begun, aiohttp sends the GET once more on a new one:
    so a kept connection that the service has closed meanwhile costs no attempt.
    """

    def __init__(self, *, endpoint: str, api_version: str, timeout: float, clock: Clock) -> None:
        """Prepare a client; it connects at the first attempt.

        Args:
            endpoint: Scheme, host and port, without a path.
            api_version: The first version to try; see ``fallback_version``.
            timeout: Seconds for a whole request.
            clock: For ``Retry-After`` in the form of a date.
        """
        self._endpoint = endpoint
        self._api_version = api_version
        self._refused_versions: set[str] = set()
        self._clock = clock
        self._last: Answer | None = None
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1, force_close=False),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=timeout),
            headers=_HEADERS,
            skip_auto_headers=("Accept",),
            auto_decompress=False,
            trust_env=False,
        )

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

    async def fetch(self) -> Outcome:
        """Ask for the document once, and once more with another api-version if that is what is wrong."""
        try:
            outcome, fallback = await self._attempt()
            if fallback is not None:
                self._fall_back(fallback)
                outcome, _ = await self._attempt()
        except _TooLargeError:
            return Failure(Reason.MALFORMED, detail=f"the body is larger than {_BODY_LIMIT} bytes")
        except TimeoutError:
            return Failure(Reason.UNREACHABLE, detail="no complete answer within the time-out")
        except (aiohttp.ClientPayloadError, aiohttp.ClientResponseError) as error:
            # Not HTTP, or cut short by a connection that was closed in order.
            return Failure(Reason.MALFORMED, detail=f"broken response: {_described(error)}")
        except (aiohttp.ClientError, OSError) as error:
            return Failure(Reason.UNREACHABLE, detail=_described(error))
        if isinstance(outcome, Answer):
            self._last = outcome
        return outcome

    def _fall_back(self, version: str) -> None:
        log(_logger, logging.WARNING, "api-version-refused", refused=self._api_version, using=version)
        self._refused_versions.add(self._api_version)
        self._api_version = version

    async def _attempt(self) -> tuple[Outcome, str | None]:
        """One request: its outcome, and the api-version to try instead."""
        url = f"{self._endpoint}{PATH}?api-version={self._api_version}&format=json"
        async with self._session.get(url, allow_redirects=False) as response:
            body = await _read(response)
            if response.status == 200 and self._last is not None and body == self._last.body:
                # The same bytes mean the same document: nothing is parsed again.
                return self._last, None
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                if response.status == 200:
                    return Failure(Reason.MALFORMED, detail="the body is compressed", status=200), None
                body = b"(compressed)"
            retry_after = parse_retry_after(response.headers.get("Retry-After"), now=self._clock().utc)
            return interpret(response.status, body, retry_after=retry_after), self._fallback(
                response.status, body
            )

    def _fallback(self, status: int, body: bytes) -> str | None:
        """The version to use from now on; none is tried again that was refused before."""
        if status != 400:
            return None
        return fallback_version(body, refused={*self._refused_versions, self._api_version})


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The whole body.

    Raises:
        _TooLargeError: it is longer than ``_BODY_LIMIT``; the rest is not read, so the response must
            be left, which closes the connection.
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
                raise _TooLargeError
    except aiohttp.ClientPayloadError as error:
        lost = None if protocol is None else protocol.exception()
        if isinstance(lost, aiohttp.ClientOSError):
            raise lost from error
        raise
    return bytes(body)


def _described(error: Exception) -> str:
    """What a person can use of a client error: neither its class nor how the connector was set up."""
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

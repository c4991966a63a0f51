"""The client of the Azure Instance Metadata Service.

Facts: MicrosoftDocs/azure-docs howto-load-balancer-imds.md (endpoint and document),
MicrosoftDocs/azure-compute-docs instance-metadata-service.md (headers, no proxy, rate limit).
"""

import logging
from types import TracebackType
from typing import Self

import aiohttp

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

    When a kept connection turns out to be closed, aiohttp sends the GET once more on a new one.
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
                log(
                    _logger, logging.WARNING, "api-version-refused", refused=self._api_version, using=fallback
                )
                self._api_version = fallback
                outcome, _ = await self._attempt()
        except _TooLargeError:
            return Failure(Reason.MALFORMED, detail=f"the body is larger than {_BODY_LIMIT} bytes")
        except TimeoutError:
            return Failure(Reason.UNREACHABLE, detail="no complete answer within the time-out")
        except (aiohttp.ClientPayloadError, aiohttp.ClientResponseError) as error:
            return _broken(error)
        except (aiohttp.ClientError, OSError) as error:
            return Failure(Reason.UNREACHABLE, detail=_described(error))
        if isinstance(outcome, Answer):
            self._last = outcome
        return outcome

    async def _attempt(self) -> tuple[Outcome, str | None]:
        """One request: its outcome, and the api-version to try instead."""
        url = f"{self._endpoint}{PATH}?api-version={self._api_version}&format=json"
        async with self._session.get(url, allow_redirects=False) as response:
            body = await _read(response)
            if response.status == 200 and self._last is not None and body == self._last.body:
                # The same bytes mean the same document: nothing is parsed again.
                return self._last, None
            if "Content-Encoding" in response.headers:
                return Failure(
                    Reason.MALFORMED, detail="the body is compressed", status=response.status
                ), None
            retry_after = parse_retry_after(response.headers.get("Retry-After"), now=self._clock().utc)
            fallback = fallback_version(body, refused=self._api_version) if response.status == 400 else None
            return interpret(response.status, body, retry_after=retry_after), fallback


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > _BODY_LIMIT:
            response.close()
            raise _TooLargeError
    return bytes(body)


def _broken(error: aiohttp.ClientPayloadError | aiohttp.ClientResponseError) -> Failure:
    """Tell a connection that was reset from a response that is not HTTP or ends early."""
    if isinstance(error.__cause__, ConnectionError):
        return Failure(Reason.UNREACHABLE, detail=_described(error.__cause__))
    return Failure(Reason.MALFORMED, detail=f"broken response ({_described(error)})")


def _described(error: Exception) -> str:
    text = shown(str(error).encode("ascii", errors="replace"))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

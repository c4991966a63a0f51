"""The client of the Azure Instance Metadata Service.

Facts: MicrosoftDocs/azure-docs howto-load-balancer-imds.md (endpoint and document),
MicrosoftDocs/azure-compute-docs instance-metadata-service.md (headers, no proxy, rate limit).
"""

import logging

import aiohttp

from sidecar.clock import Clock
from sidecar.core.backoff import parse_retry_after
from sidecar.core.outcome import Failure, Outcome, Reason, Success
from sidecar.core.parsing import ERROR_LIMIT
from sidecar.core.reply import fallback_version, interpret, listed_version, lists_versions, refuses_version
from sidecar.logs import log
from sidecar.sources import reading

PATH = "/metadata/loadbalancer"

VERSIONS_PATH = "/metadata/versions"
"""Lists the api-versions of all categories, and needs none itself (instance-metadata-service.md)."""

_logger = logging.getLogger(__name__)


class IMDSSource(reading.Client):
    """Reads the document over one keep-alive connection, without proxy and without redirects."""

    longest_wait = 0.0

    def __init__(self, *, endpoint: str, api_version: str, timeout: float, clock: Clock) -> None:
        """Prepare a client; it connects at the first attempt.

        Args:
            endpoint: Scheme, host and port, without a path.
            api_version: The first version to try; see ``fallback_version``.
            timeout: Seconds for a whole request.
            clock: For ``Retry-After`` in the form of a date.
        """
        super().__init__(reading.new_session(timeout=timeout, Metadata="true"))
        self._endpoint = endpoint
        self._api_version = api_version
        self._refused_versions: set[str] = set()
        self._versions: bytes | None = None
        """The service's answer about its api-versions, once it was requested."""
        self._clock = clock
        self._last: Success | None = None

    async def fetch(self) -> Outcome:
        """Request the document, and once more with another api-version if that was refused."""
        try:
            outcome, refusal = await self._attempt()
            if refusal is not None and (version := await self._fallback(refusal)) is not None:
                log(_logger, logging.WARNING, "api-version-refused", refused=self._api_version, using=version)
                self._refused_versions.add(self._api_version)
                self._api_version = version
                outcome, _ = await self._attempt()
        except reading.ERRORS as error:
            return reading.failure(error)
        if isinstance(outcome, Success):
            self._last = outcome
        return outcome

    async def _attempt(self) -> tuple[Outcome, bytes | None]:
        """One request: its outcome, and the body if that refuses the api-version."""
        response, body = await self._get(f"{PATH}?api-version={self._api_version}&format=json")
        if response.status == 200 and self._last is not None and body == self._last.body:
            # The same bytes mean the same document: nothing is parsed again.
            return self._last, None
        if reading.compressed(response):
            if response.status == 200:
                return Failure(Reason.MALFORMED, detail="the body is compressed", status=200), None
            body = b"(compressed)"
        retry_after = parse_retry_after(response.headers.get("Retry-After"), now=self._clock().utc)
        outcome = interpret(response.status, body, retry_after=retry_after)
        return outcome, body if refuses_version(response.status, body) else None

    async def _get(self, target: str) -> tuple[aiohttp.ClientResponse, bytes]:
        async with self._session.get(f"{self._endpoint}{target}", allow_redirects=False) as response:
            return response, await reading.read(response)

    async def _fallback(self, refusal: bytes) -> str | None:
        """The version to use from now on; none is tried again that was refused before."""
        refused = {*self._refused_versions, self._api_version}
        if lists_versions(refusal):
            return fallback_version(refusal, refused=refused)
        if self._versions is None:
            try:
                response, body = await self._get(VERSIONS_PATH)
            except reading.ERRORS:
                return None  # the refusal counts; the next one makes another request
            if response.status != 200 or reading.compressed(response):
                return None
            self._versions = body[:ERROR_LIMIT]
        return listed_version(self._versions, refused=refused)

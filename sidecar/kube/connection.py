"""Connections to the API server, kept open.

They are the agent's own, over aiohttp, and not those of ``kubernetes.aio`` (37.0.2), for what was
measured and found (docs/performance.md): its import takes 13 MiB in every agent; its client sends
credentials and ``User-Agent`` only when asked in a roundabout way, its time-out of 300 s covers
neither credentials nor body, it follows redirects, and it hands out a retry that nobody asked for.

- A GET whose kept connection is reset is silently sent once more by aiohttp, and counted once here;
  a PATCH never is. Connections are kept for 15 s only, too short for a load balancer to forget them.
- ``Content-Type: application/apply-patch+yaml`` takes JSON, which is YAML.
- No proxy, netrc or cookie of the environment.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from multidict import CIMultiDict
from pydantic_core import to_json

import sidecar
from sidecar.core.parsing import ERROR_LIMIT
from sidecar.kube.access import LoadingRules, load_access
from sidecar.kube.credentials import Access
from sidecar.kube.errors import CredentialsError, KubeConfigError

ANSWER_LIMIT = 4 * 1024 * 1024
"""Bytes of an answer that are read; etcd stores at most 1.5 MiB, and JSON escapes add to that."""

JSON = "application/json"
"""Asks for whole objects, or says that a body is one."""

METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""Asks for the metadata of an object without the rest of it."""

METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""Asks for the metadata of every object of a list."""

APPLY = "application/apply-patch+yaml"
"""A server-side apply."""

MERGE = "application/merge-patch+json"
"""A patch in which ``null`` removes (RFC 7396)."""

_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to ask of the API server."""

    method: str
    path: str
    """From the first slash on; nothing in it needs quoting."""
    query: Sequence[tuple[str, str]] = ()
    accept: str = METADATA
    body: Mapping[str, Any] | None = None
    content_type: str | None = None
    """Of the body; ``None`` when there is none."""
    answer_limit: int = ANSWER_LIMIT
    """Bytes of a 2xx answer that are read; no error needs more than ``ERROR_LIMIT``."""


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    """Longer than the request's ``answer_limit`` when it was cut there; that of an error is cut sooner."""


class Connection:
    """A session, made anew after what a change of credentials or authority looks like.

    That is a 401 (an embedded token or that of a plug-in ran out) or a connection that fails (TLS
    with another authority or an expired client certificate among the causes).
    """

    def __init__(self, rules: LoadingRules) -> None:
        self._rules = rules
        self._opening = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None
        self._access: Access | None = None
        self._outdated = False
        self._in_flight = 0

    async def open(self) -> tuple[aiohttp.ClientSession, Access]:
        """The session and what it was made of, opened if need be.

        Raises:
            KubeConfigError: there is no usable configuration.
        """
        async with self._opening:
            # A session that others still use is left to them, and to the next who finds it idle.
            if self._outdated and not self._in_flight:
                await self.close()
            if self._session is None or self._access is None:
                self._access = await load_access(self._rules)
                self._session = _session(self._access)
                self._outdated = False
            return self._session, self._access

    async def close(self) -> None:
        """Close all connections; may be repeated."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def exchange(self, request: Request) -> Response:
        """Send one request and read the answer, whatever its status.

        Raises:
            CredentialsError: token or configuration cannot be read.
            aiohttp.ClientError, OSError: no whole answer.
        """
        try:
            session, access = await self.open()
        except KubeConfigError as error:
            raise CredentialsError(error.args[0], advice=error.advice) from error
        self._in_flight += 1
        try:
            answer = await _send(session, access, request)
        except (aiohttp.ClientError, OSError):
            self._outdated = True
            raise
        finally:
            self._in_flight -= 1
        self._outdated |= answer.status == 401
        return answer


def _session(access: Access) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=access.tls),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": f"azure-lb-metadata/{sidecar.__version__}"},
        proxy=access.proxy,
        timeout=_NO_TIMEOUT,
        trust_env=False,
    )


async def _send(session: aiohttp.ClientSession, access: Access, request: Request) -> Response:
    headers = CIMultiDict([("Accept", request.accept), *access.impersonation])
    if not access.compression:
        headers["Accept-Encoding"] = "identity"
    if authorization := await access.authorization():
        headers["Authorization"] = authorization
    if request.content_type is not None:
        headers["Content-Type"] = request.content_type
    async with session.request(
        request.method,
        access.server + request.path,
        params=request.query,
        headers=headers,
        data=None if request.body is None else to_json(request.body),
        server_hostname=access.server_name,
        allow_redirects=False,
    ) as response:
        limit = request.answer_limit if 200 <= response.status < 300 else ERROR_LIMIT
        return Response(response.status, response.headers, await _read(response, limit))


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body, or somewhat more than so many bytes of it."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            break
    return bytes(body)

"""Requests to one API server, each with a time limit and counted, over connections that are kept open.

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
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
from multidict import CIMultiDict
from pydantic_core import to_json

import sidecar
from sidecar.clock import now
from sidecar.core.parsing import ERROR_LIMIT, parse_json
from sidecar.kube.access import LoadingRules, load_access
from sidecar.kube.credentials import Access
from sidecar.kube.errors import (
    MALFORMED_ADVICE,
    CredentialsError,
    KubeConfigError,
    MalformedBodyError,
    NoAnswerError,
    describe,
    error_from_answer,
)
from sidecar.metrics import Metrics

ANSWER_LIMIT = 4 * 1024 * 1024
"""Bytes of an answer that are read; etcd stores at most 1.5 MiB, and JSON escapes add to that."""

JSON = "application/json"
"""Accepts whole objects, or says that a body is one."""

METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""Accepts the metadata of an object without the rest of it."""

METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""Accepts the metadata of every object of a list."""

APPLY = "application/apply-patch+yaml"
"""A server-side apply."""

MERGE = "application/merge-patch+json"
"""A patch in which ``null`` removes (RFC 7396)."""

_MOST_VALUES = 600_000
"""Commas and brackets of one object: its annotations may have 256 KiB of them, and managed fields some
thousands more."""

_NO_ANSWER_ADVICE = (
    "see that the API server is up, and that network policies and firewalls let the agent reach it"
)

_Parsed = TypeVar("_Parsed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request to the API server."""

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


@asynccontextmanager
async def requester(
    rules: LoadingRules,
    *,
    metrics: Metrics | None,
    timeout: float,  # noqa: ASYNC109 - of each request, not of this function
) -> AsyncIterator["Requester"]:
    """A requester for the length of the block; nothing is sent by making it.

    Args:
        rules: Where to look for the way to the API server.
        metrics: Counts the requests; ``None`` for a command, which exposes no metrics.
        timeout: Seconds that each request may take, from reading the token to the last byte of the answer.

    Raises:
        KubeConfigError: there is no usable configuration.
    """
    requests = Requester(rules, metrics=metrics, timeout=timeout)
    try:
        await requests.access()
        yield requests
    finally:
        await requests.close()


class Requester:
    """Sends requests, which may overlap; none is repeated here. Made by `requester`.

    Its session is made anew after what a change of credentials or authority looks like: a 401 (an
    embedded token or that of a plug-in ran out), or a connection that fails (TLS with another authority
    or an expired client certificate among the causes).
    """

    def __init__(self, rules: LoadingRules, *, metrics: Metrics | None, timeout: float) -> None:
        self._rules = rules
        self._metrics = metrics
        self._timeout = timeout
        self._opening = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None
        self._access: Access | None = None
        self._outdated = False
        self._in_flight = 0

    async def access(self) -> Access:
        """Address and credentials that requests are sent with at the moment.

        Raises:
            KubeConfigError: there is no usable configuration.
        """
        _, access = await self._open()
        return access

    async def close(self) -> None:
        """Close all connections; may be repeated."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def send(self, request: Request) -> Response:
        """Send a request once, and give a 2xx answer.

        Raises:
            KubernetesError: a subclass names the situation.
        """
        return successful(await self.exchange(request))

    async def exchange(self, request: Request) -> Response:
        """Send a request once, and give the answer, whatever its status.

        Raises:
            NoAnswerError: there was no whole answer in time.
            CredentialsError: token or configuration cannot be read.
            MalformedBodyError: the answer is longer than it may be.
        """
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._exchange(request)
        except TimeoutError as error:
            self._count(request, "timeout")
            text = f"the Kubernetes API server gave no whole answer within {self._timeout:g} s"
            raise NoAnswerError(text, advice=_NO_ANSWER_ADVICE) from error
        except (aiohttp.ClientError, OSError) as error:
            self._count(request, "error")
            text = f"the Kubernetes API server gave no whole answer: {describe(error)}"
            raise NoAnswerError(text, advice=_NO_ANSWER_ADVICE) from error
        self._count(request, str(answer.status))
        if len(answer.body) > request.answer_limit and 200 <= answer.status < 300:
            raise malformed(answer, f"is longer than {request.answer_limit} bytes")
        return answer

    async def _exchange(self, request: Request) -> Response:
        """Send a request over the session, without a time limit.

        Raises:
            CredentialsError: token or configuration cannot be read.
            aiohttp.ClientError, OSError: no whole answer.
        """
        try:
            session, access = await self._open()
        except KubeConfigError as error:
            raise CredentialsError(error.args[0], advice=error.advice) from error
        self._in_flight += 1
        try:
            headers = CIMultiDict([("Accept", request.accept), *access.impersonation])
            if not access.compression:
                headers["Accept-Encoding"] = "identity"
            authorization = await access.authorization() or ""
            if authorization:
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
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > limit:
                        break
        except (aiohttp.ClientError, OSError):
            self._outdated = True
            raise
        finally:
            self._in_flight -= 1
        self._outdated |= response.status == 401
        content = bytes(body)
        credential = authorization.partition(" ")[2].encode()
        if credential and not 200 <= response.status < 300:
            content = content.replace(credential, b"(hidden)")  # errors are printed and logged
        return Response(response.status, response.headers, content)

    async def _open(self) -> tuple[aiohttp.ClientSession, Access]:
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
                self._session = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(ssl=self._access.tls),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    headers={"User-Agent": f"azure-lb-metadata/{sidecar.__version__}"},
                    proxy=self._access.proxy,
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                    trust_env=False,
                )
                self._outdated = False
            return self._session, self._access

    def _count(self, request: Request, code: str) -> None:
        """Count a request by its result; a cancelled one has none."""
        if self._metrics is not None:
            self._metrics.kubernetes_requests.labels(method=request.method, code=code).inc()


def successful(answer: Response) -> Response:
    """The answer if it is a 2xx.

    Raises:
        KubernetesError: it is another.
    """
    if 200 <= answer.status < 300:
        return answer
    raise error_from_answer(answer.status, headers=answer.headers, body=answer.body, now=now().utc)


def parsed(answer: Response, parse: Callable[[bytes], _Parsed]) -> _Parsed:
    """The value that an answer's body is parsed to.

    Raises:
        MalformedBodyError: it is something else than was requested.
    """
    try:
        return parse(answer.body)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise malformed(answer, "is not what was asked for") from error


def object_of(answer: Response) -> Any:  # noqa: ANN401 - JSON of any shape
    """The JSON of an answer that is one object, whose members are not checked here.

    Raises:
        sidecar.core.parsing.MalformedError: it is no JSON, or far more than an object can be; a ValueError.
    """
    return parse_json(answer.body, most=_MOST_VALUES)


def malformed(answer: Response, how: str) -> MalformedBodyError:
    """The error of an answer that is not what an API server gives."""
    text = f"the answer of the Kubernetes API server {how}"
    return MalformedBodyError(text, advice=MALFORMED_ADVICE, status=answer.status)

"""Requests to the API server, each with a time limit and counted; what is no success is an error."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, Self, TypeVar

import aiohttp

from sidecar.clock import now
from sidecar.core.backoff import retry_ceiling
from sidecar.core.parsing import error_object, parse_json
from sidecar.kube.access import LoadingRules
from sidecar.kube.connection import Connection, Request, Response
from sidecar.kube.credentials import Access
from sidecar.kube.errors import (
    MALFORMED_ADVICE,
    KubernetesError,
    MalformedBodyError,
    NoAnswerError,
    NodeNotFoundError,
    ServerError,
    ThrottledError,
    UnauthorizedError,
    describe,
    error_from_answer,
)
from sidecar.metrics import Metrics

_MOST_VALUES = 600_000
"""Commas and brackets of one object: its annotations may have 256 KiB of them, and managed fields some
thousands more."""

_NO_ANSWER_ADVICE = (
    "see that the API server is up, and that network policies and firewalls let the agent reach it"
)


class Requester:
    """Sends requests, which may overlap; none is repeated here."""

    def __init__(self, connection: Connection, *, metrics: Metrics | None, timeout: float) -> None:
        self._connection = connection
        self._metrics = metrics
        """Counts the requests; ``None`` for a command, which exposes no metrics."""
        self._timeout = timeout
        """Seconds, of each request."""

    async def access(self) -> Access:
        """What requests are sent with at the moment.

        Raises:
            KubeConfigError: there is no usable configuration.
        """
        _, access = await self._connection.open()
        return access

    async def send(self, request: Request) -> Response:
        """Give a 2xx answer.

        Raises:
            KubernetesError: a subclass names the situation.
        """
        return successful(await self.exchange(request))

    async def exchange(self, request: Request) -> Response:
        """Give the answer, whatever its status.

        Raises:
            NoAnswerError: there was no whole answer in time.
            CredentialsError: token or configuration cannot be read.
            MalformedError: the answer is longer than it may be.
        """
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._connection.exchange(request)
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

    def _count(self, request: Request, code: str) -> None:
        """Count a request by what it came to; one that was cancelled came to nothing."""
        if self._metrics is not None:
            self._metrics.kubernetes_requests.labels(method=request.method, code=code).inc()


@asynccontextmanager
async def requester(
    rules: LoadingRules,
    *,
    metrics: Metrics | None,
    timeout: float,  # noqa: ASYNC109 - of each request, not of this function
) -> AsyncIterator[Requester]:
    """A requester for the length of the block; nothing is sent by making it.

    Raises:
        KubeConfigError: there is no usable configuration.
    """
    connection = Connection(rules)
    try:
        await connection.open()
        yield Requester(connection, metrics=metrics, timeout=timeout)
    finally:
        await connection.close()


def successful(answer: Response) -> Response:
    """The answer if it is a 2xx.

    Raises:
        KubernetesError: it is another.
    """
    if 200 <= answer.status < 300:
        return answer
    raise error_from_answer(answer.status, headers=answer.headers, body=answer.body, now=now().utc)


def object_of(answer: Response) -> Any:  # noqa: ANN401 - JSON of any shape
    """The JSON of an answer that is one object, which is not looked at here.

    Raises:
        sidecar.core.parsing.MalformedError: it is no JSON, or far more than an object can be; a ValueError.
    """
    return parse_json(answer.body, most=_MOST_VALUES)


def malformed(answer: Response, how: str) -> MalformedBodyError:
    """The error of an answer that is not what an API server gives."""
    text = f"the answer of the Kubernetes API server {how}"
    return MalformedBodyError(text, advice=MALFORMED_ADVICE, status=answer.status)


ATTEMPTS = 5
"""How often a request is sent before its failure counts."""

_LONGEST_STEP = 10.0
"""Seconds from which the ceilings 1, 2, 4, 8 s and so on are derived."""

_TRANSIENT: dict[type[KubernetesError], int] = {
    NoAnswerError: ATTEMPTS,
    ServerError: ATTEMPTS,
    ThrottledError: ATTEMPTS,
    UnauthorizedError: 2,  # with credentials loaded anew; what they do not change stays as it is
}

_Value = TypeVar("_Value")


async def with_retries(
    ask: Callable[[], Awaitable[_Value]], *, fraction: Callable[[], float] = random.random
) -> _Value:
    """Ask, and again after a while when the API server was throttled, in trouble or out of reach.

    Delays are random parts (full jitter) of 1, 2, 4 and 8 s, for 429 of the next longer one, and
    never less than a ``Retry-After``.

    Args:
        ask: Sends a request that may be sent twice.
        fraction: Gives random numbers from 0 to 1.

    Raises:
        KubernetesError: of the last attempt.
    """
    attempt = 1
    while True:
        try:
            return await ask()
        except KubernetesError as error:
            if attempt >= _TRANSIENT.get(type(error), 1):
                raise
            step = attempt if isinstance(error, ThrottledError) else attempt - 1
            delay = fraction() * retry_ceiling(step, poll_interval=_LONGEST_STEP)
            delay = max(delay, error.retry_after or 0.0)
        attempt += 1
        await asyncio.sleep(delay)


PAGE = 500
"""Objects of one page of a list, as kubectl asks for."""

PAGE_LIMIT = 256 * 1024 * 1024
"""Bytes of a page that are read: a Node has at most 256 KiB of annotations, and some more beside."""

UNFINISHED_PODS = "status.phase!=Succeeded,status.phase!=Failed"
"""The field selector of pods that may still run."""

_RESTARTS = 3
"""How often a list is begun anew because its place expired, or loses it again before a page came."""

_Item = TypeVar("_Item")
_Parsed = TypeVar("_Parsed")


@dataclass(frozen=True, slots=True)
class Page(Generic[_Item]):
    """A part of a list."""

    items: list[_Item]
    next: str
    """The token of the next page; empty on the last."""


async def pages(
    requests: Requester,
    first: Request,
    *,
    parse: Callable[[bytes], Page[_Item]],
    fraction: Callable[[], float],
    size: int = PAGE,
) -> AsyncIterator[list[_Item]]:
    """The pages of a list; after 410 Expired it goes on as the answer says, or begins anew.

    An item may come twice, when the API server has forgotten the place in its list and cannot even
    go on from a newer state.

    Args:
        requests: Of the cluster.
        first: The list without ``limit``.
        parse: Reads a page's body; what it raises of its kinds of error makes the answer malformed.
        fraction: Gives random numbers from 0 to 1, for the delays between attempts.
        size: Items of a page.

    Raises:
        KubernetesError: of the last attempt.
    """

    async def page_or_expired(request: Request) -> Response:
        answer = await requests.exchange(request)
        return answer if answer.status == 410 else successful(answer)

    first = replace(first, query=[*first.query, ("limit", str(size))], answer_limit=PAGE_LIMIT)
    token = ""
    restarts = 0
    progress = True
    while True:
        request = replace(first, query=[*first.query, ("continue", token)]) if token else first
        answer = await with_retries(partial(page_or_expired, request), fraction=fraction)
        if answer.status == 410 and token and restarts < _RESTARTS:
            token = _inconsistent_continue(answer)
            restarts += not (token and progress)
            progress = False
            continue
        page = parsed(successful(answer), parse)
        progress = True
        token = page.next
        # Some megabytes, and the next page needs as much.
        del answer
        yield page.items
        del page
        if not token:
            return


def _inconsistent_continue(answer: Response) -> str:
    """The token to go on with from the present state of the list; empty to begin anew."""
    try:
        token = error_object(answer.body)["metadata"]["continue"]
    except (TypeError, LookupError):
        return ""
    return token if isinstance(token, str) else ""


def parsed(answer: Response, parse: Callable[[bytes], _Parsed]) -> _Parsed:
    """What an answer's body says.

    Raises:
        MalformedError: something else than was asked for.
    """
    try:
        return parse(answer.body)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise malformed(answer, "is not what was asked for") from error


REQUEST_TIMEOUT = 30.0
"""Seconds that a request may take: a page of Nodes is some megabytes, and an operator may be far away."""


class PagingClient:
    """Repeats a request a few times when its failure may pass, so none may do harm by coming twice.

    Made by `connect`; its calls may overlap. Every method raises a `KubernetesError` that names the
    situation when the last attempt failed.
    """

    def __init__(self, requests: Requester, *, fraction: Callable[[], float] = random.random) -> None:
        """Make a client.

        Args:
            requests: Sends the requests.
            fraction: Gives random numbers from 0 to 1, for the delays between attempts.
        """
        self._requests = requests
        self._fraction = fraction

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, *, kubeconfig: str | None = None, context: str | None = None
    ) -> AsyncIterator[Self]:
        """A client of the API server, for the length of the block; nothing is sent by connecting.

        Args:
            kubeconfig: A path, or several joined by ``:``. ``None``: the pod's service account if there
                is one and no context is named, else ``KUBECONFIG``, else ``~/.kube/config``.
            context: Of the kubeconfig; ``None`` is its current one.

        Raises:
            KubeConfigError: there is no usable configuration.
        """
        rules = LoadingRules(kubeconfig=kubeconfig, context=context)
        async with requester(rules, metrics=None, timeout=REQUEST_TIMEOUT) as requests:
            yield cls(requests)

    async def _send(self, request: Request) -> Response:
        return await with_retries(partial(self._requests.send, request), fraction=self._fraction)

    async def _find(self, request: Request, parse: Callable[[bytes], _Item]) -> _Item | None:
        """What an answer says; ``None`` if there is no such object."""
        try:
            answer = await self._send(request)
        except NodeNotFoundError:
            return None
        return parsed(answer, parse)

    def _pages(
        self, first: Request, parse: Callable[[bytes], Page[_Item]], *, size: int
    ) -> AsyncIterator[list[_Item]]:
        return pages(self._requests, first, parse=parse, fraction=self._fraction, size=size)

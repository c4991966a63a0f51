"""Requests to the API server, each with a time limit and counted; what is no success is an error."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp

from sidecar.clock import now
from sidecar.core.parsing import parse_json
from sidecar.kube.access import LoadingRules
from sidecar.kube.connection import Connection, Request, Response
from sidecar.kube.credentials import Access
from sidecar.kube.errors import (
    MALFORMED_ADVICE,
    MalformedBodyError,
    NoAnswerError,
    describe,
    error_from_answer,
)
from sidecar.metrics import Metrics

_MOST_VALUES = 600_000
"""Commas and brackets of one object: its annotations may have 256 KiB of them, and managed fields some
thousands more."""

_Parsed = TypeVar("_Parsed")

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


def parsed(answer: Response, parse: Callable[[bytes], _Parsed]) -> _Parsed:
    """What an answer's body says.

    Raises:
        MalformedError: something else than was asked for.
    """
    try:
        return parse(answer.body)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise malformed(answer, "is not what was asked for") from error

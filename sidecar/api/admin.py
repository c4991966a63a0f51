"""The admin listener: probes of the kubelet, metrics, and the last attempts.

It listens apart from the API, whose clients can then neither use up its connections nor read it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from http import HTTPStatus
from typing import cast

from aiohttp import hdrs, web
from prometheus_client import exposition, openmetrics

from sidecar.api.parameters import media_types
from sidecar.api.problems import (
    HEADERS,
    METHODS,
    BodyError,
    MethodError,
    ProblemError,
    not_found,
    problem_response,
)
from sidecar.core.document import canonical_bytes
from sidecar.core.instant import rfc3339
from sidecar.core.outcome import Attempt
from sidecar.metrics import Metrics

_OPENMETRICS = "application/openmetrics-text"


class AdminApplication:
    """The request handler of the admin listener; see :func:`sidecar.api.sockets.serving`.

    Args:
        metrics: What ``/metrics`` prints.
        overdue: Names of the loops whose next turn is overdue; ``/livez`` fails while there are any.
        unready: Why nobody should rely on this process; ``/readyz`` says it, and fails unless it is empty.
        attempts: The last attempts to read the document, newest last; ``/attempts`` lists them.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        overdue: Callable[[], Collection[str]],
        unready: Callable[[], str],
        attempts: Callable[[], Sequence[Attempt]],
    ) -> None:
        self._metrics = metrics
        self._overdue = overdue
        self._unready = unready
        self._attempts = attempts
        self._printing: dict[bool, asyncio.Task[bytes]] = {}
        """What prints the metrics in a moment, by whether as OpenMetrics."""
        self._pages: dict[str, Callable[[web.BaseRequest], Awaitable[web.Response]]] = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._print_metrics,
            "/attempts": self._list_attempts,
        }

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        try:
            if request.body_exists and request.method in METHODS:
                raise BodyError
            page = self._pages.get(request.path)
            if page is None:
                raise not_found(request.method, target=request.raw_path, path=request.path)
            if request.method not in METHODS:
                raise MethodError(request.method)
            return await page(request)
        except ProblemError as problem:
            return problem_response(problem.status, str(problem), headers=problem.headers)

    async def _livez(self, _: web.BaseRequest) -> web.Response:
        overdue = sorted(self._overdue())
        return _verdict("" if not overdue else f"overdue: {', '.join(overdue)}")

    async def _readyz(self, _: web.BaseRequest) -> web.Response:
        return _verdict(self._unready())

    async def _print_metrics(self, request: web.BaseRequest) -> web.Response:
        """Print the metrics, once for all requests of one turn of the loop: printing takes milliseconds.

        A crowd that asks for nothing else must not keep a probe waiting.
        """
        # Not `choose_encoder`: it fails on a version that is not a number, and repeats what it was sent.
        as_openmetrics = _OPENMETRICS in media_types(",".join(request.headers.getall(hdrs.ACCEPT, ())))
        printing = self._printing.get(as_openmetrics)
        if printing is None:
            printing = asyncio.create_task(self._printed(as_openmetrics=as_openmetrics))
            self._printing[as_openmetrics] = printing
        # A client that goes takes the answer of no other with it.
        body = await asyncio.shield(printing)
        content_type = (
            openmetrics.exposition.CONTENT_TYPE_LATEST
            if as_openmetrics
            else exposition.CONTENT_TYPE_PLAIN_0_0_4
        )
        return _answer(HTTPStatus.OK, body, content_type=content_type)

    async def _printed(self, *, as_openmetrics: bool) -> bytes:
        # Who asks from here on may ask about something that happens from here on.
        del self._printing[as_openmetrics]
        if as_openmetrics:
            # The function alone has no annotations.
            return cast("bytes", openmetrics.exposition.generate_latest(self._metrics.registry))  # type: ignore[no-untyped-call]
        return exposition.generate_latest(self._metrics.registry)

    async def _list_attempts(self, _: web.BaseRequest) -> web.Response:
        listed = []
        for attempt in reversed(self._attempts()):
            entry: dict[str, str | int] = {
                "at": rfc3339(attempt.at),
                "outcome": attempt.outcome,
                "detail": attempt.detail,
            }
            if attempt.status is not None:
                entry["status"] = attempt.status
            if attempt.kind is not None:
                entry["kind"] = attempt.kind
            listed.append(entry)
        response = _answer(HTTPStatus.OK, canonical_bytes(listed), content_type="application/json")
        response.headers[hdrs.CACHE_CONTROL] = "no-store"
        return response


def _verdict(fault: str) -> web.Response:
    """``ok``, or 503 and what is wrong."""
    status = HTTPStatus.SERVICE_UNAVAILABLE if fault else HTTPStatus.OK
    return _answer(status, f"{fault or 'ok'}\n".encode(), content_type="text/plain; charset=utf-8")


def _answer(status: HTTPStatus, body: bytes, *, content_type: str) -> web.Response:
    return web.Response(status=status, body=body, headers={"Content-Type": content_type, **HEADERS})

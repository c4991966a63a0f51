"""The pod-facing HTTP API: read-only, and a reader of the latest snapshot.

It is a bare aiohttp request handler rather than an application with a router: all routing there is
is one look-up in a table, every path and method is answered in a documented form, and a repeated
request costs one look-up in a dictionary.
"""

import asyncio
import logging
import traceback
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import hdrs, web
from multidict import istr

from sidecar.api import imds
from sidecar.api.endpoints import STATE, parse, split_target
from sidecar.api.parameters import etag_matches, wait_preference
from sidecar.api.peers import is_own_host, peer_of
from sidecar.api.problems import (
    FORWARDED,
    HEADERS,
    METHODS,
    BodyError,
    ForwardedError,
    OtherSiteError,
    ProblemError,
    problem_response,
)
from sidecar.api.request import Kind, ParsedRequest, RawRequest
from sidecar.api.response import PreparedResponse, Responses
from sidecar.api.waiting import EventStreams, Pace, Waiting
from sidecar.clock import Clock
from sidecar.core.addresses import IPAddress
from sidecar.core.instant import Instant
from sidecar.core.state import Snapshot
from sidecar.latest import Watch
from sidecar.logs import Recurring, log
from sidecar.metrics import Metrics

_logger = logging.getLogger(__name__)

# Looked up in every request: an istr is not lower-cased again each time.
_METADATA = istr("Metadata")
_FORWARDED = istr(FORWARDED)
_PREFER = istr("Prefer")
_USER_AGENT = istr("User-Agent")

_LONGEST_WAIT = 300
"""Seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What the API needs."""

    latest: Watch[Snapshot]
    clock: Clock
    metrics: Metrics
    node_name: str | None = None
    """Sent in answers, and compared with the parameter ``node``; ``None``: as a node agent names it."""
    node_address: IPAddress | None = None
    """The node's own address: decides which public IP address comes first."""
    allow_forwarded: bool = False
    """Whether requests with ``X-Forwarded-For`` are answered."""
    max_waiting: int = 1008
    """Maximum of concurrent long polls and event streams together."""
    pace: Pace = field(default_factory=Pace)


class Application:
    """The request handler; see :func:`sidecar.api.sockets.serving`."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._clock = configuration.clock
        self._responses = Responses(
            node_name=configuration.node_name,
            node_address=configuration.node_address,
            snapshot=configuration.latest.value,
        )
        self._waiting = Waiting(
            self._responses.etag, bound=configuration.max_waiting, metrics=configuration.metrics
        )
        self._events = EventStreams(self._responses, self._waiting, configuration.pace)
        self._refused_forwarded = configuration.metrics.refused_clients.labels(cause="forwarded")
        self._defects = Recurring()
        self._page: tuple[tuple[Snapshot, int], bytes] | None = None
        """What the status page was made from (a snapshot, a second), and its bytes."""
        configuration.latest.subscribe(self._follow)

    def _follow(self, snapshot: Snapshot) -> None:
        if self._responses.refresh(snapshot):
            self._waiting.look_soon()

    def stop(self) -> None:
        """End streams and waits, as the process is about to stop; other requests are still answered."""
        self._waiting.stop()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request. There is always an answer, also to odd requests and after a defect here."""
        headers = request.headers
        raw = RawRequest(
            request.method,
            request.raw_path,
            ",".join(headers.getall(hdrs.ACCEPT, ())),
            headers.get(_METADATA, "").lower() == "true",
            _FORWARDED in headers and not self._configuration.allow_forwarded,
        )
        try:
            if request.body_exists and request.method in METHODS:
                raise BodyError
            if headers.get(_USER_AGENT, "").startswith("Mozilla/"):
                host = headers.get(hdrs.HOST, "")
                if not is_own_host(host):
                    raise OtherSiteError(host)
            # The status fits the age now: after a suspension, requests are read before timers run.
            now = self._clock()
            snapshot = self._responses.snapshot
            if (current := snapshot.at(now)) is not snapshot:
                self._follow(current)
            prepared = self._responses.find(raw)
            if prepared is None or _PREFER in headers:
                return await self._answer_new(request, raw)
            return self._finish(request, prepared, now=now)
        except ProblemError as problem:
            if isinstance(problem, ForwardedError):
                self._refused_forwarded.inc()
            path, _ = split_target(raw.target)
            if imds.covers(path):
                response = imds.refusal(problem, method=raw.method, path=path)
            else:
                response = problem_response(
                    problem.status, str(problem), code=problem.code, headers=problem.headers
                )
            response.headers.update(self._responses.data_headers())
            if problem.close:
                response.force_close()
            return response
        except ConnectionError:
            # The client has disconnected during a stream: the library handles that.
            raise
        except Exception as error:  # noqa: BLE001 - a defect costs one answer and never the connection
            path, _ = split_target(raw.target)
            if count := self._defects.count(type(error).__name__):
                details = {"error": repr(error), "traceback": traceback.format_exc()}
                log(_logger, logging.ERROR, "request-failed", path=path, **details, count=count)
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            if imds.covers(path):
                return imds.error_response(status, {"error": status.phrase})
            return problem_response(status, None)

    async def _answer_new(self, request: web.BaseRequest, raw: RawRequest) -> web.StreamResponse:
        """Answer a request for which no response is prepared, or that may have to wait.

        Raises:
            ProblemError: the answer is an error.
        """
        parsed = parse(raw, node_name=self._responses.facts.node_name)
        metrics = self._configuration.metrics
        if parsed.route.kind is Kind.PAGE:
            from sidecar.api import page  # noqa: PLC0415 - few agents ever serve the page

            now = self._clock()
            made = (self._responses.snapshot, int(now.mono))
            if self._page is None or self._page[0] != made:
                etag = self._responses.etag(STATE)
                self._page = made, page.render(self._responses.facts, now=now, etag=etag)
            return web.Response(body=self._page[1], headers={**HEADERS, **page.HEADERS})
        if parsed.route.kind is Kind.EVENTS:
            with self._waiting.place(metrics.event_clients, peer=peer_of(request)):
                return await self._events.stream(request, seen=request.headers.get("Last-Event-ID"))
        seconds = None
        if parsed.route.kind is Kind.DATA and _PREFER in request.headers:
            seconds = wait_preference(",".join(request.headers.getall(_PREFER)))
        if seconds is None:
            return self._finish(request, self._responses.prepare(raw, parsed), now=self._clock())
        seconds = min(seconds, _LONGEST_WAIT)
        applied = {"Preference-Applied": f"wait={seconds}"}
        try:
            if seconds:
                await self._wait(request, parsed, seconds)
            response = self._finish(request, self._responses.prepare(raw, parsed), now=self._clock())
        except ProblemError as problem:
            problem.headers = {**problem.headers, **applied}
            raise
        response.headers.update(applied)
        return response

    async def _wait(self, request: web.BaseRequest, parsed: ParsedRequest, seconds: int) -> None:
        """Wait up to so many seconds for a body that differs from the client's, or for the first one."""
        if_none_match = ",".join(request.headers.getall(hdrs.IF_NONE_MATCH, ()))

        def client_has(etag: str | None) -> bool:
            return etag is None or bool(if_none_match and etag and etag_matches(if_none_match, etag))

        etag = self._responses.etag(parsed)
        if not client_has(etag):
            return
        with self._waiting.place(self._configuration.metrics.waiting_clients, peer=peer_of(request)):
            try:
                async with asyncio.timeout(seconds):
                    while client_has(etag):
                        etag = await self._waiting.changed(parsed, etag)
            except TimeoutError:
                return

    @staticmethod
    def _finish(request: web.BaseRequest, prepared: PreparedResponse, *, now: Instant) -> web.Response:
        """The prepared response with its age, or 304 if ``If-None-Match`` names its ETag."""
        if_none_match = request.headers.getall(hdrs.IF_NONE_MATCH, ())
        if if_none_match and etag_matches(",".join(if_none_match), prepared.etag):
            response = web.Response(status=HTTPStatus.NOT_MODIFIED, headers=prepared.not_modified_headers)
        else:
            response = web.Response(body=prepared.body, headers=prepared.headers)
        if prepared.observed is not None:
            response.headers[hdrs.AGE] = str(int(prepared.observed.age(now)))
        return response

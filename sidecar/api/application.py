"""The pod-facing HTTP API: read-only, and a reader of the latest snapshot.

It is a bare aiohttp request handler rather than an application with a router: all routing there is
is one look-up in a table, every path and method is answered in a documented form, and a request
like one before costs one look-up in a dictionary.
"""

import asyncio
import logging
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import hdrs, web
from multidict import CIMultiDict, istr

from sidecar.api import imds
from sidecar.api.endpoints import Kind
from sidecar.api.parameters import etag_matches, wait_preference
from sidecar.api.peers import is_own_host, peer_of
from sidecar.api.problems import (
    FORWARDED,
    HEADERS,
    METHODS,
    BodyError,
    OtherSiteError,
    ProblemError,
    problem_response,
)
from sidecar.api.questions import Reader, split_target
from sidecar.api.representations import Key, Prepared, Representations, data_headers
from sidecar.api.waiting import EventStreams, Pace, Subject, Waiting
from sidecar.clock import Clock
from sidecar.core.addresses import IPAddress
from sidecar.core.instant import Instant
from sidecar.core.state import Snapshot
from sidecar.latest import Watch
from sidecar.logs import Recurring, log
from sidecar.metrics import Metrics

_logger = logging.getLogger(__name__)

# Names that are looked up in every request: such strings need no change of case.
_METADATA = istr("Metadata")
_FORWARDED = istr(FORWARDED)
_PREFER = istr("Prefer")
_USER_AGENT = istr("User-Agent")

_APPLIED = "Preference-Applied"
_LAST_EVENT_ID = "Last-Event-ID"

_LONGEST_WAIT = 300
"""Seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What the API is given."""

    latest: Watch[Snapshot]
    clock: Clock
    metrics: Metrics
    node_name: str | None = None
    """Printed in answers, and what the parameter ``node`` is compared with; else what a node agent says."""
    node_address: IPAddress | None = None
    """The node's own address: decides which public IP address comes first."""
    allow_forwarded: bool = False
    """Whether requests with ``X-Forwarded-For`` are answered."""
    max_waiting: int = 1008
    """Clients that wait for changes at the same time, by long poll and by events together."""
    pace: Pace = field(default_factory=Pace)


class Application:
    """The request handler; see :func:`sidecar.api.sockets.serving`."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._representations = Representations(
            node_name=configuration.node_name,
            node_address=configuration.node_address,
            snapshot=configuration.latest.value,
        )
        self._reader = Reader(
            allow_forwarded=configuration.allow_forwarded,
            metrics=configuration.metrics,
        )
        self._waiting = Waiting(
            self._representations, bound=configuration.max_waiting, metrics=configuration.metrics
        )
        self._events = EventStreams(self._representations, self._waiting, configuration.pace)
        self._defects = Recurring()
        self._page_made: tuple[tuple[Snapshot, int], bytes] | None = None
        """The status page, and what it was made from: its ages are of one second."""
        configuration.latest.subscribe(self._follow)

    def _follow(self, snapshot: Snapshot) -> None:
        if self._representations.refresh(snapshot):
            self._waiting.look_soon()

    def stop(self) -> None:
        """End streams, and answer those who wait: the process is about to stop. Others are answered on."""
        self._waiting.stop()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; whatever a client sends, and whatever goes wrong here, there is an answer."""
        headers = request.headers
        key = Key(
            request.method,
            request.raw_path,
            ",".join(headers.getall(hdrs.ACCEPT, ())),
            headers.get(_METADATA, "").lower() == "true",
            _FORWARDED in headers,
        )
        try:
            _check(request)
            now = self._configuration.clock()
            # The status fits the age now: after a suspension, requests are read before timers run.
            snapshot = self._representations.snapshot
            if (current := snapshot.at(now)) is not snapshot:
                self._follow(current)
            prepared = self._representations.find(key)
            if prepared is None or _PREFER in headers:
                return await self._consider(request, key)
            return self._response(prepared, headers.getall(hdrs.IF_NONE_MATCH, ()), now=now)
        except ProblemError as problem:
            return self._refusal(problem, key)
        except ConnectionError:
            # The client has gone in the middle of a stream; the library knows what to do.
            raise
        except Exception as error:  # noqa: BLE001 - a defect costs one answer and never the connection
            return self._failure(error, key)

    async def _consider(self, request: web.BaseRequest, key: Key) -> web.StreamResponse:
        """Answer a request that is not like one before, or that may have to wait.

        Raises:
            ProblemError: it is not answered with data.
        """
        subject = self._reader.read(key, node_name=self._representations.facts.node_name)
        if_none_match = request.headers.getall(hdrs.IF_NONE_MATCH, ())
        match subject[0].kind:
            case Kind.PAGE:
                return self._page(subject)
            case Kind.EVENTS:
                return await self._stream(request, subject)
            case Kind.DATA if _PREFER in request.headers:
                seconds = wait_preference(",".join(request.headers.getall(_PREFER)))
                if seconds is not None:
                    return await self._answer_in_time(request, key, subject, seconds=seconds)
        prepared = self._representations.prepare(key, *subject)
        return self._response(prepared, if_none_match, now=self._configuration.clock())

    def _page(self, subject: Subject) -> web.Response:
        from sidecar.api import page  # noqa: PLC0415 - most agents are never looked at

        now = self._configuration.clock()
        made = (self._representations.snapshot, int(now.mono))
        if self._page_made is None or self._page_made[0] != made:
            etag = self._representations.etag(*subject)
            self._page_made = made, page.render(self._representations.facts, now=now, etag=etag)
        return web.Response(body=self._page_made[1], headers={**HEADERS, **page.HEADERS})

    async def _stream(self, request: web.BaseRequest, subject: Subject) -> web.StreamResponse:
        configuration = self._configuration
        headers = data_headers(self._representations.snapshot, configuration.node_name)
        with self._waiting.place(configuration.metrics.event_clients, peer=peer_of(request)):
            return await self._events.stream(
                request, subject, headers=CIMultiDict(headers), seen=request.headers.get(_LAST_EVENT_ID)
            )

    async def _answer_in_time(
        self, request: web.BaseRequest, key: Key, subject: Subject, *, seconds: int
    ) -> web.Response:
        """Answer once there is something else than the client has, or so many seconds later.

        Raises:
            ProblemError: there is no answer with data, after the wait either.
        """
        seconds = min(seconds, _LONGEST_WAIT)
        if_none_match = request.headers.getall(hdrs.IF_NONE_MATCH, ())
        applied = {_APPLIED: f"wait={seconds}"}
        try:
            if seconds:
                await self._wait(subject, ",".join(if_none_match), seconds, peer=peer_of(request))
            prepared = self._representations.prepare(key, *subject)
            response = self._response(prepared, if_none_match, now=self._configuration.clock())
        except ProblemError as problem:
            problem.headers = {**problem.headers, **applied}
            raise
        response.headers.update(applied)
        return response

    async def _wait(self, subject: Subject, if_none_match: str, seconds: float, *, peer: str | None) -> None:
        etag = self._representations.etag(*subject)
        if not _has(if_none_match, etag):
            return
        with self._waiting.place(self._configuration.metrics.waiting_clients, peer=peer):
            try:
                async with asyncio.timeout(seconds):
                    while _has(if_none_match, etag):
                        etag = await self._waiting.changed(subject, etag)
            except TimeoutError:
                return

    def _response(self, prepared: Prepared, if_none_match: Sequence[str], *, now: Instant) -> web.Response:
        if if_none_match and etag_matches(",".join(if_none_match), prepared.etag):
            response = web.Response(status=HTTPStatus.NOT_MODIFIED, headers=prepared.not_modified_headers)
        else:
            response = web.Response(body=prepared.body, headers=prepared.headers)
        if prepared.observed is not None:
            response.headers[hdrs.AGE] = str(int(prepared.observed.age(now)))
        return response

    def _refusal(self, problem: ProblemError, key: Key) -> web.Response:
        path, _ = split_target(key.target)
        if imds.covers(path):
            response = imds.refusal(problem, method=key.method, path=path)
        else:
            response = problem_response(
                problem.status, str(problem), code=problem.code, headers=problem.headers
            )
        response.headers.update(data_headers(self._representations.snapshot, self._configuration.node_name))
        if problem.close:
            response.force_close()
        return response

    def _failure(self, error: Exception, key: Key) -> web.Response:
        """Log a defect of ours, and tell the client no more than that there is one."""
        path, _ = split_target(key.target)
        if count := self._defects.count(type(error).__name__):
            details = {"error": repr(error), "traceback": traceback.format_exc()}
            log(_logger, logging.ERROR, "request-failed", path=path, **details, count=count)
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        if imds.covers(path):
            return imds.error_response(status, {"error": status.phrase})
        return problem_response(status, None)


def _check(request: web.BaseRequest) -> None:
    """Refuse what no client of ours sends, whatever it asks for.

    Raises:
        BodyError: the request has a body.
        OtherSiteError: a browser asks under a name that could be anybody's.
    """
    headers = request.headers
    if request.body_exists and request.method in METHODS:
        raise BodyError
    if headers.get(_USER_AGENT, "").startswith("Mozilla/"):
        host = headers.get(hdrs.HOST, "")
        if not is_own_host(host):
            raise OtherSiteError(host)


def _has(if_none_match: str, etag: str | None) -> bool:
    """Whether a client that waits already has what there is: this very body, or nothing yet."""
    return etag is None or bool(if_none_match and etag and etag_matches(if_none_match, etag))

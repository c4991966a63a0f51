"""Clients that wait for a representation to change.

What is waited for is looked at once per change of the data, not once per client nor once per poll:
a new rule wakes nobody who waits for the public IP address.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import web
from multidict import CIMultiDict
from prometheus_client import Gauge

from sidecar.api.bodies import Question
from sidecar.api.endpoints import Route
from sidecar.api.problems import StoppingError, TooManyWaitingError
from sidecar.api.representations import Representation, Representations
from sidecar.latest import Watch
from sidecar.metrics import Metrics

Subject = tuple[Route, Question]
"""What a client asks, and so what it waits for."""

_STOPPING = object()


class Etags(Protocol):
    """Tells what a representation is at the moment."""

    def etag(self, endpoint: Route, question: Question) -> str | None:
        """The ETag; ``None`` before the first data, and empty where there is nothing to represent."""


@dataclass(slots=True)
class _Watched:
    latest: Watch[object]
    """The ETag, or ``_STOPPING``."""
    clients: int = field(default=0)


class Waiting:
    """All clients of an API that wait, for one event loop.

    Args:
        etags: Where to look.
        bound: How many may wait at the same time.
        metrics: Where refusals are counted.
    """

    def __init__(self, etags: Etags, *, bound: int, metrics: Metrics) -> None:
        self._etags = etags
        self._bound = bound
        self._refused = metrics.refused_clients.labels(cause="max-waiting")
        self._clients = 0
        self._share = max(1, bound // 4)
        self._by_peer: Counter[str] = Counter()
        self._watched: dict[Subject, _Watched] = {}
        self._due = False
        self._stopped = False

    @contextmanager
    def place(self, gauge: Gauge, *, peer: str | None = None) -> Iterator[None]:
        """Take one of the places for clients that wait, and count it.

        One peer has at most a quarter of them; ``None`` is the own pod or node, which may have all.

        Raises:
            StoppingError: nobody may wait any more.
            TooManyWaitingError: all places are taken.
        """
        if self._stopped:
            raise StoppingError
        if self._clients >= self._bound or (peer is not None and self._by_peer[peer] >= self._share):
            self._refused.inc()
            raise TooManyWaitingError
        self._clients += 1
        if peer is not None:
            self._by_peer[peer] += 1
        gauge.inc()
        try:
            yield
        finally:
            self._clients -= 1
            gauge.dec()
            if peer is not None:
                self._by_peer[peer] -= 1
                if not self._by_peer[peer]:
                    del self._by_peer[peer]

    async def changed(self, subject: Subject, seen: str | None) -> str | None:
        """Wait until a representation's ETag is another one than ``seen``, and return it.

        Raises:
            StoppingError: the agent is about to stop.
        """
        with self._watching(subject) as watched:
            while watched.latest.value == seen:
                await watched.latest.changed(watched.latest.value)
            if watched.latest.value is _STOPPING:
                raise StoppingError
            return None if watched.latest.value is None else str(watched.latest.value)

    @contextmanager
    def _watching(self, subject: Subject) -> Iterator[_Watched]:
        watched = self._watched.get(subject)
        if watched is None:
            now = _STOPPING if self._stopped else self._etags.etag(*subject)
            watched = self._watched[subject] = _Watched(Watch(now))
        watched.clients += 1
        try:
            yield watched
        finally:
            watched.clients -= 1
            if watched.clients == 0:
                del self._watched[subject]

    def look_soon(self) -> None:
        """The data changed: look at what is waited for, once all that is due now has happened."""
        if self._watched and not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        self._due = False
        if self._stopped:
            return
        for subject, watched in tuple(self._watched.items()):
            etag = self._etags.etag(*subject)
            if etag != watched.latest.value:
                watched.latest.set(etag)

    def stop(self) -> None:
        """Wake everybody with :class:`StoppingError`, and let nobody wait from now on."""
        self._stopped = True
        for watched in self._watched.values():
            watched.latest.set(_STOPPING)


_CONTENT_TYPE = "text/event-stream"

_RETRY_MILLISECONDS = 2000
"""When clients come back whose stream ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Durations of a stream, in seconds."""

    heartbeat: float = 15.0
    """Between two comments, where nothing else is sent."""
    stalled: float = 10.0
    """How long a client may take to read what it was sent; then it is dropped."""


@dataclass(slots=True)
class EventStreams:
    """The streams of an API."""

    representations: Representations
    waiting: Waiting
    pace: Pace
    _sent: tuple[Representation, bytes] | None = field(init=False, default=None)
    """The newest event, made once for all clients."""

    async def stream(
        self, request: web.BaseRequest, subject: Subject, *, headers: CIMultiDict[str], seen: str | None
    ) -> web.StreamResponse:
        """Send events until the client goes, stops reading, or the agent is about to stop.

        Args:
            request: What is answered.
            subject: What the events are about.
            headers: Those that say whose data this is.
            seen: The ETag of the last event that the client has had, if any.
        """
        response = web.StreamResponse(
            headers=CIMultiDict({"Content-Type": _CONTENT_TYPE, "Cache-Control": "no-store"}, **headers)
        )
        response.force_close()
        await response.prepare(request)
        if request.method == "HEAD" or request.transport is None:
            return response
        # Every write waits until the kernel has taken it all: nothing queues up here.
        request.transport.set_write_buffer_limits(high=0)
        try:
            await self._send_all(response, request, subject, seen=seen)
        except StoppingError:
            return response
        except TimeoutError:
            # An orderly end would wait for the client to read what is on its way.
            request.transport.abort()
        return response

    async def _send_all(
        self, response: web.StreamResponse, request: web.BaseRequest, subject: Subject, *, seen: str | None
    ) -> None:
        await self._write(response, request, b"retry: %d\n\n" % _RETRY_MILLISECONDS)
        etag = self.representations.etag(*subject)
        while True:
            if etag and etag != seen:
                event, seen = self._event(subject)
                await self._write(response, request, event)
            try:
                async with asyncio.timeout(self.pace.heartbeat):
                    etag = await self.waiting.changed(subject, etag)
            except TimeoutError:
                await self._write(response, request, b":\n\n")

    def _event(self, subject: Subject) -> tuple[bytes, str]:
        """The newest event, and its id."""
        representation = self.representations.representation(*subject)
        if self._sent is None or self._sent[0] is not representation:
            etag, body = representation.etag.encode(), representation.body
            self._sent = representation, b"event: state\nid: %b\ndata: %b\n\n" % (etag, body)
        return self._sent[1], representation.etag

    async def _write(self, response: web.StreamResponse, request: web.BaseRequest, data: bytes) -> None:
        async with asyncio.timeout(self.pace.stalled):
            await response.write(data)
            await request.writer.drain()

"""Clients that wait for a body to change: long polls and event streams.

A body is compared once per change of the data, not once per client nor once per poll: a new rule
wakes no client that waits for the public IP address.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web
from multidict import CIMultiDict
from prometheus_client import Gauge

from sidecar.api.endpoints import STATE
from sidecar.api.problems import StoppingError, TooManyWaitingError
from sidecar.api.request import ParsedRequest
from sidecar.api.response import Responses
from sidecar.latest import Watch
from sidecar.metrics import Metrics

_STOPPING = object()


@dataclass(slots=True)
class _Watched:
    latest: Watch[object]
    """The ETag, or ``_STOPPING``."""
    clients: int = 0


class Waiting:
    """All clients of an API that wait, for one event loop.

    Args:
        etag: The ETag of a request's body at the moment: see :meth:`sidecar.api.response.Responses.etag`.
        bound: How many may wait at the same time.
        metrics: Where refusals are counted.
    """

    def __init__(self, etag: Callable[[ParsedRequest], str | None], *, bound: int, metrics: Metrics) -> None:
        self._etag = etag
        self._bound = bound
        self._refused = metrics.refused_clients.labels(cause="max-waiting")
        self._clients = 0
        self._share = max(1, bound // 4)
        self._by_peer: Counter[str] = Counter()
        self._watched: dict[ParsedRequest, _Watched] = {}
        self._due = False
        self._stopped = False

    @contextmanager
    def place(self, gauge: Gauge, *, peer: str | None = None) -> Iterator[None]:
        """Take one of the places for clients that wait, and count it.

        One peer has at most a quarter of them; ``None`` is the own pod or node, which may have all.

        Raises:
            StoppingError: the agent is about to stop.
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

    async def changed(self, request: ParsedRequest, seen: str | None) -> str | None:
        """Wait until the ETag of a request's body is another one than ``seen``, and return it.

        Raises:
            StoppingError: the agent is about to stop.
        """
        watched = self._watched.get(request)
        if watched is None:
            now = _STOPPING if self._stopped else self._etag(request)
            watched = self._watched[request] = _Watched(Watch(now))
        watched.clients += 1
        try:
            while watched.latest.value == seen:
                await watched.latest.changed(watched.latest.value)
            if watched.latest.value is _STOPPING:
                raise StoppingError
            return None if watched.latest.value is None else str(watched.latest.value)
        finally:
            watched.clients -= 1
            if watched.clients == 0:
                del self._watched[request]

    def look_soon(self) -> None:
        """The data changed: compare the ETags that are waited for, once per turn of the event loop."""

        def look() -> None:
            self._due = False
            if self._stopped:
                return
            for request, watched in tuple(self._watched.items()):
                etag = self._etag(request)
                if etag != watched.latest.value:
                    watched.latest.set(etag)

        if self._watched and not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(look)

    def stop(self) -> None:
        """Wake all clients with :class:`StoppingError`, and let none wait from now on."""
        self._stopped = True
        for watched in self._watched.values():
            watched.latest.set(_STOPPING)


_RETRY_MILLISECONDS = 2000
"""Delay after which a client connects again when its stream has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Durations of a stream, in seconds."""

    heartbeat: float = 15.0
    """Interval of comments while nothing else is sent."""
    stalled: float = 10.0
    """Timeout of a write: a client that does not read for so long is dropped."""


@dataclass(slots=True)
class EventStreams:
    """The streams of an API."""

    responses: Responses
    waiting: Waiting
    pace: Pace
    _newest: tuple[str, bytes] = field(init=False, default=("", b""))
    """ETag and bytes of the newest event, made once for all clients."""

    async def stream(self, request: web.BaseRequest, *, seen: str | None) -> web.StreamResponse:
        """Send events until the client disconnects, stops reading, or the agent is about to stop.

        Args:
            request: The client's request.
            seen: The ETag of the last event that the client received, if any.
        """
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        response = web.StreamResponse(headers=CIMultiDict({**headers, **self.responses.data_headers()}))
        response.force_close()
        await response.prepare(request)
        if request.method == "HEAD" or request.transport is None:
            return response
        # Every write waits until the kernel has taken all of it: nothing is queued here.
        request.transport.set_write_buffer_limits(high=0)

        async def write(data: bytes) -> None:
            async with asyncio.timeout(self.pace.stalled):
                await response.write(data)
                await request.writer.drain()

        try:
            await write(b"retry: %d\n\n" % _RETRY_MILLISECONDS)
            etag = self.responses.etag(STATE)
            while True:
                if etag and etag != seen:
                    body, seen = self.responses.body(STATE)
                    if self._newest[0] != seen:
                        self._newest = seen, b"event: state\nid: %b\ndata: %b\n\n" % (seen.encode(), body)
                    del body  # A slow client keeps no more alive than its event.
                    await write(self._newest[1])
                try:
                    async with asyncio.timeout(self.pace.heartbeat):
                        etag = await self.waiting.changed(STATE, etag)
                except TimeoutError:
                    await write(b":\n\n")
        except StoppingError:
            return response
        except TimeoutError:
            # Closing would wait for the client to read what has been sent.
            request.transport.abort()
        return response

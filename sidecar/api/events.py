"""Server-sent events: the state now, and again whenever it changes.

The format is that of the HTML standard, section 9.2.
"""

import asyncio
from dataclasses import dataclass, field

from aiohttp import web
from multidict import CIMultiDict

from sidecar.api.problems import StoppingError
from sidecar.api.representations import Representation, Representations
from sidecar.api.waiting import Subject, Waiting

__all__ = ["Events", "Pace"]

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
class Events:
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

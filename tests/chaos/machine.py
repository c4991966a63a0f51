"""What the machine and the clients do to an agent: dead connections, a full disk, a crowd."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from yarl import URL

from tests.chaos.relay import Relay
from tests.chaos.worlds import Switch
from tests.faults.disk import filled

CROWD = 60

REQUESTS = (
    b"",
    b"GET /v1/public-ip HTTP/1.1\r\nHost: a",
    b"GET /v1/loadbalancer HTTP/1.1\r\nHost: a\r\nPrefer: wait=60\r\nIf-None-Match: *\r\n\r\n",
    b"GET /v1/events HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /v1/inbound-rules?format=text HTTP/1.1\r\nHost: a\r\n\r\n" * 20,
    b"\x16\x03\x01 is not HTTP\r\n\r\n",
)
"""What clients of a crowd send; none of them reads an answer."""


class Machine:
    """The machine of the agents.

    Args:
        relay: Between them and their metadata service.
        url: Gives the HTTP API of the agent that runs, empty while there is none.
        disk: The folder of their file, if that is a disk of its own.
    """

    def __init__(self, relay: Relay, *, url: Callable[[], str], disk: Path | None) -> None:
        self._relay = relay
        self._url = url
        self._disk = disk

    @property
    def faults(self) -> Mapping[str, Switch]:
        """What may go wrong."""
        faults: dict[str, Switch] = {
            "connections to the service are half-open": self._relay.half_open,
            "a crowd of clients": self._crowd,
        }
        return faults if self._disk is None else faults | {"the disk is full": self._full}

    @asynccontextmanager
    async def _full(self) -> AsyncIterator[None]:
        assert self._disk is not None
        with filled(self._disk):
            yield

    @asynccontextmanager
    async def _crowd(self) -> AsyncIterator[None]:
        writers: list[asyncio.StreamWriter] = []
        try:
            for sent in itertools.islice(itertools.cycle(REQUESTS), CROWD):
                await self._join(writers, sent)
            yield
        finally:
            for writer in writers:
                writer.transport.abort()
            for writer in writers:
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()

    async def _join(self, writers: list[asyncio.StreamWriter], sent: bytes) -> None:
        """One client more, if there is an agent that takes it."""
        url = URL(self._url())
        if not url.host:
            return
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(url.host, url.port)
            writers.append(writer)
            writer.write(sent)

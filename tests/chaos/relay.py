"""A relay between an agent and its metadata service, whose connections can go dead, and which can lie."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from yarl import URL

_PIECE = 65536


@dataclass(eq=False)
class _Link:
    """One connection of the agent, and the one behind it."""

    dead: bool
    """Whether what comes on either side goes nowhere, while both stay open."""
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what comes until it ends; a reset is passed on as such."""
        try:
            while piece := await reader.read(_PIECE):
                if not self.dead:
                    writer.write(piece)
                    await writer.drain()
        except ConnectionError:
            self.abort()

    async def close(self) -> None:
        """Close both sides, once what was passed on has been taken."""
        for writer in self.writers:
            writer.close()
        for writer in self.writers:
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    def abort(self) -> None:
        """Cut both sides."""
        for writer in self.writers:
            writer.transport.abort()


class Relay:
    """Passes bytes on. Made by `relaying`."""

    def __init__(self, target: URL) -> None:
        self.url = ""
        self._target = target
        self._links: set[_Link] = set()
        self._mute = False
        self._lies: list[Callable[[], bytes]] = []

    @asynccontextmanager
    async def lying(self, answer: Callable[[], bytes]) -> AsyncIterator[None]:
        """Whoever asks meanwhile is told what `answer` gives; of several lies at once, any of them."""
        self._lies.append(answer)
        self.abort()
        try:
            yield
        finally:
            self._lies.remove(answer)
            self.abort()

    @asynccontextmanager
    async def half_open(self) -> AsyncIterator[None]:
        """All connections, and those that come meanwhile, take bytes and give none, and stay so."""
        self._mute = True
        for link in self._links:
            link.dead = True
        try:
            yield
        finally:
            self._mute = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one connection until either side ends it."""
        link = _Link(self._mute, [writer])
        self._links.add(link)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                if self._lies:
                    await self._lie(reader, writer)
                there, back = await asyncio.open_connection(self._target.host, self._target.port)
                link.writers.append(back)
                async with asyncio.TaskGroup() as pumps:
                    first = pumps.create_task(link.pump(reader, back))
                    second = pumps.create_task(link.pump(there, writer))
                    await asyncio.wait((first, second), return_when=asyncio.FIRST_COMPLETED)
                    first.cancel()
                    second.cancel()
        finally:
            await link.close()
            self._links.discard(link)

    async def _lie(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(random.choice(self._lies)())
            await writer.drain()

    def abort(self) -> None:
        """Cut all connections."""
        for link in self._links:
            link.abort()


@asynccontextmanager
async def relaying(target: str) -> AsyncIterator[Relay]:
    """A relay to a URL of a host and port, for the length of the block."""
    relay = Relay(URL(target))
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(relay.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    relay.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield relay
    finally:
        server.close()
        relay.abort()
        await asyncio.gather(*tasks)
        await server.wait_closed()

"""Many connections to one listener, from several addresses, cheap for whoever holds them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

Address = tuple[str, int]

_SOURCES = tuple(f"127.0.0.{number}" for number in range(2, 10))
"""Eight peers; whoever looks after the siege itself asks from 127.0.0.1."""

_AT_ONCE = 50
_CONNECT_S = 10.0


class Client(asyncio.Protocol):
    """Throws away what it is sent."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the connection."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def send(self, data: bytes) -> None:
        """Send, if the other side has not hung up."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def deafen(self) -> None:
        """Read nothing any more."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()


class Asking(Client):
    """Asks for the status page again as soon as it has it."""

    _REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask first."""
        super().connection_made(transport)
        self.send(self._REQUEST)

    def data_received(self, data: bytes) -> None:
        """Ask again at the end of a page."""
        if data.rstrip().endswith(b"</html>"):
            self.send(self._REQUEST)


@asynccontextmanager
async def crowd(
    address: Address, number: int, make: Callable[[], Client] = Client
) -> AsyncIterator[list[Client]]:
    """So many clients, for the length of the block; who is not let in stays outside, and ends the rush."""
    loop = asyncio.get_running_loop()
    clients: list[Client] = []

    async def join(source: str) -> bool:
        client = make()
        clients.append(client)
        try:
            async with asyncio.timeout(_CONNECT_S):
                await loop.create_connection(lambda: client, *address, local_addr=(source, 0))
        except (OSError, TimeoutError):
            return False
        return True

    try:
        for first in range(0, number, _AT_ONCE):
            places = range(first, min(first + _AT_ONCE, number))
            if not any(await asyncio.gather(*(join(_SOURCES[place % len(_SOURCES)]) for place in places))):
                break
        yield clients
    finally:
        for client in clients:
            if client.transport is not None:
                client.transport.abort()

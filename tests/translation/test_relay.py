"""The relay passes on what comes, both ways, between namespaces that know nothing of each other."""

import asyncio
import socket

import pytest

from tests.translation.namespaces import Namespace
from tests.translation.network import Network
from tests.translation.relay import LOOPBACK, made, relay


async def shouted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with all that was said, in capitals, once the other side has said that this was all."""
    writer.write((await reader.read()).upper())
    await writer.drain()
    writer.close()


@pytest.mark.parametrize("of_node", [True, False], ids=["of the node", "of the machine"])
async def test_both_ways(network: Network, *, of_node: bool) -> None:
    """A port of loopback of one is reached at loopback of the other, where nothing listened before."""
    there, here = (network.node, None) if of_node else (None, network.node)
    listener = made(there, lambda: socket.create_server((LOOPBACK, 0)))
    async with (
        await asyncio.start_server(shouted, sock=listener),
        relay(listener.getsockname()[1], of=there, at=here) as port,
    ):
        said = await asyncio.gather(*(exchanged(here, port, b"a word" * 100_000) for _ in range(3)))
        assert said == [b"A WORD" * 100_000] * 3
        with pytest.raises(ConnectionRefusedError):
            await asyncio.to_thread(made, there, lambda: socket.create_connection((LOOPBACK, port)))


async def test_nobody_listens(network: Network, free_port: int) -> None:
    """Where the port refuses, the connection ends without a word, and the relay goes on."""
    async with relay(free_port, of=None, at=network.node) as port:
        for _ in range(2):
            assert await exchanged(network.node, port, b"") == b""


async def exchanged(place: Namespace | None, port: int, words: bytes) -> bytes:
    """What comes back for words to a port of loopback, until the other side ends."""

    def connected() -> socket.socket:
        connection = socket.create_connection((LOOPBACK, port))
        connection.settimeout(0)
        return connection

    reader, writer = await asyncio.open_connection(sock=await asyncio.to_thread(made, place, connected))
    writer.write(words)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer

"""A server whose every byte a test decides, for what no good HTTP server sends, and a port out of reach."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto

from tests.support.waiting import DEADLINE_S

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""``l_onoff`` and ``l_linger`` of ``SO_LINGER``: closing sends RST (socket(7))."""


class Ending(Enum):
    """What happens to the connection once the answer is sent."""

    KEEP = auto()
    """It waits for the next request."""
    CLOSE = auto()
    """It ends in order (FIN)."""
    RESET = auto()
    """It ends with RST; what was sent before still arrives."""


@dataclass
class RawServer:
    """What the server was sent."""

    url: str
    requests: list[bytes] = field(default_factory=list)
    """The head of every request."""
    connections: int = 0
    sent: int = 0
    """Bytes of answers that the network took."""


def response(status: str, body: bytes = b"", *headers: str) -> bytes:
    """An HTTP response, with ``Content-Length`` unless a header of the test says how long it is."""
    lines = [f"HTTP/1.1 {status}", *headers]
    if not any(line.lower().startswith(("content-length:", "transfer-encoding:")) for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@asynccontextmanager
async def raw_server(
    respond: Callable[[bytes], bytes | list[bytes]],
    ending: Ending = Ending.KEEP,
    *,
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[RawServer]:
    """A server on a free port; ``respond`` gives the bytes, or pieces, that answer the head of a request."""
    conversations: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        conversations[writer] = task
        log.connections += 1
        try:
            await _converse(reader, writer, log, respond=respond, ending=ending)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            writer.close()

    server = await asyncio.start_server(handle, host, 0, ssl=tls)
    address = f"[{host}]" if ":" in host else host
    log = RawServer(f"{'http' if tls is None else 'https'}://{address}:{server.sockets[0].getsockname()[1]}")
    async with server:
        yield log
        for writer in conversations:
            writer.transport.abort()
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.gather(*conversations.values())


async def _converse(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    log: RawServer,
    *,
    respond: Callable[[bytes], bytes | list[bytes]],
    ending: Ending,
) -> None:
    while True:
        request = await reader.readuntil(b"\r\n\r\n")
        log.requests.append(request)
        answer = respond(request)
        for piece in [answer] if isinstance(answer, bytes) else answer:
            writer.write(piece)
            await writer.drain()
            log.sent += len(piece)
        if ending is Ending.KEEP:
            continue
        if ending is Ending.RESET:
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()
        return


@contextmanager
def dropped_connections() -> Iterator[str]:
    """The URL of a port whose first packets get no answer, as where a firewall drops them."""
    with ExitStack() as stack:
        # Nobody accepts, and once the queue is full the kernel answers no more.
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"

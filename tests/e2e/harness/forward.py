"""A door into a network namespace: a port of the machine's loopback that leads to one address in there.

It listens outside, enters the namespace and connects from there, so kubectl and the tests reach the
API server, and nothing in the namespace gains a way out:
``python -m tests.e2e.harness.forward NAMESPACE HOST PORT FILE`` writes its own port to FILE.
"""

import asyncio
import contextlib
import ctypes
import os
import socket
import sys
from pathlib import Path

CHUNK_BYTES = 65536
CLONE_NEWNET = 0x40000000
"""The kind of namespace for setns(2)."""


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what is read until its end, and then the end as well."""
    with contextlib.suppress(ConnectionError):  # the other direction notices too
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def connect(client: tuple[asyncio.StreamReader, asyncio.StreamWriter], *, host: str, port: int) -> None:
    """Serve one client: both directions, until both have ended."""
    client_reader, client_writer = client
    try:
        server_reader, server_writer = await asyncio.open_connection(host, port)
    except OSError:
        client_writer.close()
        return
    try:
        await asyncio.gather(copy(client_reader, server_writer), copy(server_reader, client_writer))
    finally:
        client_writer.close()
        server_writer.close()


async def forward(listener: socket.socket, host: str, port: int) -> None:
    """Serve clients until the process is ended."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await connect((reader, writer), host=host, port=port)

    server = await asyncio.start_server(serve, sock=listener)
    await server.serve_forever()


def enter(namespace: str) -> None:
    """Make the named network namespace ours; sockets made before stay where they are.

    Raises:
        OSError: there is no such namespace, or this is not root.
    """
    library = ctypes.CDLL(None, use_errno=True)
    with Path(f"/run/netns/{namespace}").open() as handle:
        if library.setns(handle.fileno(), CLONE_NEWNET):  # os.setns came with Python 3.12
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def main(arguments: list[str]) -> None:
    """Forward as the command line says."""
    namespace, host, port, file = arguments
    listener = socket.create_server(("127.0.0.1", 0))
    enter(namespace)
    Path(file).write_text(str(listener.getsockname()[1]))
    asyncio.run(forward(listener, host, int(port)))


if __name__ == "__main__":
    main(sys.argv[1:])

"""Answers on the wire, and everything that goes wrong there."""

import asyncio
import socket
import struct
import uuid

from aiohttp import web

from sidecar.simulator.answers import JSON_TYPE, Reply
from sidecar.simulator.faults import HUGE_SIZE, Action
from sidecar.simulator.simulation import InjectedFault

_CHUNK = 64 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # l_onoff, l_linger


def response(answer: Reply) -> web.Response:
    """An answer that arrives whole."""
    return web.Response(status=answer.status, body=answer.body, headers=_headers(answer))


def _headers(answer: Reply) -> dict[str, str]:
    return {
        "Content-Type": answer.content_type,
        "Server": answer.server,
        "x-ms-request-id": str(uuid.uuid4()),
        **answer.headers,
    }


async def truncated(request: web.Request, answer: Reply, size: int | None) -> web.StreamResponse:
    """The first bytes of an answer (half of them unless told), then the end of the connection."""
    sent = answer.body[: len(answer.body) // 2 if size is None else size]
    stream = await _begun(request, answer, length=max(len(answer.body), len(sent) + 1))
    await stream.write(sent)
    close(request)
    return stream


async def dripping(request: web.Request, answer: Reply, pause: float) -> web.StreamResponse:
    """An answer byte by byte, with ``pause`` seconds between two."""
    stream = await _begun(request, answer, length=len(answer.body))
    for position in range(len(answer.body)):
        if position:
            await asyncio.sleep(pause)
        await stream.write(answer.body[position : position + 1])
    await stream.write_eof()
    return stream


async def huge(request: web.Request, injected_fault: InjectedFault) -> web.StreamResponse:
    """A document of one great unknown key and three empty lists."""
    begin, end = (
        b'{"loadbalancer":{"padding":"',
        b'","publicIpAddresses":[],"inboundRules":[],"outboundRules":[]}}',
    )
    size = HUGE_SIZE if injected_fault.size is None else injected_fault.size
    padding = max(0, size - len(begin) - len(end))
    answer = Reply(status=200, body=b"", content_type=JSON_TYPE)
    length = None if injected_fault.chunked else len(begin) + padding + len(end)
    stream = await _begun(request, answer, length=length)
    await stream.write(begin)
    for position in range(0, padding, _CHUNK):
        await stream.write(b"x" * min(_CHUNK, padding - position))
    await stream.write(end)
    await stream.write_eof()
    return stream


async def _begun(request: web.Request, answer: Reply, *, length: int | None) -> web.StreamResponse:
    stream = web.StreamResponse(status=answer.status, headers=_headers(answer))
    stream.content_length = length
    if length is None:
        stream.enable_chunked_encoding()
    await stream.prepare(request)
    return stream


def close(request: web.Request) -> None:
    """Ends the connection once everything written has been sent."""
    if request.transport is not None:
        request.transport.close()


def abort(request: web.Request) -> None:
    """Ends the connection at once."""
    if request.transport is not None:
        request.transport.abort()


def reset(request: web.Request) -> None:
    """Ends the connection with RST: a linger time of 0 discards what is unsent."""
    if request.transport is None:
        return
    connection = request.transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    request.transport.abort()


async def deliver(
    request: web.Request, answer: Reply, *, injected_fault: InjectedFault | None, closing: asyncio.Event
) -> web.StreamResponse:
    """Sends an answer as the fault lets it; without a fault, as it is.

    ``closing`` ends a hanging request when the service stops.
    """
    if injected_fault is None or injected_fault.action is Action.ANSWER:
        return response(answer)
    if injected_fault.action is Action.TRUNCATE:
        return await truncated(request, answer, injected_fault.size)
    if injected_fault.action is Action.DRIP:
        return await dripping(request, answer, injected_fault.delay)
    if injected_fault.action is Action.HUGE:
        return await huge(request, injected_fault)
    if injected_fault.action is Action.DELAY:
        await asyncio.sleep(injected_fault.delay)
    elif injected_fault.action is Action.HANG:
        await closing.wait()
        abort(request)
    elif injected_fault.action is Action.RESET:
        reset(request)
    return response(answer)  # goes nowhere where the connection is gone

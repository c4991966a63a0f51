"""The metadata service over HTTP: requests as values, replies on the wire, and what goes wrong there."""

import asyncio
import socket
import struct
import uuid

from aiohttp import web

from sidecar.simulator.answers import Reply
from sidecar.simulator.faults import HUGE_SIZE, Action
from sidecar.simulator.handling import right_answer
from sidecar.simulator.simulation import Call, InjectedFault, Simulation

_CHUNK = 64 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # l_onoff, l_linger


def service_application(simulation: Simulation, *, caller: str | None = None) -> web.Application:
    """Every path and every method of the metadata service.

    ``caller`` is the address that all requests count as coming from; None is each one's own.
    """
    closing = asyncio.Event()
    """Set when the service stops; ends requests that hang."""

    async def answer(request: web.Request) -> web.StreamResponse:
        call = Call(
            method=request.method,
            path=request.path,
            caller=caller or request.remote or "127.0.0.1",
            headers=tuple(request.headers.items()),
            parameters=tuple(request.query.items()),
        )
        simulation.counters.asked(call)
        fault = simulation.injected_fault(call)
        # Also under a fault, since every request counts against the limit.
        right = right_answer(simulation, call)
        reply = fault.answer if fault and fault.answer else right
        if fault and fault.action in (Action.HANG, Action.RESET):
            simulation.counters.answered(str(fault.action))
        else:
            simulation.counters.answered(200 if fault and fault.action is Action.HUGE else reply.status)
        match fault:
            case InjectedFault(action=Action.TRUNCATE):
                return await _truncated(request, reply, fault.size)
            case InjectedFault(action=Action.DRIP):
                return await _dripping(request, reply, fault.delay)
            case InjectedFault(action=Action.HUGE):
                return await _huge(request, fault)
            case InjectedFault(action=Action.DELAY):
                await asyncio.sleep(fault.delay)
            case InjectedFault(action=Action.HANG):
                await closing.wait()
                if request.transport is not None:
                    request.transport.abort()
            case InjectedFault(action=Action.RESET) if request.transport is not None:
                # With a linger time of 0 the kernel discards what is unsent and sends RST.
                connection = request.transport.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                request.transport.abort()
        # After HANG and RESET the connection is gone, and this goes nowhere.
        return web.Response(status=reply.status, body=reply.body, headers=_headers(reply))

    async def close(_: web.Application) -> None:
        closing.set()

    application = web.Application()
    application.on_shutdown.append(close)
    application.router.add_route("*", "/{path:.*}", answer)
    return application


async def _truncated(request: web.Request, reply: Reply, size: int | None) -> web.StreamResponse:
    """The first bytes of a reply (by default half of them), then the end of the connection."""
    sent = reply.body[: len(reply.body) // 2 if size is None else size]
    stream = await _begun(request, reply, length=max(len(reply.body), len(sent) + 1))
    await stream.write(sent)
    if request.transport is not None:
        request.transport.close()  # once everything written has been sent
    return stream


async def _dripping(request: web.Request, reply: Reply, pause: float) -> web.StreamResponse:
    """A reply byte by byte, with ``pause`` seconds between two."""
    stream = await _begun(request, reply, length=len(reply.body))
    for position in range(len(reply.body)):
        if position:
            await asyncio.sleep(pause)
        await stream.write(reply.body[position : position + 1])
    await stream.write_eof()
    return stream


async def _huge(request: web.Request, fault: InjectedFault) -> web.StreamResponse:
    """A document of one great unknown key and three empty lists."""
    begin = b'{"loadbalancer":{"padding":"'
    end = b'","publicIpAddresses":[],"inboundRules":[],"outboundRules":[]}}'
    padding = max(0, (HUGE_SIZE if fault.size is None else fault.size) - len(begin) - len(end))
    length = None if fault.chunked else len(begin) + padding + len(end)
    stream = await _begun(request, Reply(status=200, body=b""), length=length)
    await stream.write(begin)
    for position in range(0, padding, _CHUNK):
        await stream.write(b"x" * min(_CHUNK, padding - position))
    await stream.write(end)
    await stream.write_eof()
    return stream


async def _begun(request: web.Request, reply: Reply, *, length: int | None) -> web.StreamResponse:
    stream = web.StreamResponse(status=reply.status, headers=_headers(reply))
    stream.content_length = length
    if length is None:
        stream.enable_chunked_encoding()
    await stream.prepare(request)
    return stream


def _headers(reply: Reply) -> dict[str, str]:
    return {
        "Content-Type": reply.content_type,
        "Server": reply.server,
        "x-ms-request-id": str(uuid.uuid4()),
        **reply.headers,
    }

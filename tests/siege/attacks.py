"""What is done to an agent and a sidecar: each attack is one round, which whoever lays siege repeats."""

import asyncio
import functools
import gzip
import itertools
import json
import os
import signal
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.chaos.relay import Relay
from tests.siege.crowd import Address, Asking, crowd
from tests.siege.victims import Victim, victim
from tests.support.program import Settings
from tests.support.raw_server import response
from tests.support.waiting import until

_WAITING = b"GET /v1/public-ip HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\nPrefer: wait=300\r\n"
_LARGEST_ANSWER = 4 << 20
_ALL = 1100
"""More connections than a listener has places for, or the process files."""

_HOLD_S = 3.0
"""How long a crowd stays once it is there: enough for what it sent to be read."""

_START_S = 20.0
"""Within this an agent must live, whatever it finds at its start, and end when it is asked to."""


class FellError(Exception):
    """An attack succeeded in a way that only itself can see; the text says how."""


@dataclass(frozen=True, slots=True)
class Siege:
    """Who is attacked, and by what way."""

    victims: tuple[Victim, ...]
    relays: tuple[Relay, ...]
    """Between each of them and what it asks."""
    directory: Path
    service_url: str
    """A metadata service that tells the truth."""

    @property
    def listeners(self) -> list[Address]:
        """All that can be connected to."""
        return [address for one in self.victims for address in (one.api, one.admin)]


Attack = Callable[[Siege], Coroutine[Any, Any, None]]


async def answer_errors(siege: Siege) -> None:
    """Answer every status but 200 with 4 MiB of the smallest JSON values there are."""
    bodies = [_filled(b'{"":{}}'), _filled(b"[[]]"), _filled(b'{"error":[[]]}')]
    kinds = itertools.cycle(itertools.product((400, 403, 404, 410, 421, 429, 500, 503), bodies))

    def answer() -> bytes:
        status, body = next(kinds)
        return response(f"{status} Error", body, "Content-Type: application/json")

    await _lie(siege, answer)


async def answer_addresses(siege: Siege) -> None:
    """Answer 200 with one address of 4 MiB, beyond the characters that Python holds in a byte or two."""
    address = itertools.cycle((":", "a", "1.", "[")).__next__

    def answer() -> bytes:
        text = address()
        wrong = {"frontendIpAddress": text * (_LARGEST_ANSWER // len(text) - 1024) + "\U0001f600"}
        lists = {"publicIpAddresses": [wrong], "inboundRules": [], "outboundRules": []}
        agent = {"node": None, "status": "ok", "revision": "0" * 16, "changedAt": "2026-01-02T03:04:05Z"}
        body = json.dumps({**agent, "loadbalancer": lists}, ensure_ascii=False).encode()
        return response("200 OK", body, "Content-Type: application/json", "Age: 0")

    await _lie(siege, answer)


async def send_large_heads(siege: Siege) -> None:
    """Send heads of a megabyte on 150 connections, then some just below the bound on all there are."""
    endless = b"".join(b"X-%d: %b\r\n" % (number, b"x" * 8100) for number in range(120))
    allowed = b"".join(b"X-%d: %b\r\n" % (number, b"x" * 230) for number in range(120))
    for fields, number in ((endless, 150), (allowed, _ALL)):
        for address in siege.listeners:
            async with crowd(address, number) as clients:
                for place, client in enumerate(clients):
                    # Whole ones wait for five minutes; of half of them the end never comes.
                    client.send(_WAITING + fields + (b"\r\n" if place % 2 else b""))
                await asyncio.sleep(_HOLD_S)


async def queue_requests(siege: Siege) -> None:
    """Wait, and send as many large requests behind it as are taken, on 300 connections."""
    fields = b"".join(b"X-%d: %b\r\n" % (number, b"x" * 250) for number in range(120))
    request = b"GET /v1/public-ip HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n"
    for address in siege.listeners:
        async with crowd(address, 300) as clients:
            for client in clients:
                client.send(_WAITING + b"\r\n" + request * 34)
            await asyncio.sleep(_HOLD_S)


async def send_bodies(siege: Siege) -> None:
    """Send bodies that nobody asked for: compressed ones, and some that never end, before a long wait."""
    head = b"%b\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    bomb = _bomb()
    endless = _WAITING + b"Content-Length: 10000000000\r\n\r\n" + bytes(300_000)
    posted, got = (head % (line, len(bomb)) + bomb for line in (b"POST / HTTP/1.1", b"GET / HTTP/1.1"))
    for address in siege.listeners:
        for request, number in ((posted, 30), (got, 30), (endless, 500)):
            async with crowd(address, number) as clients:
                for client in clients:
                    client.send(request)
                await asyncio.sleep(_HOLD_S)


async def spoil_files(siege: Siege) -> None:
    """Start agents whose file of an earlier run is anything but one: each must live, and end when asked."""
    for name, make in _FILES.items():
        path = Path(tempfile.mkdtemp(dir=siege.directory)) / "facts.json"
        make(path)
        settings: Settings = {"annotations": False, "imds_endpoint": siege.service_url, "file": str(path)}
        try:
            async with victim(f"agent whose file is {name}", settings, siege.directory) as started:
                await until(started.fault, lambda fault: not fault or not started.alive, deadline_s=_START_S)
                if fault := await started.fault():
                    raise FellError(fault)
                started.program.signal(signal.SIGTERM)
                await started.program.exit_code(deadline_s=_START_S)
        except AssertionError as error:
            raise FellError(f"agent whose file is {name}: {str(error).splitlines()[0]}") from error


async def be_silent(siege: Siege) -> None:
    """Take more connections than there are files for, with nothing, with half a head, and with waits."""
    for words in (b"", b"GET /v1/public-ip HTTP/1.1\r\nHost:", _WAITING + b"\r\n"):
        async with AsyncExitStack() as stack:
            for address in siege.listeners:
                for client in await stack.enter_async_context(crowd(address, _ALL)):
                    client.send(words)
            await asyncio.sleep(_HOLD_S)


async def look_at_the_page(siege: Siege) -> None:
    """Ask for the status page from 256 clients as fast as it comes, and from 1,000 that read nothing."""
    async with AsyncExitStack() as stack:
        for one in siege.victims:
            await stack.enter_async_context(crowd(one.api, 256, Asking))
            for client in await stack.enter_async_context(crowd(one.api, 1000)):
                client.deafen()
                client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 5)
        await asyncio.sleep(2 * _HOLD_S)


async def _lie(siege: Siege, answer: Callable[[], bytes]) -> None:
    """Let the metadata service say something to the agent, and the agent to the sidecar, for a while."""
    async with AsyncExitStack() as stack:
        for relay in siege.relays:
            await stack.enter_async_context(relay.lying(answer))
        await asyncio.sleep(2 * _HOLD_S)


def _filled(value: bytes) -> bytes:
    return b"[" + b",".join([value] * (_LARGEST_ANSWER // (len(value) + 1) - 1)) + b"]"


@functools.cache
def _bomb() -> bytes:
    """Some 250 KiB that inflate to 250 MiB."""
    return gzip.compress(bytes(250 << 20))


def _of_many_values(path: Path) -> None:
    path.write_bytes(b"[" + b",".join([b"[[]]"] * (8 << 20 >> 2)) + b"]")


_FILES: Mapping[str, Callable[[Path], object]] = MappingProxyType(
    {
        "a pipe": os.mkfifo,
        "a device without end": lambda path: path.symlink_to("/dev/zero"),
        "of many values": _of_many_values,
        "a folder": Path.mkdir,
    }
)

ATTACKS: Mapping[str, Attack] = MappingProxyType(
    {
        "errors": answer_errors,
        "heads": send_large_heads,
        "queues": queue_requests,
        "addresses": answer_addresses,
        "bodies": send_bodies,
        "files": spoil_files,
        "silence": be_silent,
        "pages": look_at_the_page,
    }
)
"""By the names that the command knows."""

"""Nobody's words begin a header or an answer of their own, and clients cannot fill the log."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from sidecar.config import load_variables
from sidecar.errors import UsageError
from tests.api.support import api_running, exchange
from tests.security.hostile import ESCAPES, MARK, unsafe
from tests.support.agent import AgentProcess, agent_running
from tests.support.raw_server import raw_server, response
from tests.support.states import answer, body, pair, snapshot_after
from tests.support.waiting import DEADLINE_S

DATA = snapshot_after(answer(body(public=[pair("20.1.2.3")])))

INJECTION = quote(f"a\r\n{MARK}: yes\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", safe="")

TARGETS = (
    f"/{INJECTION}",
    f"/v1/{INJECTION}",
    f"/v1/private-ips/{INJECTION}",
    f"/v1/public-ip?node={INJECTION}",
    f"/v1/public-ip?{INJECTION}=a",
    f"/v1/public-ips?format={INJECTION}",
    f"/v1/inbound-rules?protocol={INJECTION}",
    f"/v1/events?node={INJECTION}",
    f"/metadata/{INJECTION}",
    f"/metadata/loadbalancer?api-version={INJECTION}",
)

LONGEST_LINE = 65_536
"""Characters of a log line at level debug: all that a header field may be, each byte escaped twice."""


def heads(conversation: bytes) -> list[str]:
    """All that stands before the first empty line, which ends the head of the one answer."""
    head, _, _ = conversation.partition(b"\r\n\r\n")
    return head.decode("latin-1").split("\r\n")


@pytest.mark.parametrize("target", TARGETS)
async def test_line_ends_in_a_target(target: str) -> None:
    """Encoded line ends in a path or parameter come back encoded or not at all."""
    request = f"GET {target} HTTP/1.1\r\nHost: a\r\nMetadata: true\r\nConnection: close\r\n\r\n"
    async with api_running(DATA) as api:
        conversation = await exchange(api.address, request.encode())
    lines = heads(conversation)
    assert lines[0].startswith("HTTP/1.1 ")
    assert not [line for line in lines if line.lower().startswith(MARK)]
    assert not unsafe(lines)
    assert (b"\r\n" + conversation).count(b"\r\nHTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "header", ["Accept", "Prefer", "If-None-Match", "Last-Event-ID", "X-Forwarded-For", "Metadata"]
)
async def test_folded_headers(header: str) -> None:
    """Header fields on two lines, bare line ends and zeros are refused or read as one field."""
    async with api_running(DATA) as api:
        for end in ("\r\n ", "\n", "\r", "\x00"):
            request = (
                f"GET /v1/public-ip HTTP/1.1\r\nHost: a\r\n{header}: a{end}{MARK}: yes\r\n"
                "Connection: close\r\n\r\n"
            )
            conversation = await exchange(api.address, request.encode())
            assert not [line for line in heads(conversation) if line.lower().startswith(MARK)]


@pytest.mark.parametrize(
    "name", ["a\r\nb: c", "a\nb", "a b", "a\x00", "ä", "a/b", "A", "a" * 254, "-a", "a..b"]
)
def test_node_name_is_a_name(name: str) -> None:
    """A node name that could break a header or a path is refused at the start."""
    with pytest.raises(UsageError, match="node-name"):
        load_variables(node_name=name)


@asynccontextmanager
async def sidecar_of(document: object, directory: Path) -> AsyncIterator[AgentProcess]:
    """A sidecar that reads a node agent, which answers everything with this JSON."""
    answered = response("200 OK", json.dumps(document).encode(), 'ETag: "a"')
    async with (
        raw_server(lambda _: answered) as neighbour,
        agent_running(directory, upstream=neighbour.url, annotations=None) as agent,
    ):
        yield agent


async def test_hostile_neighbour(tmp_path: Path) -> None:
    """A neighbour that answers for the node agent cannot name a node that breaks a header."""
    lists = {"publicIpAddresses": [pair("20.1.2.3")], "inboundRules": [], "outboundRules": []}
    said = {
        "node": f"a\r\n{MARK}: yes",
        "status": "ok",
        "reason": None,
        "revision": "0" * 16,
        "changedAt": "2026-01-02T03:04:05Z",
        "loadbalancer": lists,
    }
    async with sidecar_of(said, tmp_path) as agent:
        await agent.more_attempts(2, "malformed")
        reply = await agent.document()
        log = agent.program.log
    assert reply.status == 503
    assert MARK not in {name.lower() for name in reply.headers}
    assert not unsafe(log)


JUNK = (
    b"\x1b[2J" * 2_000 + b"\r\n\r\n",
    b"GET /" + b"\x1b" * 7_000 + b" HTTP/1.1\r\n\r\n",
    b"GET /v1/" + b"a" * 7_000 + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"a" * 7_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"\x1b[2J: b\r\n" * 900 + b"\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /v1/public-ip?node=" + quote(ESCAPES).encode() * 50 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\nHost: a\r\n\r\n" + b"x" * 100_000,
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n" + b"\x1b[2J\r\n" * 2_000,
)


async def send_junk(agent: AgentProcess) -> None:
    """Send every kind of junk, each on a connection of its own."""
    host, port = agent.url.removeprefix("http://").split(":")
    for junk in JUNK:
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(junk)
            writer.write_eof()
            async with asyncio.timeout(DEADLINE_S):
                while await reader.read(65_536):
                    pass
        except ConnectionError:
            pass  # it has hung up on us, as it may
        finally:
            writer.close()


@pytest.mark.parametrize("log_level", ["info", "debug"])
async def test_clients_cannot_fill_the_log(tmp_path: Path, log_level: str) -> None:
    """What clients send is not logged; at level debug no more than one bounded, printable line of each."""
    async with agent_running(
        tmp_path, annotations=False, poll_interval="1h", stale_after="10h", log_level=log_level
    ) as agent:
        await agent.program.event("poll-failed")
        before = len(agent.program.lines)
        await send_junk(agent)
        await agent.document()
        log = agent.program.lines[before:]
        text = agent.program.log
    assert len(log) <= (len(JUNK) if log_level == "debug" else 0)
    assert not [line for line in log if line["level"] != "debug"]
    assert max(map(len, text.splitlines())) < LONGEST_LINE
    assert not unsafe(text)

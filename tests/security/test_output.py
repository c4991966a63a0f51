"""Whatever the metadata service says: logs, annotations, answers and headers are printable ASCII."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.security.hostile import ESCAPES, MARK, hostile_answers, unsafe
from tests.support.agent import AgentProcess, agent_running
from tests.support.fake_apiserver import FakeApiServer, Reply, fake_api_server, refusal
from tests.support.program import Program
from tests.support.raw_server import Ending, RawServer, raw_server, response
from tests.support.waiting import until

NODE = "node-1"

DOCUMENT = (
    b'{"loadbalancer":{"publicIpAddresses":'
    b'[{"frontendIpAddress":"20.1.2.3","privateIpAddress":"10.240.0.4"}]}}'
)

PATHS = (
    *("/v1/loadbalancer", "/v1/public-ip", "/v1/public-ips", "/v1/inbound-rules", "/v1/history", "/"),
    *("/v1/private-ips", "/metadata/loadbalancer?api-version=2020-10-01"),
)


@asynccontextmanager
async def attacked(
    directory: Path, kubernetes: FakeApiServer, answers: list[bytes], **settings: str
) -> AsyncIterator[tuple[AgentProcess, RawServer]]:
    """An agent that is given these answers, and the last of them for ever."""
    remaining = list(answers)

    def respond(_: bytes) -> bytes:
        return remaining.pop(0) if len(remaining) > 1 else remaining[0]

    async with (
        raw_server(respond, Ending.CLOSE) as service,
        agent_running(
            directory,
            imds_endpoint=service.url,
            kubeconfig=kubernetes.kubeconfig(directory / "kubeconfig"),
            node_name=NODE,
            log_level="debug",
            poll_interval="20ms",
            write_splay="10ms",
            **settings,
        ) as agent,
    ):
        yield agent, service


async def test_hostile_service(tmp_path: Path) -> None:
    """Escapes and line ends in any place of an answer reach neither log nor annotation, file nor client."""
    answers = list(hostile_answers())
    file = tmp_path / "document"
    async with fake_api_server() as kubernetes:
        node = kubernetes.add_node(NODE)
        async with attacked(tmp_path, kubernetes, answers, file=str(file)) as (agent, service):
            await agent.until_document(lambda reply: reply.status == 200)
            await until_applied(kubernetes)
            assert len(service.requests) >= len(answers)
            replies = [await agent.get(path) for path in PATHS]
            program = agent.program
    assert program.events("entries-dropped")
    assert_harmless(program)
    assert not unsafe(node.annotations.values())
    assert not unsafe(file.read_bytes() + file.with_name("document.env").read_bytes())
    for reply in replies:
        assert not unsafe([*reply.headers.keys(), *reply.headers.values()])
        assert MARK not in {name.lower() for name in reply.headers}


async def test_hostile_api_server(tmp_path: Path) -> None:
    """What an API server says in its errors is logged as one printable line, and never in full."""
    async with fake_api_server() as kubernetes:
        kubernetes.add_node(NODE)
        for status in (400, 401, 403, 404, 409, 413, 422, 429, 500):
            details = {"causes": [{"message": ESCAPES}]}
            kubernetes.script.append(refusal(status, ESCAPES * 1_000, details=details))
            kubernetes.script.append(Reply(status=status, body=ESCAPES.encode() * 1_000))
        script = len(kubernetes.script)
        async with attacked(tmp_path, kubernetes, [response("200 OK", DOCUMENT)]) as (agent, _):
            await until_applied(kubernetes)
            program = agent.program
    assert len(kubernetes.requests) > script
    assert len(program.events("publish-failed")) >= 9
    assert_harmless(program)


async def test_hostile_annotations(tmp_path: Path) -> None:
    """Annotations that somebody forged are neither served nor logged, and nothing of them is written."""
    keys = ("revision", "loadbalancer", "last-changes", "status", "observed-at", "public-ip", "changed-at")
    async with fake_api_server() as kubernetes:
        kubernetes.add_node(NODE, {f"azure-lb-metadata.io/{key}": ESCAPES for key in keys})
        async with attacked(tmp_path, kubernetes, [response("200 OK", DOCUMENT)]) as (agent, _):
            await until_applied(kubernetes)
            document = await agent.document()
            program = agent.program
    assert document.json["loadbalancer"]["publicIpAddresses"][0]["frontendIpAddress"] == "20.1.2.3"
    written = [request.json["metadata"] for request in kubernetes.requests if request.method == "PATCH"]
    assert written
    values = [
        value for metadata in written for value in metadata["annotations"].values() if value is not None
    ]
    assert not unsafe(values), "and what is null is removed"
    assert_harmless(program)


async def until_applied(kubernetes: FakeApiServer) -> None:
    """Wait for a write that was done as it was asked."""

    async def applied() -> bool:
        return not kubernetes.script and any(request.method == "PATCH" for request in kubernetes.requests)

    await until(applied)
    await until(lambda: asyncio.sleep(0, bool(kubernetes.nodes[NODE].applied)))


def assert_harmless(program: Program) -> None:
    """Neither the lines of a log nor the values in them hold anything but short printable ASCII."""
    assert not unsafe(program.log)
    values = [str(value) for line in program.lines for value in line.values()]
    assert not unsafe(values)
    assert max(map(len, values)) < 2_000

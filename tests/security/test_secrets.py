"""The agent's token is sent to the API server, and shows nowhere else."""

from pathlib import Path

from sidecar.simulator import Serving
from tests.security.test_output import NODE, until_applied
from tests.support.agent import AgentProcess, agent_running
from tests.support.fake_apiserver import FakeApiServer, Reply, fake_api_server

TOKEN = "eyJhbGciOiJSUzI1NiJ9.c2VjcmV0LW9mLXRoZS1hZ2VudA.c2lnbmF0dXJl"  # noqa: S105 - of no real server
"""In the form of a service account's token."""

PATHS = ("/", "/openapi.json", "/v1/loadbalancer", "/v1/history", "/v1/raw", "/v1/nothing")


def misbehaviour() -> list[Reply]:
    """What makes an agent complain."""
    statuses = [Reply(status=status, body=b"{}") for status in (401, 403, 409, 422, 429, 500, 503)]
    return [*statuses, Reply(reset=True), Reply(body=b"garbage"), Reply(status=302), Reply(status=401)]


async def everything_said(agent: AgentProcess) -> str:
    """The log, and every answer of both listeners."""
    replies = [await agent.get(path) for path in PATHS]
    replies += [await agent.admin(path) for path in ("/metrics", "/livez", "/readyz", "/attempts")]
    answers = [f"{dict(reply.headers)}{reply.text}" for reply in replies]
    return "\n".join([agent.program.log, agent.program.output, *answers])


async def annotated(directory: Path, service: Serving, server: FakeApiServer, kubeconfig: str) -> str:
    """Let an agent write in spite of all misbehaviour, and give everything that it says."""
    server.script.extend(misbehaviour())
    async with agent_running(
        directory,
        imds_endpoint=service.url,
        kubeconfig=kubeconfig,
        node_name=NODE,
        log_level="debug",
        write_splay="10ms",
        file=str(directory / "document"),
    ) as agent:
        await until_applied(server)
        await agent.until_document(lambda reply: reply.status == 200)
        return await everything_said(agent)


async def test_token_shows_nowhere(service: Serving, tmp_path: Path) -> None:
    """At level debug and with every kind of failure, no part of the token is logged, answered or written."""
    (tmp_path / "token").write_text(TOKEN)
    async with fake_api_server() as server:
        node = server.add_node(NODE)
        kubeconfig = server.kubeconfig(tmp_path / "kubeconfig", user={"tokenFile": "token"})
        said = await annotated(tmp_path, service, server, kubeconfig)
        last = service.simulator.counters.last_request
    assert {request.headers["Authorization"] for request in server.requests} == {f"Bearer {TOKEN}"}
    assert "publish-failed" in said
    assert last is not None
    written = [path.read_text() for path in (tmp_path / "document", tmp_path / "document.env")]
    for text in (said, *node.annotations.values(), *written, str(last)):
        assert not [part for part in TOKEN.split(".") if part in text]


async def test_token_in_a_kubeconfig_shows_nowhere(service: Serving, tmp_path: Path) -> None:
    """Nor is a token that stands in the kubeconfig itself."""
    async with fake_api_server() as server:
        server.add_node(NODE)
        kubeconfig = server.kubeconfig(tmp_path / "kubeconfig", user={"token": TOKEN})
        said = await annotated(tmp_path, service, server, kubeconfig)
    assert "publish-failed" in said
    assert not [part for part in TOKEN.split(".") if part in said]

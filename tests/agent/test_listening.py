"""Where an agent listens."""

import socket
from contextlib import closing
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession, UnixConnector

from sidecar.simulator import Serving
from tests.agent.support import PUBLIC_IP, ok, taken_port
from tests.support.agent import SCALED, AgentProcess, agent_running
from tests.support.faults import Origin, Promise, also_shows, fault
from tests.support.program import Settings, flags, program_running


@fault(
    Origin.NODE,
    "A port is taken",
    Promise(
        served="Nothing: the agent ends with 1.",
        annotated="Nothing.",
        logged="One line that names address and setting.",
        recovery="With the next start.",
    ),
)
@pytest.mark.parametrize("listener", ["listen", "admin-listen"])
async def test_port_taken(tmp_path: Path, listener: str) -> None:
    """An address that somebody else has is one line that names the setting, and exit code 1."""
    async with taken_port() as address:
        arguments = [*flags({**SCALED, "annotations": False}), f"--{listener}={address}"]
        async with program_running("run", *arguments, directory=tmp_path) as program:
            assert await program.exit_code() == 1
            assert program.log == (
                f"azure-lb-metadata run: cannot listen on {address} (Address already in use): something "
                f"else listens there; stop it, or choose another address with --{listener}\n"
            )


async def test_closed_to_the_internet(service: Serving, tmp_path: Path) -> None:
    """On the node's own address, only the networks given get an answer; probes from private ones too."""
    settings: Settings = {
        "annotations": False,
        "imds_endpoint": service.url,
        "node_address": "127.0.0.1",
        "listen": "host:0",
        "admin_listen": "host:0",
        "allow_from": "203.0.113.0/24",
    }
    async with agent_running(tmp_path, **settings) as agent:
        assert agent.url.startswith("http://127.0.0.1:")
        assert (await agent.admin("/livez")).status == 200
        with pytest.raises(ClientError):
            await agent.get("/v1/public-ip")


@also_shows("A port is taken")
async def test_second_agent(agent: AgentProcess, tmp_path: Path) -> None:
    """A second agent on the same port ends with exit code 1, and the first goes on."""
    address = agent.url.removeprefix("http://")
    arguments = flags({**SCALED, "annotations": False, "listen": address})
    async with program_running("run", *arguments, directory=tmp_path) as second:
        assert await second.exit_code() == 1
    assert (await agent.get("/v1/public-ip")).text == PUBLIC_IP


async def test_listen_nowhere(service: Serving, tmp_path: Path) -> None:
    """Either listener can be switched off."""
    settings: Settings = {"annotations": False, "imds_endpoint": service.url}
    async with agent_running(tmp_path, **settings, listen="none") as agent:
        await agent.until_ready()
        assert agent.url == ""
    async with agent_running(tmp_path, **settings, admin_listen="none") as agent:
        await agent.until_document(ok)
        assert agent.admin_url == ""


async def test_listen_on_a_path(service: Serving, tmp_path: Path) -> None:
    """The API answers on a Unix socket, which replaces one left behind and is gone after the end."""
    path = tmp_path / "api"
    with closing(socket.socket(socket.AF_UNIX)) as left_behind:
        left_behind.bind(str(path))
    async with agent_running(
        tmp_path, annotations=False, imds_endpoint=service.url, listen=f"unix:{path}"
    ) as agent:
        await agent.until_ready()
        async with ClientSession(connector=UnixConnector(str(path))) as session:
            reply = await session.get("http://agent/v1/public-ip")
            assert await reply.text() == PUBLIC_IP
    assert not path.exists()


async def test_path_is_not_left_behind(tmp_path: Path) -> None:
    """An agent that cannot start because a port is taken leaves no socket behind."""
    path = tmp_path / "api"
    async with taken_port() as address:
        arguments = flags({**SCALED, "annotations": False, "listen": f"unix:{path}", "admin_listen": address})
        async with program_running("run", *arguments, directory=tmp_path) as program:
            assert await program.exit_code() == 1
    assert not path.exists()

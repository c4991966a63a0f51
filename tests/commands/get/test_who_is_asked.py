"""Whom `get` asks: the agent that is named, the one on this host, or the metadata service."""

import pytest

from sidecar.simulator import Serving
from tests.commands.get.support import BODY, TEXTS, Get, NewAgent
from tests.support.raw_server import raw_server, response
from tests.support.states import answer, snapshot_after


class TestWhoIsAsked:
    """The agent that is named, else the one on this host, else the metadata service."""

    async def test_agent_on_this_host(self, get: Get, service: Serving, new_agent: NewAgent) -> None:
        """A running agent spares the metadata service a request."""
        await new_agent(snapshot_after(answer(BODY)))

        assert (await get("public-ip")).out == "20.9.9.9\n"
        assert service.simulator.counters.requests == 0

    async def test_direct(self, get: Get, new_agent: NewAgent) -> None:
        """`--direct` passes the agent over."""
        await new_agent(snapshot_after(answer(BODY)))

        assert (await get("outbound-ips", "--direct")).out != TEXTS["outbound-ips"]

    async def test_upstream_is_imds(self, get: Get, new_agent: NewAgent) -> None:
        """The upstream `imds` is the metadata service, as among the settings."""
        await new_agent(snapshot_after(answer(BODY)))

        assert await get("outbound-ips", "--upstream=imds") == await get("outbound-ips", "--direct")

    @pytest.mark.parametrize("end", ["", "/"])
    async def test_upstream(
        self, get: Get, new_agent: NewAgent, host: pytest.MonkeyPatch, free_port: int, end: str
    ) -> None:
        """A named agent is asked, with or without a slash at the end of its URL."""
        url = await new_agent(snapshot_after(answer(BODY)))
        host.setenv("AZURE_LB_METADATA_LISTEN", f"127.0.0.1:{free_port}")

        assert (await get("public-ip", f"--upstream={url}{end}")).out == "20.9.9.9\n"

    async def test_upstream_refuses(self, get: Get, service: Serving, free_port: int) -> None:
        """Where the named agent does not listen, nobody else is asked in its place."""
        ended = await get("public-ip", f"--upstream=http://127.0.0.1:{free_port}")

        assert (ended.code, ended.out) == (4, "")
        assert f"127.0.0.1:{free_port}" in ended.err
        assert service.simulator.counters.requests == 0

    @pytest.mark.parametrize("listen", ["none", "unix:/run/no-such-socket"])
    async def test_agent_without_a_port(
        self, get: Get, service: Serving, host: pytest.MonkeyPatch, listen: str
    ) -> None:
        """An agent that listens on no port cannot be asked, the metadata service can."""
        host.setenv("AZURE_LB_METADATA_LISTEN", listen)

        assert (await get("public-ips")).code == 0
        assert service.simulator.counters.requests == 1

    async def test_all_addresses(self, get: Get, service: Serving, host: pytest.MonkeyPatch) -> None:
        """An agent that listens on all addresses is asked over the loopback address."""
        answered = response("200 OK", b"20.7.7.7\n")
        async with raw_server(lambda _: answered) as server:
            host.setenv("AZURE_LB_METADATA_LISTEN", f":{server.url.rpartition(':')[2]}")
            assert (await get("public-ip")).out == "20.7.7.7\n"

        assert service.simulator.counters.requests == 0

    async def test_ipv6(self, get: Get, host: pytest.MonkeyPatch) -> None:
        """An agent may listen on an IPv6 address."""
        answered = response("200 OK", b"20.7.7.7\n")
        async with raw_server(lambda _: answered, host="::1") as server:
            host.setenv("AZURE_LB_METADATA_LISTEN", server.url.removeprefix("http://"))
            assert (await get("public-ip")).out == "20.7.7.7\n"

"""`get` where there is none of what is asked for."""

import json

import pytest

from sidecar.simulator import Serving
from tests.commands.get.support import Get, NewAgent, Tell
from tests.support.states import (
    EMPTY_BODY,
    answer,
    body,
    none_accepted,
    pair,
    restored,
    snapshot_after,
    snapshot_of,
)

NO_PUBLIC_IP = body(outbound=[pair("52.1.1.1")])

REACHABLE = ("reachable protocol=tcp port=30443",)
"""What needs parameters."""


class TestNone:
    """There is an answer, and it is "there is none": 3."""

    @pytest.mark.parametrize("output", ["text", "json", "yaml"])
    @pytest.mark.parametrize("who", ["agent", "metadata service"])
    async def test_empty_list(self, get: Get, tell: Tell, output: str, who: str) -> None:
        """An empty list is printed as what it is."""
        await tell(who, {"raw": NO_PUBLIC_IP.decode()}, snapshot_after(answer(NO_PUBLIC_IP)))

        ended = await get("inbound-ips", "-o", output)

        assert (ended.code, ended.out) == (3, "" if output == "text" else "[]\n")

    @pytest.mark.parametrize("who", ["agent", "metadata service"])
    async def test_no_public_ip(self, get: Get, tell: Tell, who: str) -> None:
        """A node without a public IP address prints nothing, and says why on standard error."""
        await tell(who, {"raw": NO_PUBLIC_IP.decode()}, snapshot_after(answer(NO_PUBLIC_IP)))

        ended = await get("public-ip")

        assert (ended.code, ended.out) == (3, "")
        assert "lists no public IP address" in ended.err

    @pytest.mark.parametrize("who", ["agent", "metadata service"])
    async def test_no_metadata(self, get: Get, service: Serving, tell: Tell, who: str) -> None:
        """Where the metadata service has nothing, whatever is asked is none, in every form."""
        await tell(who, "none", none_accepted())

        for what in ("public-ip", "raw", "private-ips/10.240.0.4"):
            ended = await get(what)
            assert (ended.code, ended.out) == (3, "")
            assert "private IP" in ended.err or "no load balancer metadata" in ended.err
        for what in ("public-ips", "inbound-rules", "private-ips", "history", *REACHABLE):
            assert ((ended := await get(*what.split())).code, ended.out) == (3, "")
        for what in ("public-ips", "private-ips", *REACHABLE):
            assert (await get(*what.split(), "-o", "json")).code == 3
        assert service.simulator.counters.requests == (0 if who == "agent" else 10 + len(REACHABLE))

    @pytest.mark.parametrize("who", ["agent", "metadata service"])
    async def test_no_metadata_as_a_whole(self, get: Get, tell: Tell, who: str) -> None:
        """The whole document and the variables are printed as they are, empty, and are none."""
        await tell(who, "none", none_accepted())

        ended, variables = await get(), await get("-o", "env")

        assert (ended.code, json.loads(ended.out)["status"]) == (3, "no-metadata")
        assert variables.code == 3
        assert "AZURE_LB_STATUS=no-metadata\nAZURE_LB_PUBLIC_IP=\n" in variables.out

    async def test_stale_none(self, get: Get, new_agent: NewAgent) -> None:
        """Data that are stale and have nothing in them are none as well."""
        await new_agent(snapshot_of(restored(answer(EMPTY_BODY).document, age=3600.0)))

        for form in ("json", "yaml", "env"):
            assert (await get("-o", form)).code == 3

    async def test_empty_lists(self, get: Get, service: Serving) -> None:
        """Empty lists are an answer at once: nothing is held back from whoever asks directly."""
        service.simulator.set_document({"raw": EMPTY_BODY.decode()})

        ended = await get("public-ip")

        assert ended.code == 3
        assert service.simulator.counters.requests == 1

"""`get` with arguments or settings that are wrong."""

import pytest

from sidecar.simulator import Serving
from tests.commands.get.support import Get


class TestUsage:
    """Wrong arguments and settings: 2, one line, and nobody is asked."""

    @pytest.mark.parametrize(
        "arguments",
        [
            ("everything",),
            ("public-ip", "public-ips"),
            ("events",),
            ("private-ips/IP",),
            ("reachable",),
            ("reachable", "protocol=tcp", "port=0"),
            ("public-ips", "family=ipv7"),
            ("public-ips", "format=json"),
            ("public-ip", "node=a"),
            ("-o", "xml"),
            ("--timeout=10",),
            ("--direct", "--upstream=http://127.0.0.1:9"),
            ("--direct", "--node=a"),
            ("--node=a", "--upstream=http://127.0.0.1:9"),
            ("--upstream=agent",),
            ("--upstream=http://agent/v1",),
            ("--upstream=",),
            ("--dir",),
        ],
        ids=" ".join,
    )
    async def test_arguments(self, get: Get, service: Serving, arguments: tuple[str, ...]) -> None:
        """Whatever is wrong is said in one line."""
        ended = await get(*arguments)

        assert (ended.code, ended.out) == (2, "")
        assert ended.err.count("\n") == 1
        assert service.simulator.counters.requests == 0

    async def test_setting(self, get: Get, host: pytest.MonkeyPatch) -> None:
        """A wrong variable of the agent's is named as for `run`."""
        host.setenv("AZURE_LB_METADATA_IMDS_TIMEOUT", "5")

        ended = await get("public-ip")

        assert ended.code == 2
        assert "--imds-timeout (AZURE_LB_METADATA_IMDS_TIMEOUT)" in ended.err

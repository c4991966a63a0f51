"""A command whose api-version is refused, and who falls back: nothing of it is in its output."""

import asyncio
import sys

import pytest

from sidecar.simulator import Serving
from tests.support.program import clean_environment

COMMANDS = {
    "get": ("get", "public-ip", "--direct"),
    "wait": ("wait", "--for=public-ip", "--direct"),
    "exec": ("exec", "--for=public-ip", "--direct", "--", "/bin/echo", "ran"),
}


@pytest.mark.parametrize("command", COMMANDS)
async def test_nothing_is_printed(service: Serving, command: str) -> None:
    """A fallback to another api-version leaves stderr empty, and the answer on stdout as it is."""
    service.simulator.change({"versions": ["2021-02-01", "2023-07-01"]})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sidecar", *COMMANDS[command]),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=clean_environment({"AZURE_LB_METADATA_IMDS_ENDPOINT": service.url}),
    )
    out, err = await process.communicate()
    assert (process.returncode, err.decode()) == (0, "")
    assert out.decode().strip() or command == "wait"
    assert service.simulator.counters.by_status["400"] == 1

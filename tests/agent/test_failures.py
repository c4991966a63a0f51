"""What becomes of an agent in which something is wrong, and what it logs."""

import signal
from pathlib import Path
from typing import Any

import pytest

from sidecar.agent import Agent
from sidecar.runtime import Runtime
from sidecar.settings import Settings as AgentSettings
from sidecar.simulator import Serving
from tests.support.agent import SCALED, STALE_SOON
from tests.support.faults import Origin, Promise, fault
from tests.support.program import Settings, flags, program_running


class BrokenError(Exception):
    """What the broken part raises."""


def broken() -> float:
    """Raise instead of giving a random number."""
    raise BrokenError


async def test_broken_loop(service: Serving) -> None:
    """A loop that dies of a mistake in the program ends the agent: it is not left half alive."""
    nowhere: dict[str, Any] = {"listen": None, "admin_listen": None}
    settings = AgentSettings(annotations=False, imds_endpoint=service.url, **nowhere)
    agent = Agent(settings, runtime=Runtime(random=broken))
    with pytest.raises(ExceptionGroup) as failure:
        await agent.run()
    assert failure.group_contains(BrokenError)


@fault(
    Origin.NODE,
    "A loop of the agent dies of a defect",
    Promise(
        served="Nothing: the agent ends with 1 instead of living on by halves.",
        annotated="What stands there stays.",
        logged="`failed`, critical, with the traceback.",
        recovery="Kubernetes restarts it, and it takes up what it published.",
    ),
)
async def test_broken_loop_is_logged(service: Serving, tmp_path: Path) -> None:
    """Such an agent's last words are one log line with the whole story, and exit code 1."""
    python = ("-c", "import random; random.random = None; from sidecar.__main__ import main; main()")
    arguments = flags({**SCALED, "annotations": False, "imds_endpoint": service.url})
    async with program_running("run", *arguments, directory=tmp_path, python=python) as program:
        assert await program.exit_code() == 1
        last = program.lines[-1]
        assert (last["level"], last["event"]) == ("critical", "failed")
        assert "TypeError: 'NoneType' object is not callable" in last["traceback"]


async def test_no_kubeconfig(service: Serving, tmp_path: Path) -> None:
    """Annotations without a way to a cluster are one line that names the flags, and exit code 2."""
    arguments = flags({**SCALED, "imds_endpoint": service.url, "node_name": "node"})
    async with program_running("run", *arguments, directory=tmp_path) as program:
        assert await program.exit_code() == 2
        assert program.log.splitlines()[-1] == (
            "azure-lb-metadata run: this is no pod of a cluster, and there is no kubeconfig: "
            "set --kubeconfig and --context, or --no-annotations to do without the Kubernetes API"
        )


async def test_log(service: Serving, tmp_path: Path) -> None:
    """Whatever happens, the log is one JSON object per line with time, level and event, and nothing else.

    Python's development mode would add warnings about whatever is left open.
    """
    settings: Settings = {"annotations": False, "imds_endpoint": service.url, "stale_after": STALE_SOON}
    arguments = flags({**SCALED, **settings, "log_level": "debug"})
    python = ("-X", "dev", "-m", "sidecar")
    async with program_running("run", *arguments, directory=tmp_path, python=python) as program:
        await program.event("status-changed", status="ok")
        service.simulator.set_fault("reset")
        await program.event("status-changed", status="stale")
        service.simulator.clear_fault()
        await program.event("status-changed", status="ok", number=2)
        program.signal(signal.SIGTERM)
        await program.event("stopping")
        program.signal(signal.SIGTERM)
        assert await program.exit_code() == 0
        assert all({"time", "level", "event"} <= line.keys() for line in program.lines)
        assert program.log.endswith("\n")
        assert program.output == ""

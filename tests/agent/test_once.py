"""``run --once``, ``run --print-settings`` and the variables of ``run``."""

import signal
from pathlib import Path

import pytest

from sidecar.agent import Agent
from sidecar.errors import Error
from sidecar.kube import access
from sidecar.runtime import Runtime
from sidecar.settings import Settings
from sidecar.simulator import Serving
from tests.agent.support import FAULTS
from tests.support.pipes import silent_pipe
from tests.support.program import flags, program_running


async def test_once(service: Serving, tmp_path: Path) -> None:
    """`run --once` asks once, publishes what came and ends with 0."""
    path = tmp_path / "document"
    arguments = flags({"annotations": False, "imds_endpoint": service.url, "file": str(path)})
    async with program_running("run", "--once", *arguments, directory=tmp_path) as program:
        assert await program.exit_code() == 0
    assert service.simulator.counters.requests == 1
    assert "AZURE_LB_PUBLIC_IP=192.0.2.4\n" in (tmp_path / "document.env").read_text()


@pytest.mark.parametrize("fault", ["unavailable", "reset", "api-not-found"])
async def test_once_without_an_answer(service: Serving, tmp_path: Path, fault: str) -> None:
    """`run --once` that learns nothing publishes nothing, says why and ends with 4."""
    service.simulator.set_fault(fault)
    path = tmp_path / "document"
    arguments = flags({"annotations": False, "imds_endpoint": service.url, "file": str(path)})
    async with program_running("run", "--once", *arguments, directory=tmp_path) as program:
        assert await program.exit_code() == 4
        assert program.log.splitlines()[-1].startswith(f"azure-lb-metadata run: no data, {FAULTS[fault]}: ")
    assert not path.exists()


async def test_once_with_nothing_there(service: Serving, tmp_path: Path) -> None:
    """`run --once` that gets "no metadata" publishes nothing, reports it and ends with 3."""
    service.simulator.set_document("none")
    path = tmp_path / "document"
    arguments = flags({"annotations": False, "imds_endpoint": service.url, "file": str(path)})
    async with program_running("run", "--once", *arguments, directory=tmp_path) as program:
        assert await program.exit_code() == 3
        assert "has no load balancer metadata" in program.log
    assert not path.exists()


async def test_once_that_cannot_publish(service: Serving, tmp_path: Path) -> None:
    """`run --once` that cannot publish what it learnt ends with 1."""
    path = tmp_path / "missing" / "document"
    arguments = flags({"annotations": False, "imds_endpoint": service.url, "file": str(path)})
    async with program_running("run", "--once", *arguments, directory=tmp_path) as program:
        assert await program.exit_code() == 1
        assert "check --file" in program.log


async def test_once_with_a_hanging_kubeconfig(
    service: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`run --once` does not wait for ever for credentials that cannot be read just now."""
    monkeypatch.setattr(access, "_KUBECONFIG_TIMEOUT", 0.05)
    settings = Settings(imds_endpoint=service.url, kubeconfig=tmp_path / "kubeconfig", node_name="a")
    agent = Agent(settings, runtime=Runtime())
    with (
        silent_pipe(tmp_path / "kubeconfig"),
        pytest.raises(Error, match=r"^the Kubernetes configuration cannot be read: "),
    ):
        await agent.run_once()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_once_is_stopped(service: Serving, tmp_path: Path, number: signal.Signals) -> None:
    """A signal ends `run --once` before it is done, which is no success."""
    service.simulator.set_fault("hang")
    arguments = flags({"annotations": False, "imds_endpoint": service.url, "imds_timeout": "15s"})
    async with program_running("run", "--once", *arguments, directory=tmp_path) as program:
        await service.simulator.counters.reached(1)
        program.signal(number)
        assert await program.exit_code() == 1
        assert program.log == "azure-lb-metadata run: stopped before it was done\n"


async def test_print_settings(tmp_path: Path) -> None:
    """`run --print-settings` tells each value and where it came from, and starts nothing."""
    environment = {"AZURE_LB_METADATA_STALE_AFTER": "90s", "NODE_NAME": "node-1"}
    arguments = ("run", "--print-settings", "--poll-interval=1m", "--no-annotations")
    async with program_running(*arguments, directory=tmp_path, environment=environment) as program:
        assert await program.exit_code() == 0
        rows = {name: rest for name, *rest in map(str.split, program.output.splitlines())}
    assert rows["poll-interval"] == ["1m", "--poll-interval"]
    assert rows["stale-after"] == ["1m30s", "AZURE_LB_METADATA_STALE_AFTER"]
    assert rows["node-name"] == ["node-1", "NODE_NAME"]
    assert rows["annotations"] == ["false", "--annotations"]
    assert rows["max-clients"] == ["1024", "default"]
    assert rows["kubeconfig"] == ["-", "default"]


async def test_variables(service: Serving, tmp_path: Path) -> None:
    """A misspelt variable is one warning with the nearest setting; Kubernetes' injected ones are none."""
    environment = {
        "AZURE_LB_METADATA_POLL_INTERVALL": "1m",
        "AZURE_LB_METADATA_PORT": "tcp://10.0.0.1:80",
        "AZURE_LB_METADATA_SERVICE_HOST": "10.0.0.1",
    }
    arguments = flags({"annotations": False, "imds_endpoint": service.url, "log_format": "json"})
    async with program_running(
        "run", "--once", *arguments, directory=tmp_path, environment=environment
    ) as program:
        assert await program.exit_code() == 0
        [warning] = program.events("unknown-variable")
        assert warning["variable"] == "AZURE_LB_METADATA_POLL_INTERVALL"
        assert warning["nearest"] == "AZURE_LB_METADATA_POLL_INTERVAL"

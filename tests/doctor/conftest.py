"""A host with the simulated metadata service and no agent, and `doctor` on it."""

import pytest

from sidecar.simulator import Serving
from tests.doctor.support import Doctor, Report, run_doctor


@pytest.fixture
def host(service: Serving, free_port: int, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The host's environment, on which a test sets what else there is."""
    for variable in (
        *("NODE_NAME", "HOST_IP", "KUBERNETES_SERVICE_HOST"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"),
    ):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("KUBECONFIG", "/nonexistent/kubeconfig")
    monkeypatch.setenv("AZURE_LB_METADATA_IMDS_ENDPOINT", service.url)
    monkeypatch.setenv("AZURE_LB_METADATA_LISTEN", f"127.0.0.1:{free_port}")
    monkeypatch.setenv("AZURE_LB_METADATA_ADMIN_LISTEN", f"127.0.0.1:{free_port}")
    monkeypatch.setenv("AZURE_LB_METADATA_POLL_INTERVAL", "20ms")
    return monkeypatch


@pytest.fixture
def doctor(host: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """The command on that host."""
    del host

    async def run(*arguments: str) -> Report:
        return await run_doctor(capsys, *arguments)

    return run

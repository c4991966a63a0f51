"""`doctor --bundle`: everything that was found, and no secret."""

import base64
import io
import json
import os
import stat
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from sidecar.simulator import Serving
from tests.doctor.proxying import NODE, proxying_server
from tests.doctor.support import Doctor
from tests.support.agent import agent_running
from tests.support.commands import run_here
from tests.support.raw_server import raw_server, response

TOKEN = "opaque-token-of-the-kubeconfig-0123456789"  # noqa: S105 - looked for
CLAIMS = base64.urlsafe_b64encode(json.dumps({"sub": "someone", "exp": 4102444800}).encode()).decode()
WEB_TOKEN = f"eyJhbGciOiJSUzI1NiJ9.{CLAIMS.rstrip('=')}.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg"
SECRETS = (
    TOKEN,
    WEB_TOKEN,
    "hunter2",
    "c2Vzc2lvbg",
    "s3cr3t-in-a-url",
    "abcdefghij-bearer",
    "sig-of-the-guest",
)


def files_in(bundle: bytes) -> Mapping[str, bytes]:
    """The files of a bundle, by name within its one folder."""
    files = {}
    with tarfile.open(fileobj=io.BytesIO(bundle)) as archive:
        for member in archive.getmembers():
            file = archive.extractfile(member)
            assert file is not None, member.name
            files[member.name] = file.read()
    assert len({name.partition("/")[0] for name in files}) == 1
    return {name.partition("/")[2]: content for name, content in files.items()}


async def test_whole(service: Serving, host: pytest.MonkeyPatch, doctor: Doctor, tmp_path: Path) -> None:
    """Of a host with an agent there is what each of the three said, also where all is well."""
    path = tmp_path / "bundle.tar.gz"
    async with proxying_server() as api_server:
        kubeconfig = api_server.kubeconfig(tmp_path / "kubeconfig")
        async with agent_running(
            tmp_path, imds_endpoint=service.url, node_name=NODE, kubeconfig=kubeconfig
        ) as agent:
            await agent.until_ready()
            # From its metrics doctor knows that it annotates a Node.
            await agent.program.event("annotated")
            host.setenv("AZURE_LB_METADATA_LISTEN", agent.url.removeprefix("http://"))
            host.setenv("AZURE_LB_METADATA_ADMIN_LISTEN", agent.admin_url.removeprefix("http://"))
            report = await doctor("--kubeconfig", kubeconfig, "--bundle", str(path))

    report.is_healthy()
    files = files_in(path.read_bytes())
    assert set(files) == {
        *("README.txt", "report.txt", "report.json", "versions.json", "settings.json"),
        *(f"agent/{name}" for name in ("agent.json", "loadbalancer.json", "history.json")),
        *(f"agent/{name}" for name in ("livez.txt", "readyz.txt", "metrics.txt")),
        *(f"service/{name}.txt" for name in ("try-1", "try-2", "try-3", "without-metadata-header")),
        *("node/annotations.json", "node/cluster.json"),
    }
    assert json.loads(files["report.json"]) == report.value
    assert json.loads(files["agent/loadbalancer.json"])["node"] == NODE
    assert json.loads(files["agent/agent.json"])["attempts"][0]["outcome"] == "ok"
    assert b"azure_lb_metadata_attempts_total" in files["agent/metrics.txt"]
    assert json.loads(files["settings.json"])["settings"]["imds-endpoint"] == service.url
    assert "azure-lb-metadata" in json.loads(files["versions.json"])
    assert json.loads(files["node/cluster.json"])["rights"] == {"get": True, "patch": True}


async def test_tries(service: Serving, doctor: Doctor, tmp_path: Path) -> None:
    """Requests and answers are there as they went over the wire, for a support request."""
    service.simulator.set_fault("unavailable")
    path = tmp_path / "bundle.tar.gz"

    await doctor("--direct", "--tries", "5", "--bundle", str(path))

    files = files_in(path.read_bytes())
    tries = [name for name in files if name.startswith("service/try-")]
    told = files["service/try-5.txt"].decode()
    assert len(tries) == 5
    assert "GET /metadata/loadbalancer?api-version=2020-10-01&format=json HTTP/1.1\nMetadata: true\n" in told
    assert "\nHTTP/1.1 503\n" in told
    assert "\nserver: IMDS/" in told
    assert told.endswith('{"error":"Internal service unavailable. Please retry later"}')


async def test_no_secrets(host: pytest.MonkeyPatch, doctor: Doctor, tmp_path: Path) -> None:
    """No token, password or cookie is in it or in the report, wherever it might have come from."""
    path = tmp_path / "bundle.tar.gz"
    host.setenv("HTTPS_PROXY", "http://someone:hunter2@proxy.example:3128")
    host.setenv("NODE_NAME", NODE)
    told = f"""{{"error":"{TOKEN} {WEB_TOKEN} http://u:s3cr3t-in-a-url@host Bearer abcdefghij-bearer"}}"""
    headers = ("Set-Cookie: id=c2Vzc2lvbg", "x-ms-azure-host-authorization: sig-of-the-guest")
    async with (
        raw_server(lambda _: response("403 Forbidden", told.encode(), *headers)) as server,
        proxying_server() as api_server,
    ):
        host.setenv("AZURE_LB_METADATA_IMDS_ENDPOINT", server.url)
        kubeconfig = api_server.kubeconfig(tmp_path / "kubeconfig", user={"token": TOKEN})
        report = await doctor("--direct", "--kubeconfig", kubeconfig, "--bundle", str(path))
        assert any(TOKEN in request.headers["Authorization"] for request in api_server.requests)

    content = b"\n".join(files_in(path.read_bytes()).values()).decode()
    assert "HTTP/1.1 403" in content
    assert "set-cookie: (hidden)" in content
    for secret in SECRETS:
        assert secret not in content
        assert secret not in json.dumps(report.value)


async def test_only_for_its_owner(doctor: Doctor, tmp_path: Path) -> None:
    """Nobody else on the machine can read it."""
    path = tmp_path / "bundle.tar.gz"
    await doctor("--direct", "--bundle", str(path))

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_file_that_is_there(doctor: Doctor, tmp_path: Path) -> None:
    """A file that others may read, or have open, is replaced by one that they may not."""
    path = tmp_path / "bundle.tar.gz"
    path.write_text("before")
    path.chmod(0o644)
    with path.open("rb") as opened:
        await doctor("--direct", "--bundle", str(path))
        assert opened.read() == b"before"

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert files_in(path.read_bytes())
    left = os.listdir(tmp_path)  # noqa: PTH208 - Path's own is refused in a coroutine
    assert [name for name in left if "bundle" in name] == ["bundle.tar.gz"]


@pytest.mark.parametrize("target", ["file", "none", "/dev/null", "."])
@pytest.mark.usefixtures("host")
async def test_link(capsys: pytest.CaptureFixture[str], tmp_path: Path, target: str) -> None:
    """A link is not followed, wherever it leads, and stays."""
    (tmp_path / "file").write_text("somebody's")
    path = tmp_path / "bundle.tar.gz"
    path.symlink_to(target)
    ended = await run_here(capsys, "doctor", "--direct", "--bundle", str(path))

    assert ended.code == 1
    assert "is a link or no regular file" in ended.err
    assert (path.is_symlink(), (tmp_path / "file").read_text()) == (True, "somebody's")

"""Where the client finds the API server and its credentials, and how it keeps them fresh."""

import contextlib
import json
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.blocking import read_regular
from sidecar.errors import ExitCode
from sidecar.kube import CredentialsError, KubeConfigError, UnauthorizedError, connect, credentials
from sidecar.metrics import Metrics
from tests.kube.asking import NODE
from tests.support.fake_apiserver import FakeApiServer, refusal
from tests.support.faults import Origin, also_shows, api_failure, fault
from tests.support.waiting import DEADLINE_S, until

UNAUTHORIZED = refusal(401, "Unauthorized")


@pytest.fixture
def no_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Neither pod nor kubeconfig in the environment; gives the home directory."""
    for name in ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


async def test_rotated_token(server: FakeApiServer, metrics: Metrics, tmp_path: Path) -> None:
    """A token in a file is read for each request, without the line end an editor adds."""
    token = tmp_path / "token"
    token.write_text("first\n")
    kubeconfig = server.kubeconfig(tmp_path / "config", user={"tokenFile": "token"})
    async with connect(metrics=metrics, kubeconfig=kubeconfig) as client:
        await client.get(NODE, cached=False)
        token.write_text("second\n")
        await client.get(NODE, cached=False)
    sent = [request.headers["Authorization"] for request in server.requests]
    assert sent == ["Bearer first", "Bearer second"]


def remove(path: Path) -> None:
    """Take the file away."""
    path.unlink()


def empty(path: Path) -> None:
    """Leave nothing in the file."""
    path.write_text("")


def spoil(path: Path) -> None:
    """Put something into the file that no header can hold."""
    path.write_bytes(b"a\r\nHost: b\xff")


@fault(
    Origin.API_SERVER,
    "The token's file is missing or spoilt",
    api_failure("none: nothing is sent").but(
        logged='`publish-failed` that names the file; `publishes_total{result="failed"}`.',
        recovery="With the first request after the file is back.",
    ),
)
@pytest.mark.parametrize("damage", [remove, empty, spoil])
async def test_token_file_lost(
    server: FakeApiServer, metrics: Metrics, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """A token file that is gone or spoilt stops the request before it is sent, until it is back."""
    token = tmp_path / "token"
    token.write_text("first")
    kubeconfig = server.kubeconfig(tmp_path / "config", user={"tokenFile": str(token)})
    async with connect(metrics=metrics, kubeconfig=kubeconfig) as client:
        damage(token)
        with pytest.raises(CredentialsError, match="token"):
            await client.get(NODE, cached=False)
        assert not server.requests
        token.write_text("second")
        await client.get(NODE, cached=False)


def pipe(path: Path) -> None:
    """Nobody writes to it."""
    path.unlink()
    os.mkfifo(path)


def endless(path: Path) -> None:
    """A link to what never ends."""
    path.unlink()
    path.symlink_to("/dev/zero")


def long(path: Path) -> None:
    """Longer than any header."""
    path.write_text("a" * 100_000)


@fault(
    Origin.API_SERVER,
    "In place of the token's file is a pipe or a device, or it is far too long",
    api_failure("none: nothing is sent").but(
        logged='`publish-failed` that names the file; `publishes_total{result="failed"}`.',
        recovery="With the first request after the file is back.",
    ),
)
@pytest.mark.parametrize("damage", [pipe, endless, long])
async def test_token_that_is_no_file(
    server: FakeApiServer, metrics: Metrics, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """What is no regular file, or no token by its length, is an error at once that names the file."""
    token = tmp_path / "token"
    token.write_text("first")
    kubeconfig = server.kubeconfig(tmp_path / "config", user={"tokenFile": str(token)})
    async with connect(metrics=metrics, kubeconfig=kubeconfig) as client:
        damage(token)
        with pytest.raises(CredentialsError, match=re.escape(f"the token file {token}")):
            await client.get(NODE, cached=False)
        assert not server.requests
        remove(token)
        token.write_text("second")
        await client.get(NODE, cached=False)


@fault(
    Origin.API_SERVER,
    "The volume of the token's file hangs",
    api_failure("none: nothing is sent").but(
        logged="`publish-failed` with the file and `no answer within 5 s`; one thread waits, however often.",
        recovery="With the first request after it answers again. The agent ends in time without it.",
    ),
)
async def test_hanging_token(
    server: FakeApiServer, metrics: Metrics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token file that does not answer is named as the cause, and not the network; it goes on later."""
    token, gate = tmp_path / "token", threading.Event()
    token.write_text("first")
    kubeconfig = server.kubeconfig(tmp_path / "config", user={"tokenFile": str(token)})
    monkeypatch.setattr(credentials, "FILE_TIMEOUT", 0.1)
    opened: list[Path] = []

    def hanging(path: Path, *, limit: int) -> bytes:
        opened.append(path)
        gate.wait(DEADLINE_S)
        return read_regular(path, limit=limit)

    async with connect(metrics=metrics, kubeconfig=kubeconfig) as client:
        with monkeypatch.context() as patched:
            patched.setattr(credentials, "read_regular", hanging)
            for _ in range(3):
                with pytest.raises(CredentialsError, match=r"token cannot be read: .*no answer within"):
                    await client.get(NODE, cached=False)
            assert (opened, server.requests) == ([token], [])
        gate.set()

        async def status() -> object:
            with contextlib.suppress(CredentialsError):
                return await client.get(NODE, cached=False)
            return None

        await until(status, lambda answer: answer is not None)


@also_shows("The token is refused: 401, or was rotated")
async def test_kubeconfig_is_loaded_anew_after_401(
    server: FakeApiServer, metrics: Metrics, tmp_path: Path
) -> None:
    """After a 401 the next request uses the token that the kubeconfig holds then."""
    kubeconfig = server.kubeconfig(tmp_path / "config", user={"token": "first"})
    async with connect(metrics=metrics, kubeconfig=kubeconfig) as client:
        server.kubeconfig(tmp_path / "config", user={"token": "second"})
        await client.get(NODE, cached=False)
        server.script.append(UNAUTHORIZED)
        with pytest.raises(UnauthorizedError):
            await client.get(NODE, cached=False)
        await client.get(NODE, cached=False)
    sent = [request.headers["Authorization"] for request in server.requests]
    assert sent == ["Bearer first", "Bearer first", "Bearer second"]


async def test_kubeconfig_lost(server: FakeApiServer, metrics: Metrics, tmp_path: Path) -> None:
    """A kubeconfig that is gone when it is needed again is an error of that request."""
    kubeconfig = server.kubeconfig(tmp_path / "config")
    async with connect(metrics=metrics, kubeconfig=kubeconfig) as client:
        server.script.append(UNAUTHORIZED)
        with pytest.raises(UnauthorizedError):
            await client.get(NODE, cached=False)
        (tmp_path / "config").unlink()
        with pytest.raises(CredentialsError, match="there is no kubeconfig"):
            await client.get(NODE, cached=False)


async def test_credential_plugin(server: FakeApiServer, metrics: Metrics, tmp_path: Path) -> None:
    """The token of a credential plug-in is used, and asked for again after a 401."""
    version = "client.authentication.k8s.io/v1"
    credential = {"apiVersion": version, "kind": "ExecCredential", "status": {"token": "of-the-plug-in"}}
    (tmp_path / "credential").write_text(json.dumps(credential))
    plugin = {"apiVersion": version, "command": "cat", "args": [str(tmp_path / "credential")]}
    kubeconfig = server.kubeconfig(tmp_path / "config", user={"exec": plugin})
    async with connect(metrics=metrics, kubeconfig=kubeconfig) as client:
        await client.get(NODE, cached=False)
        credential["status"] = {"token": "renewed"}
        (tmp_path / "credential").write_text(json.dumps(credential))
        server.script.append(UNAUTHORIZED)
        with pytest.raises(UnauthorizedError):
            await client.get(NODE, cached=False)
        await client.get(NODE, cached=False)
    sent = [request.headers["Authorization"] for request in server.requests]
    assert sent == ["Bearer of-the-plug-in", "Bearer of-the-plug-in", "Bearer renewed"]


async def test_failing_credential_plugin(server: FakeApiServer, metrics: Metrics, tmp_path: Path) -> None:
    """A credential plug-in that gives nothing stops the start, rather than asking as nobody."""
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "false"}
    kubeconfig = server.kubeconfig(tmp_path / "config", user={"exec": plugin})
    with pytest.raises(KubeConfigError, match="plug-in"):
        async with connect(metrics=metrics, kubeconfig=kubeconfig):
            pass


async def test_user_without_credentials(server: FakeApiServer, metrics: Metrics, tmp_path: Path) -> None:
    """A user without credentials, as for a local proxy that has them, sends none."""
    kubeconfig = server.kubeconfig(tmp_path / "config", user={})
    async with connect(metrics=metrics, kubeconfig=kubeconfig) as client:
        await client.get(NODE, cached=False)
    assert "Authorization" not in server.requests[0].headers


async def test_named_context(server: FakeApiServer, metrics: Metrics, tmp_path: Path) -> None:
    """A named context goes before the current one."""
    kubeconfig = server.kubeconfig(tmp_path / "config", current="nowhere")
    async with connect(metrics=metrics, kubeconfig=kubeconfig, context="fake") as client:
        assert (await client.get(NODE, cached=False)).name == NODE


async def test_unknown_context(server: FakeApiServer, metrics: Metrics, tmp_path: Path) -> None:
    """A context that the kubeconfig does not have is an error that names those it has."""
    kubeconfig = server.kubeconfig(tmp_path / "config")
    with pytest.raises(KubeConfigError, match="--context is one of: fake") as failure:
        async with connect(metrics=metrics, kubeconfig=kubeconfig, context="other"):
            pass
    assert failure.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize("line", ["current-context: ''\n", "current-context:\n", ""])
async def test_no_current_context(server: FakeApiServer, metrics: Metrics, tmp_path: Path, line: str) -> None:
    """Where no context is the current one, that is the error, with those that can be named."""
    config = tmp_path / "config"
    kubeconfig = server.kubeconfig(config)
    config.write_text(config.read_text().replace("current-context: fake\n", line))
    with pytest.raises(KubeConfigError, match="has no current context: --context is one of: fake"):
        async with connect(metrics=metrics, kubeconfig=kubeconfig):
            pass


@pytest.mark.parametrize("currents", [("fake", "other"), ("", "fake"), ("fake", "")])
async def test_current_context_of_several(
    server: FakeApiServer, metrics: Metrics, tmp_path: Path, currents: tuple[str, str]
) -> None:
    """Of several kubeconfigs the first that names a current context decides, as kubectl has it."""
    first = server.kubeconfig(tmp_path / "first", current=currents[0])
    second = tmp_path / "second"
    other = {"name": "other", "context": {"cluster": "other", "user": "fake"}}
    nowhere = {"name": "other", "cluster": {"server": "http://127.0.0.1:9"}}
    second.write_text(
        json.dumps({"current-context": currents[1], "contexts": [other], "clusters": [nowhere]})
    )
    async with connect(metrics=metrics, kubeconfig=f"{first}:{second}") as client:
        assert (await client.get(NODE, cached=False)).name == NODE


@pytest.mark.usefixtures("no_surroundings")
async def test_kubeconfig_of_the_environment(
    server: FakeApiServer, metrics: Metrics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a service account, KUBECONFIG is used; it may list files that do not exist."""
    path = server.kubeconfig(tmp_path / "config")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'none'}:{path}")
    async with connect(metrics=metrics, service_account=tmp_path / "none") as client:
        assert (await client.get(NODE, cached=False)).name == NODE


async def test_kubeconfig_of_the_home(
    server: FakeApiServer, metrics: Metrics, no_surroundings: Path, tmp_path: Path
) -> None:
    """Without anything else, the kubeconfig in the home directory is used."""
    (no_surroundings / ".kube").mkdir()
    server.kubeconfig(no_surroundings / ".kube" / "config")
    async with connect(metrics=metrics, service_account=tmp_path / "none") as client:
        assert (await client.get(NODE, cached=False)).name == NODE


@pytest.mark.usefixtures("no_surroundings")
async def test_nothing_to_connect_to(metrics: Metrics, tmp_path: Path) -> None:
    """Where there is no cluster, the error names the flags that help."""
    with pytest.raises(KubeConfigError, match=r"--kubeconfig.*--context.*--no-annotations"):
        async with connect(metrics=metrics, service_account=tmp_path):
            pass


@pytest.mark.usefixtures("no_surroundings")
async def test_pod_without_token(metrics: Metrics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a pod without a token, the error says how a pod gets one."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    with pytest.raises(KubeConfigError, match="automountServiceAccountToken"):
        async with connect(metrics=metrics, service_account=tmp_path):
            pass


@pytest.mark.usefixtures("no_surroundings")
@pytest.mark.parametrize(
    ("token", "authority"), [("", "x"), ("token", None), ("token", ""), ("token", "no certificate")]
)
async def test_broken_service_account(
    metrics: Metrics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str, authority: str | None
) -> None:
    """An empty token, or an authority that is missing or none, is an error of the configuration."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "9")
    (tmp_path / "token").write_text(token)
    if authority is not None:
        (tmp_path / "ca.crt").write_text(authority)
    with pytest.raises(KubeConfigError, match="unusable"):
        async with connect(metrics=metrics, service_account=tmp_path):
            pass


SECRET = "very-secret"  # noqa: S105 - what must not be shown

CONTEXT = "current-context: a\ncontexts: [{name: a, context: {cluster: c, user: u}}]\n"
CLUSTER = "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:9'}}]\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "{",
        "contexts: 7",
        "contexts: [{}]\ncurrent-context: a",
        "contexts: [{name: a}]\ncurrent-context: a",
        CONTEXT,
        CONTEXT + "clusters: []\nusers: []",
        CONTEXT + "clusters: [{name: c, cluster: {}}]\nusers: [{name: u, user: {token: t}}]",
        CONTEXT + CLUSTER + f"users: [{{name: u, token: {SECRET}}}]",
        CONTEXT + CLUSTER + f'users: [{{name: u, user: {{token: "{SECRET}\\r\\nHost: a"}}}}]',
        CONTEXT + CLUSTER + "users: [{name: u, user: {tokenFile: none}}]",
    ],
)
async def test_broken_kubeconfig(metrics: Metrics, tmp_path: Path, text: str) -> None:
    """A kubeconfig of another shape is one line of error, without the secrets in it."""
    (tmp_path / "config").write_text(text)
    with pytest.raises(KubeConfigError, match="--kubeconfig") as failure:
        async with connect(metrics=metrics, kubeconfig=str(tmp_path / "config")):
            pass
    shown = f"{failure.value} {failure.value.__cause__}"
    assert shown.isprintable()
    assert SECRET not in shown

"""Credential plug-ins are started as kubectl starts them."""

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sidecar.kube import KubeConfigError
from sidecar.kube.access import LoadingRules, load_access
from tests.kube.kubeconfigs import PLAIN, loaded, refused, written
from tests.support.faults import Origin, Promise, also_shows, fault
from tests.support.waiting import DEADLINE_S

VERSION = "client.authentication.k8s.io/v1beta1"
ECHO = """#!/bin/sh
printf '%s' "$KUBERNETES_EXEC_INFO" > "$(dirname "$0")/info"
printf '{"apiVersion": "client.authentication.k8s.io/v1beta1", "status": {"token": "%s"}}' "$1$WHO"
"""
"""Keeps what it is told, and gives a token of its argument and its variable."""


def program(path: Path, text: str = ECHO) -> Path:
    """A program."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o700)
    return path


def user(command: str, **given: object) -> dict[str, Any]:
    """A user with a plug-in."""
    return {"exec": {"apiVersion": VERSION, "command": command, **given}}


async def test_relative_command(tmp_path: Path) -> None:
    """A command with a slash starts at the kubeconfig's folder, wherever we are; arguments and env come."""
    program(tmp_path / "bin" / "login")
    given = user("bin/login", args=["a"], env=[{"name": "WHO", "value": "b"}])
    assert (await loaded(tmp_path / "config", user=given)).fixed_authorization == "Bearer ab"


@pytest.mark.parametrize("provide", [False, True])
async def test_what_a_plugin_is_told(tmp_path: Path, *, provide: bool) -> None:
    """It is told whether it has a terminal, and of the cluster if it wants that."""
    program(tmp_path / "login")
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}
    cluster = {**PLAIN, "tls-server-name": "name", "extensions": [{"name": "other"}, extension]}
    await loaded(
        tmp_path / "config", cluster=cluster, user=user("./login", args=["a"], provideClusterInfo=provide)
    )
    told = json.loads((tmp_path / "info").read_text())
    assert (told["apiVersion"], told["kind"]) == (VERSION, "ExecCredential")
    assert told["spec"]["interactive"] is False
    wanted = {"server": PLAIN["server"], "tls-server-name": "name", "config": {"audience": "x"}}
    assert told["spec"].get("cluster") == (wanted if provide else None)


async def test_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that is none is refused, and its key is not left on the disk."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    answer = {"apiVersion": VERSION, "status": {"clientCertificateData": "c", "clientKeyData": "k"}}
    program(tmp_path / "login", f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    assert "client-certificate: " in await refused(written(tmp_path / "config", user=user("./login")))
    assert not os.listdir(tmp_path / "temporary")  # noqa: PTH208 - Path's own is refused in a coroutine


@fault(
    Origin.API_SERVER,
    "The credential plug-in of a kubeconfig fails, hangs or says what is no credential",
    Promise(
        served="Everything: the API server is not asked.",
        annotated="What stands there stays; at the start the agent ends with 2, as a command does.",
        logged="One line with the plug-in's own words or with what its answer lacks; never a token.",
        recovery="With the first request after the plug-in gives a credential.",
    ),
)
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("echo 'run az login' >&2; exit 3", "login ended with 3: run az login"),
        ("exit 3", "login ended with 3: see its words above, or run it by hand"),
        ("head -c 300000 /dev/zero >&2; echo; exit 4", "login ended with 4"),
        ("echo no", "no ExecCredential"),
        ("echo '{}'", "no ExecCredential"),
        ('echo \'{"apiVersion": "a", "status": {"token": "t"}}\'', "another apiVersion"),
        (f'echo \'{{"apiVersion": "{VERSION}", "status": {{}}}}\'', "neither a token nor a certificate"),
        (f'echo \'{{"apiVersion": "{VERSION}", "status": {{"token": 7}}}}\'', "no text"),
        (f'echo \'{{"apiVersion": "{VERSION}", "status": {{"clientKeyData": "k"}}}}\'', "half a certificate"),
        (f'echo \'{{"apiVersion": "{VERSION}", "status": {{"token": "a\\\\nb"}}}}\'', "a token that is none"),
    ],
)
async def test_failing(tmp_path: Path, text: str, words: str) -> None:
    """What a plug-in says on standard error, or what its answer lacks, is the error, as text."""
    program(tmp_path / "login", f"#!/bin/sh\n{text}\n")
    assert words in await refused(written(tmp_path / "config", user=user("./login")))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (user("./none", installHint="get it\nthere"), "./none is not there: get it there"),
        (user("no-such-plug-in"), "install it, and see that it is in PATH"),
        (user("./config"), "cannot be started"),
        (user("a\0b"), "command is no text"),
        (user("./login", interactiveMode="Always"), "needs a terminal"),
        (user("./login", interactiveMode="Often"), "interactiveMode is none of"),
        (user("./login", env=[{"value": "x"}]), "without a name"),
        (user("./login", env=[{"name": "a=b", "value": "x"}]), "without a name"),
        (user("./login", args="x"), "args is no list"),
        ({"exec": {"command": "./login", "apiVersion": "x"}}, "apiVersion is none of"),
        ({"exec": {"apiVersion": VERSION}}, "has no command"),
        (
            {"exec": {"apiVersion": VERSION, "command": "a"}, "auth-provider": {"name": "oidc"}},
            "both an auth",
        ),
    ],
)
async def test_refused(tmp_path: Path, given: Mapping[str, Any], words: str) -> None:
    """A plug-in that cannot be started so is refused, with how to install it where that is said."""
    line = await refused(written(tmp_path / "config", user=given))
    assert words in line.replace(f"{tmp_path}/", "./")


async def test_hanging(tmp_path: Path) -> None:
    """A plug-in that is no longer waited for is ended."""
    program(
        tmp_path / "login",
        f"#!/bin/sh\necho $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid\nexec sleep 600\n",
    )
    rules = LoadingRules(kubeconfig=written(tmp_path / "config", user=user("./login")))
    waiting = asyncio.create_task(load_access(rules))
    async with asyncio.timeout(DEADLINE_S):
        while not (tmp_path / "pid").exists():
            assert not waiting.done()
            await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (tmp_path / "pid").read_text().strip() not in os.listdir("/proc")  # noqa: PTH208


@also_shows("The credential plug-in of a kubeconfig fails, hangs or says what is no credential")
async def test_patience(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plug-in that nobody can answer has its time, and then the error says so."""
    monkeypatch.setattr("sidecar.kube.plugin._TIMEOUT", 0.05)
    program(tmp_path / "login", "#!/bin/sh\nexec sleep 600\n")
    with pytest.raises(KubeConfigError, match=r"gave nothing within 0\.05 s"):
        await loaded(tmp_path / "config", user=user("./login"))

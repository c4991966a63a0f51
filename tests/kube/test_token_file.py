"""A token's file that is none, or does not answer."""

import contextlib
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.blocking import read_regular
from sidecar.kube import CredentialsError, connect, credentials
from sidecar.metrics import Metrics
from tests.kube.asking import NODE
from tests.support.fake_apiserver import FakeApiServer
from tests.support.faults import Origin, api_failure, fault
from tests.support.waiting import DEADLINE_S, until


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
        token.unlink()
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

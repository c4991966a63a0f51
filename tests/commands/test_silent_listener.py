"""Somebody who takes connections and never answers costs no more than ``--timeout``, and is named."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.support.commands import run_here


@pytest.fixture
async def silent(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The address of a silent listener, in place of agent and metadata service."""
    ended = asyncio.Event()

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            await ended.wait()

    async with await asyncio.start_server(hold, "127.0.0.1", 0) as server:
        address = "{}:{}".format(*server.sockets[0].getsockname())
        monkeypatch.setenv("AZURE_LB_METADATA_LISTEN", address)
        monkeypatch.setenv("AZURE_LB_METADATA_IMDS_ENDPOINT", f"http://{address}")
        # None of the time-outs of a single request must be what ends a command here.
        monkeypatch.setenv("AZURE_LB_METADATA_IMDS_TIMEOUT", "15s")
        yield f"http://{address}"
        ended.set()


@pytest.mark.parametrize("asked", [(), ("--direct",), ("--upstream",)])
@pytest.mark.parametrize("command", ["get", "wait", "exec"])
async def test_timeout(
    silent: str, capsys: pytest.CaptureFixture[str], command: str, asked: tuple[str, ...]
) -> None:
    """The command ends with 4 when its time is up, although a request would have longer."""
    whom = f"--upstream={silent}" if asked == ("--upstream",) else "".join(asked)
    arguments = [command, "--timeout=300ms", *filter(None, [whom])]
    ended = await run_here(capsys, *arguments, *(("--", "true") if command == "exec" else ()))
    assert (ended.code, ended.out, ended.err.count("\n")) == (4, "", 1)
    assert "within 0.3 s" in ended.err or "within 300ms" in ended.err
    assert "nothing was asked" not in ended.err
    assert (silent if asked != ("--direct",) else "the metadata service") in ended.err

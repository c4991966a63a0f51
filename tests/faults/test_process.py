"""What the machine may deny a process: a reader of its log, and new threads."""

import asyncio
import contextlib
import fcntl
import itertools
import json
import os
import signal
import sys
from asyncio.subprocess import Process, create_subprocess_exec
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.agent.support import has, ok
from tests.faults.support import Surroundings, prepared
from tests.support.agent import SCALED, agent_with
from tests.support.faults import Origin, Promise, fault
from tests.support.program import CHECKOUT, clean_environment, flags
from tests.support.waiting import DEADLINE_S, until

SMALL = 4096
"""Bytes of a pipe, and of the lines that wait for it."""
SMALL_WRITER = f"import sidecar.logs; sidecar.logs._MOST_BYTES = {SMALL}"


class Log:
    """The reading end of an agent's standard error, which is read only when asked."""

    def __init__(self, reader: int) -> None:
        self._reader = reader
        self._content = b""

    async def event(self, name: str) -> dict[str, Any]:
        """Read until there is a line of this event, and give it."""

        async def line() -> dict[str, Any] | None:
            with contextlib.suppress(BlockingIOError):
                self._content += os.read(self._reader, SMALL)
            lines = map(json.loads, self._content.rpartition(b"\n")[0].splitlines())
            return next((line for line in lines if line["event"] == name), None)

        found = await until(line, lambda line: line)
        assert found is not None
        return found


@asynccontextmanager
async def logging_into_a_pipe(*arguments: str) -> AsyncIterator[tuple[Process, Log]]:
    """An agent whose standard error is a small pipe."""
    reader, end = os.pipe()
    fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, SMALL)
    os.set_blocking(reader, False)
    process = await create_subprocess_exec(
        sys.executable,
        *prepared(SMALL_WRITER),
        "run",
        *arguments,
        cwd=CHECKOUT,
        env=clean_environment(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=end,
    )
    os.close(end)
    try:
        yield process, Log(reader)
    finally:
        os.close(reader)
        if process.returncode is None:
            process.kill()
            await process.wait()


async def asked(surroundings: Surroundings) -> int:
    """How many requests the metadata service has had."""
    return surroundings.service.simulator.counters.requests


@fault(
    Origin.NODE,
    "Nobody reads standard error: its pipe is full, or its disk hangs",
    Promise(
        served="Everything.",
        annotated="As ever.",
        logged=(
            "1 MiB of lines waits; what is beyond is dropped and counted in `log_dropped_lines_total`."
            " `lines-dropped` says how many, once lines are written again."
        ),
        recovery="At once when somebody reads. A signal ends the agent without that, too.",
    ),
)
async def test_blocked_log(surroundings: Surroundings) -> None:
    """A log that nobody reads stops neither the agent nor its end; who reads later learns what is missing."""
    settings = surroundings.settings(annotations=False, kubeconfig=None, node_name=None)
    arguments = flags({**SCALED, **settings})
    async with logging_into_a_pipe(*arguments) as (process, log), aiohttp.ClientSession() as session:
        started = await log.event("started")
        address, admin = started["listen"], started["admin_listen"]

        documents = itertools.cycle(["several-nics", "all"])

        async def got(url: str) -> str:
            async with session.get(f"http://{url}") as response:
                return await response.text()

        async def dropped() -> float:
            """Change what is worth a log line, and see how many lines were dropped so far."""
            seen = surroundings.service.simulator.counters.requests
            surroundings.service.simulator.set_document(next(documents))
            await until(lambda: asked(surroundings), lambda number: number >= seen + 2)
            [count] = (
                line for line in (await got(f"{admin}/metrics")).splitlines() if line.startswith(METRIC)
            )
            return float(count.split()[1])

        before = await until(dropped, lambda count: count > 0)
        assert await got(f"{admin}/livez") == "ok\n"
        assert json.loads(await got(f"{address}/v1/loadbalancer"))["status"] == "ok"
        told = await log.event("lines-dropped")
        assert told["level"] == "warning"
        assert told["count"] >= before
        await until(dropped, lambda count: count > told["count"])
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE_S):
            assert await process.wait() == 0


METRIC = "azure_lb_metadata_log_dropped_lines_total "

NO_THREADS = """
import threading
real = threading.Thread.start
def start(thread):
    if __import__("os").path.exists({flag!r}):
        raise RuntimeError("can't start new thread")
    real(thread)
threading.Thread.start = start
"""


@fault(
    Origin.NODE,
    "No new thread can be had (the limit of processes)",
    Promise(
        served="What is known; an attempt that needs a thread, to resolve a name, is `unreachable`.",
        annotated="What stands there stays.",
        logged="`publish-failed` with `no new thread can be had`; `poll-failed`: `cannot resolve`.",
        recovery="With the first turn that gets one. A signal ends the agent without that, too.",
    ),
)
async def test_no_new_thread(surroundings: Surroundings, tmp_path: Path) -> None:
    """An agent that gets no thread, at its start too, has failed turns; with threads all is done."""
    flag = tmp_path / "no-threads"
    flag.touch()
    endpoint = surroundings.service.url.replace("127.0.0.1", "localhost")
    settings = surroundings.settings(imds_endpoint=endpoint, file=str(tmp_path / "document"))
    python = prepared(NO_THREADS.format(flag=str(flag)))
    async with agent_with(tmp_path, settings, python=python) as agent:

        async def alive() -> int:
            return (await agent.admin("/livez")).status

        await agent.more_attempts(2, "unreachable")
        assert await alive() == 200
        flag.unlink()
        await agent.until_document(ok)
        await surroundings.until_annotated(has(status="ok"))
        await agent.until_ready()
        for publisher in ("file", "node"):
            failed = await agent.program.event("publish-failed", publisher=publisher)
            assert "no new thread can be had" in failed["error"]
        failed = await agent.program.event("poll-failed")
        assert failed["detail"] == "cannot resolve localhost: Resource temporarily unavailable"
        flag.touch()
        agent.program.signal(signal.SIGTERM)
        assert await agent.program.exit_code() == 0

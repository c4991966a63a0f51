"""The course of `prune`: how much at a time, how it is followed, and how it is broken off."""

import asyncio
import os
import signal
import sys
from dataclasses import replace

import pytest

from sidecar.errors import ExitCode
from tests.fleet.prune.support import OURS, STATUS, Prune, patched
from tests.support.fake_apiserver import Reply, refusal
from tests.support.fake_cluster import FakeCluster


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_concurrency(cluster: FakeCluster, prune: Prune, concurrency: int) -> None:
    """No more Nodes are written at a time than asked for, and no fewer."""
    for number in range(9):
        cluster.add_node(f"node-{number}", OURS)
        cluster.replies[f"PATCH /api/v1/nodes/node-{number}"].append(replace(refusal(422), hold=True))
    enough = asyncio.Event()
    cluster.on_request = lambda _: enough.set() if len(patched(cluster)) == concurrency else None
    running = asyncio.ensure_future(prune(f"--concurrency={concurrency}"))
    await enough.wait()
    assert len(patched(cluster)) == concurrency
    cluster.go_on.set()
    await running
    assert len(patched(cluster)) == len(cluster.nodes) - 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_interrupted(cluster: FakeCluster, kubeconfig: str, number: int, code: int) -> None:
    """Ctrl-C and SIGTERM end it at once, it says what is done, and a second run does the rest."""
    cluster.replies["PATCH /api/v1/nodes/node-b"].append(Reply(hold=True))
    program = (sys.executable, "-m", "sidecar", "prune", f"--kubeconfig={kubeconfig}", "--concurrency=1")
    process = await asyncio.create_subprocess_exec(
        *program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    reached = asyncio.Event()
    cluster.on_request = lambda request: reached.set() if request.path.endswith("/node-b") else None
    await reached.wait()
    process.send_signal(number)
    out, err = await process.communicate()
    assert process.returncode == code
    assert out == b"node-a: removed 2 keys: public-ip, status\n"
    assert err.decode().splitlines() == [
        "of 2 Nodes: 1 removed",
        "interrupted; what is done is done, repeat the command for the rest",
    ]
    again = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
    assert (await again.communicate())[0] == b"node-b: removed 1 key: status\n"


async def test_on_a_terminal(cluster: FakeCluster, kubeconfig: str) -> None:
    """A person at a terminal sees progress in one line, the failures, and the summary in the end."""
    cluster.replies["PATCH /api/v1/nodes/node-b"].append(refusal(422, "denied by policy"))
    person, terminal = os.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sidecar", "prune", f"--kubeconfig={kubeconfig}", "--concurrency=1"),
            stdout=terminal,
            stderr=terminal,
        )
        assert await process.wait() == ExitCode.FAILED
        out = (await asyncio.to_thread(os.read, person, 65536)).decode()
    finally:
        os.close(person)
        os.close(terminal)
    written = [part.strip() for part in out.split("\r\x1b[K") if part.strip()]
    assert written[:2] == ["3 Nodes read", "1 of 2 Nodes"]
    assert written[2].startswith("node-b: the Kubernetes API server answered 422: denied by policy")
    assert written[3:] == ["2 of 2 Nodes, 1 failed", "of 2 Nodes: 1 failed, 1 removed"]


async def test_reader_leaves(cluster: FakeCluster, kubeconfig: str) -> None:
    """When nobody reads the output any more the removal goes on to its end, and its code is true."""
    for number in range(10):
        cluster.add_node(f"node-{number}", OURS)
    cluster.replies["PATCH /api/v1/nodes/node-b"].append(refusal(422))
    command = f"{sys.executable} -m sidecar prune --kubeconfig={kubeconfig}"
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", f"set -o pipefail; {command} | true"), stderr=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == ExitCode.FAILED
    left = [name for name, node in cluster.nodes.items() if STATUS in node.annotations]
    assert left == ["node-b"]

"""`nodes` and `rules` before and beside their answers: usage, a terminal, servers out of reach."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from sidecar import cli
from tests.support.cluster import Cluster
from tests.support.commands import run
from tests.support.fleet import Fleet, document, published
from tests.support.program import clean_environment


def kubeconfig(directory: Path, *contexts: str, port: int = 9) -> Path:
    """A kubeconfig whose contexts lead to a port of loopback."""
    lines = [
        "apiVersion: v1",
        "kind: Config",
        f"clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{port}'}}}}]",
        "users: [{name: u, user: {token: t}}]",
        "contexts:",
        *(f"- {{name: {name}, context: {{cluster: c, user: u}}}}" for name in contexts),
    ]
    path = directory / "kubeconfig"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        ["nodes", "--within=20.0.0.0/8"],
        ["nodes", "--diff=file"],
        ["nodes", "--watch"],
        ["nodes", "--observed"],
        ["nodes", "--egress", "--interval=1m"],
        ["nodes", "--egress", "--watch", "--within=20.0.0.0/8"],
        ["nodes", "--egress", "--watch", "-o", "json"],
        ["nodes", "--egress", "-o", "wide"],
        ["nodes", "-o", "text"],
        ["nodes", "--egress", "--within=20.0.0.1/8"],
        ["nodes", "--context=a", "--all-contexts"],
        ["nodes", "--max-age=-1h"],
        ["nodes", "--annotation-prefix=kubernetes.io"],
        ["rules", "--frontend=web"],
        ["rules", "-o", "text"],
    ],
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What makes no sense together is refused in one line, before anything is asked."""
    assert cli.run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1


async def test_no_such_context(tmp_path: Path) -> None:
    """A context that is not in the kubeconfig is wrong usage, also for a list that is watched."""
    config = kubeconfig(tmp_path, "east")
    for arguments in ((), ("--egress",), ("--egress", "--watch")):
        ended = await run("nodes", "--context=west", *arguments, kubeconfig=config)
        assert (ended.code, ended.out) == (2, "")
        assert "--context is one of: east" in ended.err


@pytest.mark.parametrize("contexts", ["[]", "null", ""])
async def test_no_contexts(tmp_path: Path, contexts: str) -> None:
    """A kubeconfig without contexts is wrong usage, whichever of them is meant."""
    config = tmp_path / "kubeconfig"
    config.write_text(f"apiVersion: v1\nkind: Config\nclusters: []\nusers: []\ncontexts: {contexts}\n")
    for arguments in (("--all-contexts",), ("--context=a",)):
        ended = await run("nodes", *arguments, kubeconfig=config)
        assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
        assert f"the kubeconfig {config} has no contexts: set --kubeconfig" in ended.err


async def test_out_of_reach(free_port: int, tmp_path: Path) -> None:
    """When no API server can be reached after several attempts, the exit code is 4 and nothing is printed."""
    config = kubeconfig(tmp_path, "east", "west", port=free_port)
    ended = await run("nodes", "--all-contexts", "--egress", kubeconfig=config)
    assert (ended.code, ended.out) == (4, "")
    assert "gave no whole answer" in ended.err


@pytest.mark.apiserver
async def test_progress(cluster: Cluster, fleet: Fleet) -> None:
    """On a terminal the nodes are counted while they are read, and the line is gone at the end."""
    await fleet.add("node", published(document(public=["20.1.2.3"])))
    person, terminal = os.openpty()
    config, selector = cluster.server.admin_kubeconfig, f"--selector={fleet.selector}"
    words = (sys.executable, "-m", "sidecar", "nodes", f"--kubeconfig={config}", selector)
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=terminal, env=clean_environment()
    )
    out, _ = await process.communicate()
    os.close(terminal)
    shown = os.read(person, 65_536).decode()
    os.close(person)
    assert process.returncode == 0
    assert b"20.1.2.3" in out
    assert "\r\x1b[K1 Nodes read" in shown
    assert shown.endswith("\r\x1b[K1 node: 1 ok\r\n")

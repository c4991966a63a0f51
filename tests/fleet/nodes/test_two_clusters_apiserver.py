"""`nodes` over two real API servers at once."""

from pathlib import Path

import pytest

from tests.fleet.nodes.support import SHARED
from tests.support.apiserver import ApiServer, api_server_running
from tests.support.cluster import cluster_of
from tests.support.commands import run
from tests.support.fleet import Fleet, ago, document, many_contexts, published

pytestmark = pytest.mark.apiserver


async def test_two_clusters(api_server: ApiServer, tmp_path: Path) -> None:
    """Of two API servers in one kubeconfig, one by a credential plug-in, all is told apart by name."""
    with api_server_running() as other:
        config = many_contexts({"east": api_server, "west": other}, plugin_of="west", directory=tmp_path)
        async with cluster_of(api_server) as near, cluster_of(other) as far:
            east, west = Fleet(near), Fleet(far)
            await east.prepare()
            await west.prepare()
            known = {await east.add("east", published(SHARED)): "52.1.1.1"}
            known[await west.add("west", published(document(outbound=["52.8.8.8"])))] = "52.8.8.8"
            bare = await west.add("bare")
            kubelet = await west.add("kubelet", published(SHARED), ready="Unknown", since=ago(minutes=16))
            agent = await west.add("agent", published(SHARED), agent=False)
            await west.agent(agent, ready=False, since=ago(minutes=12, seconds=1))
            which = f"--selector=fleet in ({east.namespace}, {west.namespace})"
            await check_both(config, which, known=known, unknown=(bare, kubelet, agent))
            assert (tmp_path / "credentials.log").exists()
            (tmp_path / "credentials").write_text("#!/bin/sh\nexit 1\n")
            ended = await run("nodes", which, "--all-contexts", "--egress", kubeconfig=config)
            assert (ended.code, ended.out) == (5, "52.1.1.1/32\n")
            assert "west: its nodes are not known: " in ended.err
            assert "credentials ended with 1" in ended.err
            await east.remove()


async def check_both(config: Path, which: str, *, known: dict[str, str], unknown: tuple[str, ...]) -> None:
    """The table and the list of both clusters: what is known, and by name what is not."""
    ended = await run("nodes", which, "--all-contexts", kubeconfig=config)
    assert ended.code == 5
    assert ended.out.splitlines()[0].startswith("CLUSTER")
    for name, address in known.items():
        assert "   ok   " in ended.line(name)
        assert address in ended.line(name)
        assert ended.line(name).startswith(name.split("-")[0])
    for name in unknown:
        assert "   unknown (" in ended.line(name)
        assert ended.line(name).startswith("west")
    ended = await run("nodes", which, "--context=east", "--context=west", "--egress", kubeconfig=config)
    assert (ended.code, ended.out) == (5, "52.1.1.1/32\n52.8.8.8/32\n")
    for name in unknown:
        assert f": west/{name}" in ended.err

"""`nodes` against real API servers, with the rights that its documentation names and no more."""

import asyncio
import csv
import json
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.core.outcome import Reason, Status
from tests.support.apiserver import ApiServer, api_server_running
from tests.support.cluster import Cluster, Identity, NodeMetadata, cluster_of
from tests.support.commands import Ended, run
from tests.support.fleet import Fleet, ago, document, many_contexts, published

pytestmark = pytest.mark.apiserver

NODES = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}
PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}
DAEMON_SETS = {"apiGroups": ["apps"], "resources": ["daemonsets"], "verbs": ["list"]}

GPU = {"key": "sku", "value": "gpu", "effect": "NoSchedule"}
SHARED = document(inbound=[("20.20.20.20", 443)], outbound=["52.1.1.1"])


Run = Callable[..., Coroutine[Any, Any, Ended]]


@pytest.fixture
async def identity(cluster: Cluster, node: NodeMetadata, tmp_path: Path) -> Identity:
    """Somebody with the rights that `nodes` needs."""
    rules = (NODES, PODS, DAEMON_SETS)
    return await cluster.create_identity(node.name, directory=tmp_path / "identity", rules=rules)


@pytest.fixture
def nodes(identity: Identity, fleet: Fleet) -> Run:
    """The command as that identity, for the nodes of the test."""

    async def of_the_test(*arguments: str) -> Ended:
        return await run("nodes", f"--selector={fleet.selector}", *arguments, kubeconfig=identity.kubeconfig)

    return of_the_test


async def test_all_is_well(fleet: Fleet, nodes: Run) -> None:
    """A node with a ready agent and data is ok, with ages and addresses, and the exit code is 0."""
    known = document(public=["20.1.2.3"], inbound=[("20.20.20.20", 443)], outbound=["52.1.1.1"])
    name = await fleet.add("node", published(known, observed=ago(minutes=12), changed=ago(hours=30)))
    ended = await nodes()
    assert ended.code == 0, ended.err
    header, line = (" ".join(each.split()) for each in ended.out.splitlines())
    assert header == "NODE STATUS AGE CHANGED PUBLIC INBOUND EGRESS"
    assert line == f"{name} ok 12m 1d6h 20.1.2.3 20.20.20.20 20.1.2.3"
    assert ended.err == "1 node: 1 ok\n"


async def test_no_nodes(nodes: Run) -> None:
    """That there are no such nodes is not taken for a complete list."""
    for arguments in ((), ("--egress",)):
        ended = await nodes("--selector=fleet=none", *arguments)
        assert (ended.code, ended.out) == (3, "")
        assert "there are no such Nodes" in ended.err


async def test_never_ok(fleet: Fleet, nodes: Run) -> None:
    """What is not known now is never ok, whatever the annotations say, and each cause has its words."""
    good = await fleet.add("good", published(SHARED))
    stopped = await fleet.add("stopped", published(SHARED), ready="Unknown", since=ago(minutes=16, seconds=1))
    down = await fleet.add("down", published(SHARED), agent=False)
    await fleet.agent(down, ready=False, since=ago(minutes=12, seconds=1), waiting="CrashLoopBackOff")
    bare = await fleet.add("bare")
    pending = await fleet.add("pending", published(SHARED), agent=False)
    pod = await fleet.agent(pending, scheduled=False)
    old = await fleet.add("old", published(SHARED, observed=ago(hours=15, seconds=1)))
    forged = await fleet.add("forged", {**published(SHARED), "azure-lb-metadata.io/egress-ips": "\x1b[2J"})
    ended = await nodes("-o", "wide")
    assert ended.code == 5
    expected = {
        good: "   ok   ",
        stopped: "unknown (node not ready 16m)",
        down: "unknown (agent down 12m)",
        bare: "unknown (not annotated)",
        pending: f"no agent (pod {fleet.namespace}/{pod} is not scheduled)",
        old: "unknown (not refreshed for 15h)",
        forged: "unknown (annotations unreadable)",
    }
    for name, status in expected.items():
        assert status in ended.line(name)
    assert ended.line(down).endswith("CrashLoopBackOff")
    assert ended.out.count(" ok ") == 1
    assert "\x1b" not in ended.out + ended.err
    assert "7 nodes: 1 ok, 5 unknown, 1 no agent" in ended.err


async def test_no_agent(cluster: Cluster, identity: Identity) -> None:
    """Where the DaemonSet keeps off, the taint or label stands there, with the value that would cover it."""
    fleet = Fleet(cluster)
    await fleet.prepare(tolerations=())
    gpu = await fleet.add("gpu", agent=False, taints=[GPU])
    windows = await fleet.add("windows", agent=False, labels={"kubernetes.io/os": "windows"})
    soon = await fleet.add("soon", agent=False)
    arguments = (f"--selector={fleet.selector}", f"--agent-namespace={fleet.namespace}")
    ended = await run("nodes", *arguments, kubeconfig=identity.kubeconfig)
    assert ended.code == 5
    assert "no agent (taint sku=gpu:NoSchedule: set nodes=all)" in ended.line(gpu)
    assert "no agent (label kubernetes.io/os=windows)" in ended.line(windows)
    assert "no agent (its pod is not made yet)" in ended.line(soon)
    await fleet.remove()


async def test_words_of_agents(fleet: Fleet, nodes: Run) -> None:
    """A ready agent's word is shown with its reason; that there is no metadata is an answer."""
    stale = await fleet.add("stale", published(SHARED, status=Status.STALE, reason=Reason.UNAVAILABLE))
    none = await fleet.add(
        "none", published(document(), status=Status.NO_METADATA, reason=Reason.NO_METADATA)
    )
    starting = await fleet.add(
        "starting",
        {"azure-lb-metadata.io/status": "starting", "azure-lb-metadata.io/reason": "unreachable"},
    )
    ended = await nodes()
    assert ended.code == 5
    assert "stale (unavailable)" in ended.line(stale)
    assert "no-metadata   " in ended.line(none)
    assert "starting (unreachable)" in ended.line(starting)


async def test_agent_of_another_prefix(fleet: Fleet, nodes: Run) -> None:
    """An agent that writes under another prefix, or writes nothing, does not vouch for these annotations."""
    name = await fleet.add("node", published(SHARED), agent=False)
    await fleet.agent(name, arguments=["--annotation-prefix=lb.example.com"])
    await fleet.agent(name, arguments=["--no-annotations"])
    assert "no agent" in (await nodes()).line(name)
    await fleet.agent(name, arguments=["--annotation-prefix", "azure-lb-metadata.io"])
    assert "   ok   " in (await nodes()).line(name)


async def test_update_under_way(fleet: Fleet, nodes: Run) -> None:
    """While a new agent starts beside the old one, the ready one counts."""
    name = await fleet.add("node", published(SHARED))
    await fleet.agent(name, ready=False, since=ago(seconds=3))
    assert "   ok   " in (await nodes()).line(name)


async def test_differences(fleet: Fleet, nodes: Run) -> None:
    """A node whose rules or outbound addresses are not those of most nodes is marked."""
    for number in range(3):
        await fleet.add(f"same-{number}", published(SHARED))
    rule = await fleet.add("rule", published(document(outbound=["52.1.1.1"])))
    way = await fleet.add("way", published(document(inbound=[("20.20.20.20", 443)], outbound=["52.9.9.9"])))
    ended = await nodes()
    assert ended.code == 0
    assert ended.out.count("*") == 2
    assert ended.line(rule).split()[-2:] == ["-*", "52.1.1.1"]
    assert ended.line(way).split()[-2:] == ["20.20.20.20", "52.9.9.9*"]
    assert "2 with * differ from most nodes" in ended.err


async def test_forms(fleet: Fleet, nodes: Run) -> None:
    """JSON, YAML and CSV tell the same of every node, and whether all are known."""
    name = await fleet.add("node", published(SHARED, observed=ago(minutes=12)))
    bare = await fleet.add("bare")
    as_json = json.loads((await nodes("-o", "json")).out)
    assert as_json == yaml.safe_load((await nodes("-o", "yaml")).out)
    assert as_json["complete"] is False
    first = next(node for node in as_json["nodes"] if node["node"] == name)
    assert (first["status"], first["egressIps"], first["egressBasis"]) == (
        "ok",
        ["52.1.1.1"],
        "outbound-rule",
    )
    lines = list(csv.DictReader((await nodes("-o", "csv")).out.splitlines()))
    assert {line["node"]: line["status"] for line in lines} == {name: "ok", bare: "unknown (not annotated)"}
    assert next(line for line in lines if line["node"] == name)["egressIps"] == "52.1.1.1"


@pytest.mark.parametrize("missing", ["pods", "daemonsets"])
async def test_missing_rights(
    cluster: Cluster, fleet: Fleet, node: NodeMetadata, tmp_path: Path, missing: str
) -> None:
    """What may not be listed is said, with who needs which right, and the rest is shown and marked."""
    rules = (NODES, DAEMON_SETS if missing == "pods" else PODS)
    identity = await cluster.create_identity(node.name, directory=tmp_path / missing, rules=rules)
    good = await fleet.add("good", published(SHARED))
    gpu = await fleet.add("gpu", agent=False, taints=[GPU])
    ended = await run("nodes", f"--selector={fleet.selector}", kubeconfig=identity.kubeconfig)
    assert ended.code == 5
    assert f"{identity.service_account} list {missing}" in ended.err
    assert "52.1.1.1" in ended.line(good)
    if missing == "pods":
        assert "unknown (agent not visible)" in ended.line(good)
        assert " ok " not in ended.out
    else:
        assert "   ok   " in ended.line(good)
        assert "no agent   " in ended.line(gpu)


async def test_no_rights(cluster: Cluster, identity: Identity, nodes: Run) -> None:
    """Without the right to list Nodes there is nothing to show, and the command says who needs it."""
    await cluster.deny(identity)
    ended = await nodes()
    assert (ended.code, ended.out) == (1, "")
    assert f"{identity.service_account} list nodes" in ended.err


async def test_egress(fleet: Fleet, nodes: Run) -> None:
    """The list holds each address once; nodes that are not known are named by cause beside it."""
    await fleet.add("one", published(SHARED))
    await fleet.add("two", published(SHARED))
    await fleet.add("own", published(document(public=["20.1.2.3", "2603::1"], outbound=["52.9.9.9"])))
    down = await fleet.add(
        "down", published(document(outbound=["52.7.7.7"]), observed=ago(minutes=9)), agent=False
    )
    await fleet.agent(down, ready=False, since=ago(minutes=12, seconds=1))
    gateway = await fleet.add("gateway", published(document(inbound=[("20.20.20.20", 443)])))
    gpu = await fleet.add("gpu", agent=False)
    ended = await nodes("--egress")
    assert ended.code == 5
    assert ended.out == "20.1.2.3/32\n52.1.1.1/32\n52.7.7.7/32\n2603::1/128\n"
    assert "assumed: no NAT gateway and no route table" in ended.err
    assert f"not known: unknown (agent down): {down} (12m, listed as of " in ended.err
    assert f"a NAT gateway, a route table or default access: {gateway}" in ended.err
    assert f"not known: no agent (its pod is not made yet): {gpu}" in ended.err


async def test_egress_is_never_partial_in_silence(fleet: Fleet, nodes: Run) -> None:
    """A node whose list the budget left out is not known, unless another list tells the same."""
    many = [f"52.1.{number // 250}.{number % 250}" for number in range(1000)]
    await fleet.add("derived", published(document(outbound=many[:600])))
    left_out = await fleet.add("left-out", published(document(outbound=many)))
    ended = await nodes("--egress")
    assert ended.code == 5
    assert ended.out.count("\n") == 600
    assert f"left out for the annotation budget: raise annotations.budget: {left_out}\n" in ended.err
    assert "?" in (await nodes()).line(left_out).split()


async def test_egress_as_expected(fleet: Fleet, nodes: Run, tmp_path: Path) -> None:
    """The list can be held against networks and against a file; what differs ends with 5."""
    await fleet.add("one", published(SHARED))
    await fleet.add("two", published(document(public=["20.1.2.3"])))
    assert (await nodes("--egress", "--within=52.1.1.0/24", "--within=20.0.0.0/8")).code == 0
    ended = await nodes("--egress", "--within=52.1.1.0/24")
    assert (ended.code, ended.out) == (5, "20.1.2.3/32\n52.1.1.1/32\n")
    assert "outside 52.1.1.0/24: 20.1.2.3/32" in ended.err
    file = tmp_path / "allowed"
    file.write_text("# of the partner\n52.1.1.0/24\n20.1.2.3\n")
    ended = await nodes("--egress", f"--diff={file}")
    assert (ended.code, ended.out) == (0, "")
    file.write_text("52.1.1.1/32\n20.9.9.9/32  # gone\n")
    ended = await nodes("--egress", f"--diff={file}")
    assert (ended.code, ended.out) == (5, "+20.1.2.3/32\n-20.9.9.9/32\n")
    as_json = json.loads((await nodes("--egress", "-o", "json", f"--diff={file}")).out)
    assert (as_json["missing"], as_json["needless"], as_json["complete"]) == (
        ["20.1.2.3/32"],
        ["20.9.9.9/32"],
        True,
    )


async def test_wrong_list(nodes: Run, tmp_path: Path) -> None:
    """A file that cannot be read or holds something else is wrong usage."""
    assert (await nodes("--egress", f"--diff={tmp_path / 'none'}")).code == 2
    file = tmp_path / "list"
    file.write_text("10.0.0.1/24\n")
    ended = await nodes("--egress", f"--diff={file}")
    assert ended.code == 2
    assert "line 1" in ended.err


async def test_egress_watched(api_server: ApiServer, fleet: Fleet, identity: Identity) -> None:
    """What comes and goes is printed as it does; an outage of the API server takes nothing away."""
    name = await fleet.add("one", published(SHARED))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sidecar", "nodes", f"--kubeconfig={identity.kubeconfig}"),
        *("--egress", "--watch", "--interval=100ms", f"--selector={fleet.selector}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.defpath, "HOME": str(identity.directory)},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(50):
            assert await process.stdout.readline() == b"+52.1.1.1/32\n"
            async with api_server.stopped():
                while b"could not be read, its addresses stay" not in await process.stderr.readline():
                    pass
            await fleet.cluster.annotate(name, dict(published(document(outbound=["52.2.2.2"]))))
            assert await process.stdout.readline() == b"-52.1.1.1/32\n"
            assert await process.stdout.readline() == b"+52.2.2.2/32\n"
    finally:
        process.terminate()
        await process.communicate()


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
            assert (
                "west: its nodes are not known: the credential plug-in of context west gave no" in ended.err
            )
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

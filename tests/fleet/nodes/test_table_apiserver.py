"""`nodes` against a real API server: what it says of each node, and what it may not look at."""

import csv
import json
from pathlib import Path

import pytest
import yaml

from sidecar.core.outcome import Reason, Status
from tests.fleet.nodes.support import DAEMON_SETS, GPU, NODES, PODS, SHARED, Run
from tests.support.cluster import Cluster, Identity
from tests.support.commands import run
from tests.support.fleet import Fleet, ago, document, published
from tests.support.nodes import NodeMetadata

pytestmark = pytest.mark.apiserver


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

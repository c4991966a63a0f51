"""`rules` against a real API server, with the rights that its documentation names and no more."""

import csv
import json
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sidecar.core.annotations import Layout
from sidecar.core.changes import Change
from tests.support.cluster import Cluster, Identity
from tests.support.commands import Ended, run
from tests.support.fleet import Fleet, ago, document, published
from tests.support.nodes import NodeMetadata

pytestmark = pytest.mark.apiserver

RULES = (
    {"apiGroups": [""], "resources": ["nodes", "services", "pods"], "verbs": ["list"]},
    {"apiGroups": ["apps"], "resources": ["daemonsets"], "verbs": ["list"]},
)
SUMMARY = Layout(annotate="summary")
WEB = ("20.20.20.20", 443)
MAIL = ("20.20.20.20", 25)

Rules = Callable[..., Coroutine[Any, Any, Ended]]


@pytest.fixture
async def identity(cluster: Cluster, node: NodeMetadata, tmp_path: Path) -> Identity:
    """Somebody with the rights that `rules` needs."""
    return await cluster.create_identity(node.name, directory=tmp_path / "identity", rules=RULES)


@pytest.fixture
def rules(identity: Identity, fleet: Fleet) -> Rules:
    """The command as that identity, for the nodes of the test."""
    return partial(run, "rules", f"--selector={fleet.selector}", kubeconfig=identity.kubeconfig)


async def test_one_of_250_rules_on_one_of_five_nodes(fleet: Fleet, rules: Rules) -> None:
    """Of 250 rules on five nodes, the one that a node lacks is told with node, time and Service."""
    every = [(f"20.20.{number // 50}.20", 8000 + number) for number in range(250)]
    lost = every[137]
    for number in range(4):
        await fleet.add(f"node-{number}", published(document(inbound=every)))
    change = Change(at=ago(minutes=42, seconds=1), items=(f"-inbound tcp/{lost[0]}:{lost[1]}",))
    rest = [rule for rule in every if rule != lost]
    lacking = await fleet.add("lacking", published(document(inbound=rest), changes=[change]))
    service = await fleet.service("shop", lost[0], lost[1], 9999)
    ended = await rules("--incomplete")
    (line,) = ended.out.splitlines()[1:]
    assert line.split() == [f"tcp/{lost[0]}:{lost[1]}", "?", "4/5", service, lacking, "42m"]
    assert "250 rules, 1 not on all nodes" in ended.err
    assert "not the state of health probes" in ended.err
    # So many rules do not fit the budget with their backend ports.
    assert ended.code == 5
    assert "backend ports are not annotated" in ended.err
    assert "azure-lb-metadata get inbound-rules" in ended.err
    (found,) = json.loads((await rules("--incomplete", "-o", "json")).out)["rules"]
    assert (found["nodesWithRule"], found["nodes"]) == (4, 5)
    (missing,) = found["missing"]
    assert missing == {
        "node": lacking,
        "since": change.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "basis": "removed",
    }


async def test_full_annotations(fleet: Fleet, rules: Rules) -> None:
    """With whole documents the backend port is known, and on all nodes all is well."""
    for number in range(2):
        await fleet.add(f"node-{number}", published(document(inbound=[WEB, MAIL])))
    web = await fleet.service("web", WEB[0], 443)
    ended = await rules()
    assert ended.code == 0, ended.err
    assert ended.line(":443").split() == ["tcp/20.20.20.20:443", "443", "2/2", web, "-", "-"]
    assert f"{web} (not this port)" in ended.line(":25")
    lines = list(csv.DictReader((await rules("-o", "csv")).out.splitlines()))
    assert [line["frontend"] for line in lines] == ["tcp/20.20.20.20:25", "tcp/20.20.20.20:443"]
    assert (lines[1]["services"], lines[1]["nodesWithRule"], lines[1]["missing"]) == (web, "2", "")


async def test_one_frontend(fleet: Fleet, rules: Rules) -> None:
    """One frontend can be asked for, by address or with its port; that there is none ends with 3."""
    await fleet.add("node", published(document(inbound=[WEB, MAIL, ("20.9.9.9", 443), ("2603::1", 443)])))
    for frontend, count in (("20.20.20.20", 2), ("20.20.20.20:443", 1), ("[2603::1]:443", 1), ("2603::1", 1)):
        ended = await rules("--frontend", frontend)
        assert (ended.code, len(ended.out.splitlines())) == (0, count + 1)
    assert (await rules("--frontend=20.20.20.20:80")).code == 3
    assert (await rules("--frontend=20.20.20.20:http")).code == 2


async def test_since_when(fleet: Fleet, rules: Rules) -> None:
    """A rule that only the others got is missed since then; without any trace, the node's age is a bound."""
    gained = Change(at=ago(minutes=17, seconds=1), items=("+inbound tcp/20.20.20.20:443",))
    await fleet.add("has", published(document(inbound=[WEB, MAIL]), changes=[gained]))
    await fleet.add("lacks", published(document(), changed=ago(hours=11, seconds=1)))
    ended = await rules()
    assert ended.line(":443").split()[-1] == "17m"
    assert ended.line(":25").split()[-1] == ">11h"


async def test_nodes_that_are_not_known(fleet: Fleet, rules: Rules) -> None:
    """Nodes without a ready agent are not counted but named: they would seem to miss what is new."""
    await fleet.add("node", published(document(inbound=[WEB])))
    down = await fleet.add("down", published(document()), agent=False)
    await fleet.agent(down, ready=False, since=ago(minutes=12, seconds=1))
    left_out = await fleet.add("left-out", published(document(inbound=[("20.1.1.1", n) for n in range(900)])))
    ended = await rules()
    assert ended.code == 5
    assert ended.line(":443").split()[2] == "1/1"
    assert f"not counted: unknown (agent down): {down} (12m)" in ended.err
    assert "not counted: the rules were left out for the annotation budget" in ended.err
    assert left_out in ended.err


async def test_summary_annotations(fleet: Fleet, rules: Rules) -> None:
    """Without whole documents the frontends are there, and it is said how to get backend ports."""
    await fleet.add("node", published(document(inbound=[WEB]), layout=SUMMARY))
    ended = await rules()
    assert ended.code == 5
    assert ended.line(":443").split()[1] == "?"
    assert "set annotations.content=full" in ended.err
    await fleet.add("full", published(document(inbound=[WEB])))
    ended = await rules()
    assert (ended.code, ended.line(":443").split()[1]) == (0, "443")


async def test_without_services(cluster: Cluster, fleet: Fleet, node: NodeMetadata, tmp_path: Path) -> None:
    """Without the right to list Services the rules are shown, the owners marked, and the right named."""
    allowed = {"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["list"]}
    identity = await cluster.create_identity(
        node.name, directory=tmp_path / "less", rules=(allowed, RULES[1])
    )
    await fleet.add("node", published(document(inbound=[WEB])))
    ended = await run("rules", f"--selector={fleet.selector}", kubeconfig=identity.kubeconfig)
    assert ended.code == 5
    assert ended.line(":443").split()[3] == "?"
    assert f"{identity.service_account} list services" in ended.err


async def test_without_pods(cluster: Cluster, fleet: Fleet, node: NodeMetadata, tmp_path: Path) -> None:
    """Without the right to list pods the last words of agents are counted, and nobody is called known."""
    allowed = {"apiGroups": [""], "resources": ["nodes", "services"], "verbs": ["list"]}
    identity = await cluster.create_identity(
        node.name, directory=tmp_path / "less", rules=(allowed, RULES[1])
    )
    await fleet.add("node", published(document(inbound=[WEB])))
    ended = await run("rules", f"--selector={fleet.selector}", kubeconfig=identity.kubeconfig)
    assert ended.code == 5
    assert ended.line(":443").split()[2] == "1/1"
    assert f"{identity.service_account} list pods" in ended.err

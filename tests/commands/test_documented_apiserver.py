"""The examples of docs/commands.md show what the commands print."""

import re
import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.core.changes import Change
from tests.support.apiserver import api_server_running
from tests.support.cluster import cluster_of
from tests.support.commands import run
from tests.support.fleet import Fleet, ago, document, published

pytestmark = pytest.mark.apiserver

PAGE = Path(__file__).resolve().parents[2] / "docs" / "commands.md"
EXAMPLE = re.compile(
    r"^```console\n\$ azure-lb-metadata (?P<command>[^\n]+)\n(?P<output>.*?)^```$", re.MULTILINE | re.DOTALL
)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

WEB, SHOP = ("20.20.20.20", 443), ("20.20.20.21", 8443)
OUT = ("52.1.1.1", "52.1.1.2")


async def populate(fleet: Fleet) -> None:
    """The cluster of the examples."""
    await fleet.prepare(tolerations=())
    system, games = "aks-system-12345678-vmss00000", "aks-games-12345678-vmss00000"
    both, changed = document(inbound=[WEB, SHOP], outbound=OUT), ago(days=3, hours=4)
    await _add(fleet, f"{system}0", published(both, changed=changed, observed=ago(minutes=21)))
    lost = Change(at=ago(minutes=42, seconds=1), items=(f"-inbound tcp/{SHOP[0]}:{SHOP[1]}",))
    lacking = document(inbound=[WEB], outbound=OUT)
    await _add(
        fleet, f"{system}1", published(lacking, changed=lost.at, changes=[lost], observed=ago(minutes=15))
    )
    down = published(both, changed=changed, observed=ago(minutes=33))
    await _add(fleet, f"{system}2", down, agent_ready=False)
    own = document(public=["20.1.2.3"], inbound=[WEB, SHOP])
    await _add(fleet, f"{games}0", published(own, changed=ago(hours=11), observed=ago(minutes=50)))
    gone = document(public=["20.1.2.4"], inbound=[WEB, SHOP])
    await _add(
        fleet, f"{games}1", published(gone, changed=changed, observed=ago(hours=1)), node_ready="Unknown"
    )
    gpu = {"key": "sku", "value": "gpu", "effect": "NoSchedule"}
    labels = {"kubernetes.azure.com/agentpool": "gpu"}
    await fleet.add("aks-gpu-12345678-vmss000000", agent=False, taints=[gpu], labels=labels)
    await fleet.service("web", *WEB)
    await fleet.service("shop", *SHOP)


async def _add(
    fleet: Fleet, name: str, annotated: dict[str, str], *, agent_ready: bool = True, node_ready: str = "True"
) -> None:
    labels = {"kubernetes.azure.com/agentpool": name.split("-")[1]}
    since = ago(days=9) if node_ready == "True" else ago(minutes=25, seconds=1)
    await fleet.add(name, annotated, agent=False, ready=node_ready, since=since, labels=labels)
    await fleet.agent(
        name,
        ready=agent_ready and node_ready == "True",
        since=ago(minutes=12, seconds=1),
        waiting="" if agent_ready else "CrashLoopBackOff",
        name=f"azure-lb-metadata-{name.split('-')[1]}{name[-1]}",
    )


@pytest.fixture
async def kubeconfig() -> AsyncIterator[Path]:
    """How to reach that cluster."""
    with api_server_running() as server:
        async with cluster_of(server) as cluster:
            await populate(Fleet(cluster, namespace="azure-lb-metadata"))
        yield server.admin_kubeconfig


async def test_examples(kubeconfig: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command of the page prints what stands below it, but for times."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "allowed.txt").write_text("20.1.2.3\n52.1.1.0/31\n203.0.113.7\n")
    examples = list(EXAMPLE.finditer(PAGE.read_text()))
    assert len(examples) >= 6
    for example in examples:
        command, *arguments = shlex.split(example["command"])
        ended = await run(command, *arguments, kubeconfig=kubeconfig)
        assert TIME.sub("TIME", ended.out + ended.err) == TIME.sub("TIME", example["output"]), command

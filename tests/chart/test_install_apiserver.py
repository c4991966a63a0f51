"""The chart in the hands of Helm and a real API server: what it asks the cluster, refuses, and leaves behind.

What runs in pods is not tested here: there are no controllers.
"""

import dataclasses
import uuid
from pathlib import Path

import pytest

from tests.chart.helm import HELMS, render
from tests.chart.release import HelmError, Release
from tests.support.apiserver import kubeconfig
from tests.support.cluster import RBAC, Cluster
from tests.support.faults import Origin, Promise, fault
from tests.support.nodes import NodeMetadata

pytestmark = [pytest.mark.apiserver, pytest.mark.chart]

NAME = "azure-lb-metadata"
A, B, C = "a.example.com", "b.example.com", "c.example.com"


by_both_helms = pytest.mark.parametrize("helm", HELMS, indirect=True)


@pytest.fixture
def helm(request: pytest.FixtureRequest) -> str:
    """The Helm that installs: Helm 4 unless a test asks for both."""
    return str(getattr(request, "param", HELMS[0]))


@pytest.fixture
async def release(cluster: Cluster, helm: str) -> Release:
    """A release that is not installed yet, as the admin sees it."""
    return Release(cluster, f"chart-{uuid.uuid4().hex[:8]}", cluster.server.admin_kubeconfig, helm)


@by_both_helms
async def test_install(release: Release) -> None:
    """The API server takes everything that the chart makes."""
    notes = await release.upgrade()
    assert "rollout status" in notes
    daemon_set = await release.get("/apis/apps/v1", f"daemonsets/{NAME}")
    assert (
        daemon_set["metadata"]["annotations"]["azure-lb-metadata.io/annotation-prefix"]
        == "azure-lb-metadata.io"
    )
    await release.uninstall()


@by_both_helms
async def test_taken_down(release: Release) -> None:
    """Nothing of the cluster is left behind, the record of prefixes included."""
    await release.upgrade(annotations__prefix=A)
    await release.upgrade(annotations__prefix=B, annotations__previousPrefixes=[A])
    assert await release.recorded() == {A: B, B: A}
    await release.uninstall()
    left = await release.cluster.kubectl(
        "get",
        "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings",
        "-l",
        f"app.kubernetes.io/name={NAME}",
        "-o",
        "name",
    )
    assert release.namespace not in left
    assert await release.recorded() is None


@fault(
    Origin.API_SERVER,
    "A simulator is installed beside real agents, or in their place",
    Promise(
        served="The Service of the release with the simulator serves what that makes up, the other its own.",
        annotated="Real annotations are not touched: those of the simulator have the prefix `simulated.`.",
        logged="Nothing; Helm's notes say so.",
        recovery="Nothing to recover from.",
    ),
)
async def test_simulator_has_a_prefix_of_its_own(release: Release) -> None:
    """A release with a simulator neither writes nor prunes what stands under the real prefix, nor may it."""
    await release.upgrade(simulator__enabled=True, annotations__prefix=A)
    daemon_set = await release.get("/apis/apps/v1", f"daemonsets/{NAME}")
    (container,) = daemon_set["spec"]["template"]["spec"]["containers"]
    assert f"--annotation-prefix=simulated.{A}" in container["args"]
    assert not any(argument.endswith(f"={A}") for argument in container["args"])
    rendered = render({"simulator.enabled": True, "annotations.prefix": A})
    (prune,) = rendered.one("Job", f"{NAME}-prune")["spec"]["template"]["spec"]["containers"]
    assert f"--annotation-prefix=simulated.{A}" in prune["args"]
    for policy in rendered.all("ValidatingAdmissionPolicy"):
        text = str(policy["spec"])
        assert f"'simulated.{A}/'" in text
        assert f"'{A}/'" not in text
    await release.uninstall()


async def test_real_release_turned_into_a_simulator(release: Release) -> None:
    """Turning a simulator on or off is a change of the prefix, and refused until the old one is named."""
    await release.upgrade(annotations__prefix=A)
    with pytest.raises(HelmError, match=f"changes from {A} to simulated.{A}: add the old one"):
        await release.upgrade(annotations__prefix=A, simulator__enabled=True)
    await release.upgrade(annotations__prefix=A, simulator__enabled=True, annotations__previousPrefixes=[A])
    with pytest.raises(HelmError, match=f"changes from simulated.{A} to {A}: add the old one"):
        await release.upgrade(annotations__prefix=A)
    await release.upgrade(annotations__prefix=A, annotations__previousPrefixes=[f"simulated.{A}"])
    await release.uninstall()


@by_both_helms
async def test_second_release_of_a_prefix(release: Release) -> None:
    """Helm's notes name the other DaemonSet that writes under the same prefix, and no other."""
    assert "rewrite each other" not in await release.upgrade(annotations__prefix=A)
    beside = dataclasses.replace(release, namespace=f"{release.namespace}-2")
    notes = await beside.upgrade(annotations__prefix=A)
    assert f"DaemonSet {release.namespace}/{NAME} writes under {A}, too" in notes
    assert "rewrite each other" not in await beside.upgrade(
        annotations__prefix=B, annotations__previousPrefixes=[A]
    )
    await beside.uninstall()
    await release.uninstall()


@by_both_helms
async def test_changed_prefix(release: Release) -> None:
    """A prefix that changes without the old one being named is refused, and nothing changes."""
    await release.upgrade(annotations__prefix=A)
    with pytest.raises(HelmError, match=f"changes from {A} to {B}: add the old one to annotations.previous"):
        await release.upgrade(annotations__prefix=B)
    await release.upgrade(annotations__prefix=B, annotations__previousPrefixes=[A])
    await release.uninstall()


@by_both_helms
async def test_rollback(release: Release) -> None:
    """After a rollback the record still names the prefix that was left, and the right to remove its keys."""
    await release.upgrade(annotations__prefix=A)
    assert await release.recorded() is None
    await release.upgrade(annotations__prefix=B, annotations__previousPrefixes=[A])
    await release.run("rollback", NAME, "1")
    daemon_set = await release.get("/apis/apps/v1", f"daemonsets/{NAME}")
    assert f"--annotation-prefix={A}" in daemon_set["spec"]["template"]["spec"]["containers"][0]["args"]
    assert await release.recorded() == {A: B, B: A}
    role = await release.cluster.request("GET", f"{RBAC}/clusterroles/{NAME}.{release.namespace}.prefixes")
    assert role["rules"][0]["resourceNames"] == [A, B]
    await release.uninstall()


async def test_record_grows(release: Release) -> None:
    """The record keeps what earlier upgrades have put there."""
    await release.upgrade(annotations__prefix=A)
    await release.upgrade(annotations__prefix=B, annotations__previousPrefixes=[A])
    await release.upgrade(annotations__prefix=C, annotations__previousPrefixes=[B])
    assert await release.recorded() == {A: f"{B},{C}", B: f"{A},{C}", C: f"{A},{B}"}
    await release.uninstall()


async def test_annotations_that_stay(release: Release) -> None:
    """Whoever switches annotations off reads how to remove those that are there."""
    await release.upgrade(annotations__prefix=A)
    notes = await release.upgrade(publish__annotations=False)
    assert f"azure-lb-metadata prune --annotation-prefix {A}" in notes
    await release.uninstall()


async def test_nodes_without_an_agent(release: Release, node: NodeMetadata) -> None:
    """A Node that gets no agent is named, with the reason; by default a tainted Node gets one."""
    assert node.name not in await release.upgrade()
    notes = await release.upgrade(nodes="untainted")
    assert f"{node.name} (taint CriticalAddonsOnly)" in notes
    notes = await release.upgrade(nodes=[{"key": "CriticalAddonsOnly", "value": "false"}])
    assert f"{node.name} (taint CriticalAddonsOnly)" in notes
    assert node.name not in await release.upgrade(nodes=[{"key": "CriticalAddonsOnly", "operator": "Exists"}])
    notes = await release.upgrade(nodeSelector={"agentpool": "games"})
    assert f"{node.name} (label agentpool)" in notes
    await release.uninstall()


async def restricted(release: Release, directory: Path) -> Release:
    """The same release as somebody sees it who has all rights in its namespace, and none in the cluster."""
    cluster, namespace = release.cluster, release.namespace
    metadata = {"metadata": {"name": "developer"}}
    await cluster.request("POST", "/api/v1/namespaces", body={"metadata": {"name": namespace}})
    await cluster.request("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", body=metadata)
    binding = {
        **metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "developer"},
        "subjects": [{"kind": "ServiceAccount", "name": "developer", "namespace": namespace}],
    }
    rule = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    await cluster.request("POST", f"{RBAC}/clusterroles", body={**metadata, "rules": [rule]})
    await cluster.request("POST", f"{RBAC}/namespaces/{namespace}/rolebindings", body=binding)
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/developer/token"
    answer = await cluster.request("POST", path, body={"spec": {}})
    config = directory / "config"
    config.write_text(
        kubeconfig(
            server=cluster.server.url,
            ca_file=cluster.server.ca_file,
            user={"token": answer["status"]["token"]},
            namespace=namespace,
        )
    )
    return dataclasses.replace(release, config=config)


async def test_without_the_rights(release: Release, tmp_path: Path) -> None:
    """Without rights in the cluster the refusal names the missing right and the way out, which works."""
    developer = await restricted(release, tmp_path)
    with pytest.raises(HelmError, match=r"forbidden.*cannot get resource") as refused:
        await developer.upgrade()
    assert "--set publish.annotations=false" in str(refused.value)
    await developer.upgrade(publish__annotations=False)
    await developer.uninstall()
    await release.cluster.request("DELETE", f"{RBAC}/clusterroles/developer")

"""What `helm test` runs, with the rights that the chart gives it, on a real API server."""

import asyncio
import importlib.util
import uuid
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.chart.helm import CHART, RELEASE, render
from tests.chart.policy import ADMISSION
from tests.chart.release import Release
from tests.support.cluster import RBAC, Cluster
from tests.support.nodes import NodeMetadata
from tests.support.waiting import until

pytestmark = [pytest.mark.apiserver, pytest.mark.chart]

PREFIX = "azure-lb-metadata.io"
COLLECTIONS = {
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "Role": f"{RBAC}/namespaces/{{namespace}}/roles",
    "RoleBinding": f"{RBAC}/namespaces/{{namespace}}/rolebindings",
    "ClusterRole": f"{RBAC}/clusterroles",
    "ClusterRoleBinding": f"{RBAC}/clusterrolebindings",
}


@pytest.fixture
async def release(cluster: Cluster, node: NodeMetadata) -> AsyncIterator[Release]:
    """An installed release with one agent, a pod on `node` that nothing runs, and the test's rights."""
    release = Release(cluster, f"chart-{uuid.uuid4().hex[:8]}", cluster.server.admin_kubeconfig)
    await release.upgrade()
    rendered = render(options=["--namespace", release.namespace])
    for item in rendered.objects:
        if item["kind"] in COLLECTIONS and item["metadata"]["name"].endswith("test"):
            path = COLLECTIONS[item["kind"]].format(namespace=release.namespace)
            await cluster.request("POST", path, body=item)
    template = rendered.agent
    pod = {
        "metadata": {"name": "agent", "labels": template["metadata"]["labels"]},
        "spec": {
            "nodeName": node.name,
            "serviceAccountName": RELEASE,
            "containers": [{"name": "agent", "image": "none.invalid/agent"}],
        },
    }
    await cluster.request("POST", f"/api/v1/namespaces/{release.namespace}/pods", body=pod)
    yield release
    await release.uninstall()
    for kind in ("clusterrolebindings", "clusterroles"):
        await cluster.request("DELETE", f"{RBAC}/{kind}/{RELEASE}.{release.namespace}.test")


@pytest.fixture
async def script(
    release: Release, node: NodeMetadata, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ModuleType:
    """The script, with the environment and the mounted files of the test's pod on `node`."""
    cluster, namespace = release.cluster, release.namespace
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{RELEASE}-test/token"
    answer = await cluster.request("POST", path, body={"spec": {}})
    (tmp_path / "token").write_text(answer["status"]["token"])
    (tmp_path / "ca.crt").write_bytes(cluster.server.ca_file.read_bytes())
    url = urlsplit(cluster.server.url)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", str(url.hostname))
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(url.port))
    monkeypatch.setenv("NODE_NAME", node.name)
    pod = render(options=["--namespace", namespace]).one("Pod", f"{RELEASE}-test")
    for variable in pod["spec"]["containers"][0]["env"]:
        if "value" in variable:
            monkeypatch.setenv(variable["name"], variable["value"])
    spec = importlib.util.spec_from_file_location("helm_test", CHART / "files" / "helm-test.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ACCOUNT", tmp_path)
    return module


async def outcome(script: ModuleType, check: Callable[[], str]) -> tuple[bool, str]:
    """Whether a check passes, and what it says."""
    try:
        return True, await asyncio.to_thread(check)
    except script.CheckError as error:
        return False, str(error)


async def until_passed(script: ModuleType, check: Callable[[], str]) -> str:
    """Run a check until it passes: rights and policies are enforced a moment after they are written."""
    return (await until(partial(outcome, script, check), lambda outcome: outcome[0]))[1]


async def until_failed(script: ModuleType, check: Callable[[], str]) -> str:
    """Run a check until it fails, and give the reason."""
    return (await until(partial(outcome, script, check), lambda outcome: not outcome[0]))[1]


async def test_policy(release: Release, script: ModuleType, node: NodeMetadata) -> None:
    """An agent is refused another Node; without the policy the check fails, and writes nothing."""
    other = await release.cluster.create_node()
    try:
        assert "own Node only" in await until_passed(script, script.policy_refuses_others)
        name = f"{RELEASE}.{release.namespace}"
        binding = f"{ADMISSION}/validatingadmissionpolicybindings/{name}"
        await release.cluster.request("DELETE", binding)
        assert f"the agent of {node.name} may write to" in await until_failed(
            script, script.policy_refuses_others
        )
        assert await release.cluster.node(other.name) == other
    finally:
        await release.cluster.delete_node(other.name)


async def test_policy_of_one_node(
    script: ModuleType, node: NodeMetadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a cluster of one Node it is a label of that one that is refused."""
    items = script.items

    def of_one_node(path: str) -> list[dict[str, Any]]:
        return [item for item in items(path) if item["metadata"]["name"] in {node.name, "agent"}]

    monkeypatch.setattr(script, "items", of_one_node)
    assert "must stay as they are" in await until_passed(script, script.policy_refuses_others)


async def test_annotations(release: Release, script: ModuleType, node: NodeMetadata) -> None:
    """The check of annotations fails until the Node has some."""
    assert f"{node.name} has no annotation {PREFIX}/status" in await until_failed(
        script, script.own_node_is_annotated
    )
    await release.cluster.annotate(node.name, {f"{PREFIX}/status": "ok"})
    assert await asyncio.to_thread(script.own_node_is_annotated) == f"{PREFIX}/status=ok"

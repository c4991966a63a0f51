"""The life of a release in the hands of Helm 3.16, the oldest that the chart is for."""

from collections.abc import Iterator

import pytest

from tests.e2e.harness.cluster import KubernetesCluster
from tests.e2e.harness.layout import NODES
from tests.e2e.harness.release import Release, installed, leftovers
from tests.e2e.harness.simulator import public_ip

OTHER_PREFIX = "helm3-later.example.com"


@pytest.fixture(scope="module")
def helm3_release(kubernetes_cluster: KubernetesCluster) -> Iterator[Release]:
    """A release that Helm 3 has installed; the tests of this file are its life, in their order."""
    with installed(kubernetes_cluster, "helm3", program="helm3") as release:
        yield release


def is_ok(keys: dict[str, str]) -> bool:
    """Whether an agent says that all is well."""
    return keys.get("status") == "ok"


def test_installed(helm3_release: Release) -> None:
    """After ``helm install`` every node has its own address annotated, and Helm says what to type next."""
    assert helm3_release.helm("version", "--short").startswith("v3.16.")
    helm3_release.await_keys(is_ok)
    for node in NODES:
        assert helm3_release.keys(node.name)["public-ip"] == public_ip(node.address)
    assert "rollout status daemonset/" in helm3_release.helm("get", "notes", helm3_release.name)


def test_helm_test_passes(helm3_release: Release) -> None:
    """``helm test`` passes, and takes away what it made."""
    assert "Succeeded" in helm3_release.helm("test", helm3_release.name)
    assert not [name for name in leftovers(helm3_release) if name.endswith(".test")]


def test_changed_prefix_and_rollback_move_the_keys(helm3_release: Release) -> None:
    """An upgrade that changes the prefix, and a rollback, remove the other keys."""
    previous = {"annotations.previousPrefixes": [helm3_release.prefix]}
    helm3_release.upgrade({"annotations.prefix": OTHER_PREFIX, **previous})
    helm3_release.await_keys(is_ok, OTHER_PREFIX)
    helm3_release.await_keys(lambda keys: not keys)
    helm3_release.helm("rollback", helm3_release.name, "1")
    helm3_release.roll_out()
    helm3_release.await_keys(is_ok)
    helm3_release.await_keys(lambda keys: not keys, OTHER_PREFIX)


def test_uninstalled(helm3_release: Release) -> None:
    """``helm uninstall`` leaves no key on a Node and no object in the cluster or the namespace."""
    assert leftovers(helm3_release)
    helm3_release.uninstall()
    for node in NODES:
        assert helm3_release.keys(node.name) == {}
        assert helm3_release.keys(node.name, OTHER_PREFIX) == {}
    assert leftovers(helm3_release) == []
    assert helm3_release.kubectl("get", "all,configmaps", "-o=name").split() == ["configmap/kube-root-ca.crt"]

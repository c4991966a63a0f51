"""What the release wrote is removed when it is not its own any more, and nothing of anybody else."""

import re

from tests.e2e.harness.cluster import KubernetesCluster
from tests.e2e.harness.layout import NODES
from tests.e2e.harness.release import Release, installed, leftovers

OTHER_PREFIX = "lb.example.com"


def no_keys(keys: dict[str, str]) -> bool:
    """Whether there are none."""
    return not keys


def is_ok(keys: dict[str, str]) -> bool:
    """Whether an agent says that all is well."""
    return keys.get("status") == "ok"


def refusals(release: Release) -> list[str]:
    """The lines of all agents that speak of the status 422."""
    return [line for line in release.logs().splitlines() if re.search(r"(?<![\d.])422(?![\dZ])", line)]


def test_changed_prefix_and_rollback_move_the_keys(kubernetes_cluster: KubernetesCluster) -> None:
    """An upgrade that changes the prefix, and a rollback, remove the other keys without a refusal."""
    with installed(kubernetes_cluster, "moving") as release:
        release.await_keys(is_ok)
        release.upgrade(
            {"annotations.prefix": OTHER_PREFIX, "annotations.previousPrefixes": [release.prefix]}
        )
        release.await_keys(is_ok, OTHER_PREFIX)
        release.await_keys(no_keys)
        assert refusals(release) == []
        release.helm("rollback", release.name, "1")
        release.roll_out()
        release.await_keys(is_ok)
        release.await_keys(no_keys, OTHER_PREFIX)
        assert refusals(release) == []


def test_uninstalling_leaves_nothing_but_the_other_release(
    kubernetes_cluster: KubernetesCluster, release: Release
) -> None:
    """``helm uninstall`` leaves no key and no object of its release, and lets those of another be."""
    release.await_keys(is_ok)
    kept = {node.name: release.keys(node.name) for node in NODES}
    with installed(kubernetes_cluster, "leaving-nothing") as second:
        second.await_keys(is_ok)
        assert leftovers(second)
        release.await_keys(is_ok)
        second.uninstall()
        for node in NODES:
            assert second.keys(node.name) == {}
            assert release.keys(node.name).keys() >= kept[node.name].keys()
        assert leftovers(second) == []
        assert second.kubectl("get", "all,configmaps", "-o=name").split() == ["configmap/kube-root-ca.crt"]

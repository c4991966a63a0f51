"""What the release wrote is removed when it is not its own any more, and nothing of anybody else."""

import re

from tests.e2e.harness.cluster import KubernetesCluster
from tests.e2e.harness.layout import NODES
from tests.e2e.harness.release import PREFIX, Release, installed, leftovers

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
    with installed(kubernetes_cluster) as release:
        release.await_keys(is_ok)
        release.upgrade({"annotations.prefix": OTHER_PREFIX, "annotations.previousPrefixes": [PREFIX]})
        release.await_keys(is_ok, OTHER_PREFIX)
        release.await_keys(no_keys)
        assert refusals(release) == []
        release.helm("rollback", release.name, "1")
        release.roll_out()
        release.await_keys(is_ok)
        release.await_keys(no_keys, OTHER_PREFIX)
        assert refusals(release) == []


def test_two_releases_leave_each_other_alone(kubernetes_cluster: KubernetesCluster) -> None:
    """Two releases with two prefixes write side by side, and the end of one leaves the other's keys."""
    with installed(kubernetes_cluster) as release:
        with installed(
            kubernetes_cluster, name="azure-lb-metadata-second", values={"annotations.prefix": OTHER_PREFIX}
        ) as second:
            second.await_keys(is_ok, OTHER_PREFIX)
            release.await_keys(is_ok)
        for node in NODES:
            assert release.keys(node.name, OTHER_PREFIX) == {}
            assert release.keys(node.name)["status"] == "ok"


def test_uninstalling_leaves_nothing(kubernetes_cluster: KubernetesCluster) -> None:
    """After ``helm uninstall`` no Node has a key of ours and the cluster no object of the release."""
    with installed(kubernetes_cluster) as release:
        release.await_keys(is_ok)
        release.uninstall()
        for node in NODES:
            assert release.keys(node.name) == {}
        assert leftovers(kubernetes_cluster) == []
        assert release.kubectl("get", "all,configmaps", "-o=name").split() == ["configmap/kube-root-ca.crt"]

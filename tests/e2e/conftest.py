"""The cluster of the end-to-end tests, one for the session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import cluster
from tests.e2e.harness.cluster import KubernetesCluster
from tests.e2e.harness.images import Images
from tests.e2e.harness.release import NAME, Release
from tests.support.requirements import leave_out
from tools.binaries.programs import CLUSTER_ENABLE_COMMAND, BinariesMissingError, locate_all

HERE = Path(__file__).parent
TEST_TIMEOUT_S = 1800
"""The first test of a session waits for the images and the cluster as well."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder, and give it the time that a cluster takes."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(TEST_TIMEOUT_S))


def reason_to_leave_out() -> str | None:
    """Why there can be no cluster here, or None."""
    try:
        locate_all("e2e")
    except BinariesMissingError as error:
        return f"{error}; enable with: {CLUSTER_ENABLE_COMMAND}"
    return cluster.missing()


@pytest.fixture(scope="session")
def kubernetes_cluster() -> Iterator[KubernetesCluster]:
    """A real cluster of two nodes; a test leaves it as it found it."""
    if reason := reason_to_leave_out():
        leave_out(reason)
    with cluster.exclusive(), KubernetesCluster.started(Images.provide()) as running:
        yield running


@pytest.fixture(scope="session")
def release(kubernetes_cluster: KubernetesCluster) -> Release:
    """The chart as the documentation installs it, for all tests; one that changes it changes it back."""
    release = Release(kubernetes_cluster, NAME, {})
    release.upgrade()
    return release

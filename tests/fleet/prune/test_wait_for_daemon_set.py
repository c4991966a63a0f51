"""`prune --wait-for-daemonset`: nothing is removed before the agents are gone."""

import json

import pytest

from sidecar.errors import ExitCode
from tests.fleet.prune.support import WAIT, Prune, patched
from tests.support.fake_apiserver import RecordedRequest, Reply, refusal
from tests.support.fake_cluster import FakeCluster, FakePod


@pytest.mark.parametrize("pods", [[], [FakePod("agents-1")]])
async def test_active_daemon_set(cluster: FakeCluster, prune: Prune, pods: list[FakePod]) -> None:
    """While the DaemonSet is not being deleted, nothing is read or written, and that is said."""
    cluster.daemon_set, cluster.pods = "active", pods
    ended = await prune(*WAIT)
    assert (ended.code, ended.out) == (ExitCode.DONE, "")
    assert ended.err == "DaemonSet lb/agents exists and is not being deleted: nothing is removed\n"
    assert cluster.asked("GET", "/api/v1/nodes") == []


async def test_active_daemon_set_as_json(cluster: FakeCluster, prune: Prune) -> None:
    """The JSON form says so, too."""
    cluster.daemon_set = "active"
    report = json.loads((await prune(*WAIT, "-o", "json")).out)
    assert "not being deleted" in report["skipped"]
    assert (report["complete"], report["nodes"]) == (True, [])


async def test_waits(cluster: FakeCluster, prune: Prune) -> None:
    """The removal begins when first the DaemonSet and then its pods are gone; a Job's pod may stay."""
    cluster.daemon_set = "deleting"
    cluster.pods = [FakePod("agents-1", "DaemonSet"), FakePod("hook-1", "Job")]

    def change(request: RecordedRequest) -> None:
        assert request.method == "GET"
        looks = len(cluster.asked("GET", "/apis/apps/v1/namespaces/lb/daemonsets/agents"))
        if looks == 2:
            cluster.daemon_set = None
        if looks == 3:
            cluster.pods.pop(0)
            cluster.on_request = lambda _: None

    cluster.on_request = change
    ended = await prune(*WAIT)
    assert ended.code == ExitCode.DONE
    assert len(ended.out.splitlines()) == 2
    pods = cluster.asked("GET", "/api/v1/namespaces/lb/pods")[0]
    assert pods.query["labelSelector"] == "app=lb, tier in (a,b)"
    assert pods.query["fieldSelector"] == "status.phase!=Succeeded,status.phase!=Failed"


async def test_installed_again(cluster: FakeCluster, prune: Prune) -> None:
    """A DaemonSet that is there again while its predecessor is waited for keeps its keys."""
    cluster.pods = [FakePod("agents-1")]

    def reinstall(request: RecordedRequest) -> None:
        if request.path.endswith("/pods"):
            cluster.daemon_set = "active"

    cluster.on_request = reinstall
    ended = await prune(*WAIT)
    assert ended.code == ExitCode.DONE
    assert "not being deleted" in ended.err
    assert patched(cluster) == []


async def test_never_gone(cluster: FakeCluster, prune: Prune) -> None:
    """What does not go in time is named, the first five pods of it, and nothing is removed."""
    cluster.daemon_set = "deleting"
    cluster.pods = [FakePod(f"agents-{number}") for number in range(9)]
    ended = await prune(*WAIT, "--timeout=5s")
    assert ended.code == ExitCode.FAILED
    assert (
        "after 5s there is still DaemonSet lb/agents, pod agents-0, pod agents-1, pod agents-2, "
        "pod agents-3 and 5 more: nothing was removed" in ended.err
    )
    assert cluster.asked("GET", "/api/v1/nodes") == []


async def test_no_word_of_the_daemon_set(cluster: FakeCluster, prune: Prune) -> None:
    """When the API server does not say in time whether the DaemonSet is gone, nothing is removed."""
    cluster.replies["GET /apis/apps/v1/namespaces/lb/daemonsets/agents"].append(Reply(hold=True))
    ended = await prune(*WAIT, "--timeout=100ms")
    assert ended.code == ExitCode.FAILED
    assert "not known whether DaemonSet lb/agents is gone" in ended.err
    assert patched(cluster) == []


async def test_may_not_see_the_daemon_set(cluster: FakeCluster, prune: Prune) -> None:
    """Without the right to see the DaemonSet, nothing is removed, and the advice names role and namespace."""
    message = (
        'daemonsets.apps "agents" is forbidden: User "eve" cannot get resource "daemonsets" '
        'in API group "apps" in the namespace "lb"'
    )
    cluster.replies["GET /apis/apps/v1/namespaces/lb/daemonsets/agents"].append(refusal(403, message))
    ended = await prune(*WAIT)
    assert ended.code == ExitCode.FAILED
    assert "let eve get daemonsets (a Role and its RoleBinding in lb)" in ended.err
    assert patched(cluster) == []

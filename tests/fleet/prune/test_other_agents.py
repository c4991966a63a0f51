"""`prune` leaves Nodes alone to which agents of another DaemonSet write under the prefix."""

import json
from typing import Any

import pytest

from sidecar.errors import ExitCode
from tests.fleet.prune.support import PREFIX, STATUS, WAIT, Prune, patched
from tests.support.fake_cluster import FakeCluster

LABELS = {"app.kubernetes.io/name": "azure-lb-metadata", "app.kubernetes.io/component": "agent"}
MARK = {"azure-lb-metadata.io/annotation-prefix": PREFIX}


def daemon_set(**changes: Any) -> dict[str, Any]:
    """A DaemonSet of agents in the namespace `other`, with these members of its metadata and template."""
    container = {"name": "agent", "args": changes.pop("args", ["run"]), "env": changes.pop("env", None)}
    template = {"containers": [container], **changes.pop("template", {})}
    metadata = {"namespace": "other", "name": "agents", "labels": LABELS, **changes}
    return {"metadata": metadata, "spec": {"template": {"spec": template}}}


USERS: dict[str, dict[str, Any]] = {
    "labels of the chart": daemon_set(),
    "labels of its own, and the chart's annotation": daemon_set(labels={"app": "lb"}, annotations=MARK),
    "several containers, and the chart's annotation": daemon_set(
        annotations=MARK, template={"containers": [{"name": "a"}, {"name": "b"}]}
    ),
    "prefix in a flag": daemon_set(args=["run", f"--annotation-prefix={PREFIX}"]),
    "a selector that fits": daemon_set(template={"nodeSelector": {"pool": "a"}}),
}


@pytest.mark.parametrize("case", USERS)
async def test_used_node_is_left(cluster: FakeCluster, prune: Prune, case: str) -> None:
    """Such a Node is named and not written, and nothing has failed."""
    cluster.daemon_sets = [USERS[case]]
    for node in cluster.nodes.values():
        node.labels = {"pool": "a"}
    ended = await prune()
    assert ended.code == ExitCode.DONE
    assert "node-a: left, agents of DaemonSet other/agents write under this prefix there" in ended.out
    assert ended.err == "of 2 Nodes: 2 in use\n"
    assert patched(cluster) == []


NO_USERS: dict[str, dict[str, Any]] = {
    "another prefix": daemon_set(args=["run", "--annotation-prefix=lb.example.com"]),
    "another prefix in a variable": daemon_set(
        env=[{"name": "AZURE_LB_METADATA_ANNOTATION_PREFIX", "value": "lb.example.com"}]
    ),
    "no annotations": daemon_set(args=["run", "--no-annotations"], annotations=MARK),
    "no annotations by a variable": daemon_set(
        env=[{"name": "AZURE_LB_METADATA_ANNOTATIONS", "value": "false"}]
    ),
    "sidecars by a variable": daemon_set(
        env=[{"name": "AZURE_LB_METADATA_UPSTREAM", "value": "http://agent"}]
    ),
    "being deleted": daemon_set(deletionTimestamp="2026-01-02T03:04:05Z"),
    "elsewhere": daemon_set(template={"nodeSelector": {"pool": "b"}}),
    "something else": daemon_set(labels={"app": "other"}),
}


@pytest.mark.parametrize("case", NO_USERS)
async def test_others_do_not_count(cluster: FakeCluster, prune: Prune, case: str) -> None:
    """DaemonSets that do not write under the prefix there, or are on their way out, keep nothing."""
    cluster.daemon_sets = [NO_USERS[case]]
    assert (await prune()).code == ExitCode.DONE
    assert patched(cluster) == ["node-a", "node-b"]


async def test_uninstalled_release_beside_another(cluster: FakeCluster, prune: Prune) -> None:
    """The Job of an uninstalled release leaves the Nodes of the one that stays, and prunes the rest."""
    cluster.daemon_sets = [daemon_set(template={"nodeSelector": {"pool": "a"}})]
    cluster.nodes["node-a"].labels = {"pool": "a"}
    ended = await prune(*WAIT)
    assert ended.code == ExitCode.DONE
    assert patched(cluster) == ["node-b"]


async def test_named_node(cluster: FakeCluster, prune: Prune) -> None:
    """A Node that was asked for by name and is used is a failure, with what to do."""
    cluster.daemon_sets = [daemon_set()]
    ended = await prune("node-a")
    assert ended.code == ExitCode.FAILED
    assert "agents of DaemonSet other/agents write under azure-lb-metadata.io there" in ended.err
    assert "--ignore-daemonsets" in ended.err
    assert patched(cluster) == []


async def test_ignored(cluster: FakeCluster, prune: Prune) -> None:
    """With `--ignore-daemonsets` they are not even asked for."""
    cluster.daemon_sets = [daemon_set()]
    assert (await prune("--ignore-daemonsets")).code == ExitCode.DONE
    assert patched(cluster) == ["node-a", "node-b"]
    assert cluster.asked("GET", "/apis/apps") == []


async def test_json(cluster: FakeCluster, prune: Prune) -> None:
    """The JSON form has the keys that stay, and whose they are."""
    cluster.daemon_sets = [daemon_set()]
    report = json.loads((await prune("-o", "json")).out)
    assert report["complete"] is True
    assert report["nodes"][1] == {
        "node": "node-b",
        "result": "in-use",
        "keys": [STATUS],
        "error": "other/agents",
    }
